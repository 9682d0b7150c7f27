"""Switching energy of mapped netlists, and how far it is from published energies of the same operations.

A net that changes moves half of its capacitance times the voltage squared; the capacitance is that of the cells' input
pins on it. Wires, the cells' own (internal) energy, the clock's tree and leakage are not part of it.
"""

import dataclasses
import string

import numpy as np

from synth import asic, design
from synth.gate_sim import GateNetlist, mask
from synth.kept import kept, source

__all__ = ["HOROWITZ_PJ", "HOROWITZ_VOLTAGE", "SRAM_PJ_A_BIT", "UnitEnergy", "calibration", "operation_netlist",
           "unit_energy"]

#: Energy of an operation in pJ at 45 nm and .9 V (M. Horowitz, "Computing's energy problem", ISSCC 2014).
HOROWITZ_PJ = {"add8": 0.03, "add32": 0.1, "multiply8": 0.2, "multiply32": 3.1}
HOROWITZ_VOLTAGE = 0.9
#: 10 pJ for 64 bits from a memory of 8 KB (the same source).
SRAM_PJ_A_BIT = 10 / 64

_OPERATION = """
module operation(input signed [{high}:0] a, b, output signed [{out}:0] y);
  assign y = a {sign} b;
endmodule
"""
_SAMPLES = 2048


@dataclasses.dataclass(frozen=True)
class UnitEnergy:
    """Energy of all instances of a unit in each phase, fJ, arrays (phases,).

    ``settled``: every net changes at most once a cycle; ``glitches``: what changes more often with equal delays of all
    gates add to it; ``clock``: clock pins of the flip-flops.
    """

    settled: np.ndarray
    glitches: np.ndarray
    clock: np.ndarray


def unit_energy(gates, given, masks, instances, voltage):
    """The :class:`UnitEnergy` of instances of a :class:`~synth.gate_sim.GateNetlist`.

    Parameters: ``given`` as for :meth:`~synth.gate_sim.GateNetlist.evaluate`, arrays (instances, words); ``masks``
    uint64 (phases, words), the cycles of each phase; ``instances`` how many; ``voltage`` in V.
    """
    settled, transient = gates.switched_fF(given, masks)
    cycles = np.bitwise_count(masks).sum(axis=1, dtype=np.int64)
    half = voltage ** 2 / 2
    # The clock's pins change twice a cycle.
    return UnitEnergy(half * settled, half * (transient - settled), half * 2 * gates.clock_fF * instances * cycles)


def _operands(width, seed):
    """Bits of random operands a and b: uint64 rows (1, words) by bit."""
    words = np.random.default_rng(seed).integers(0, 2 ** 64, (2, width, 1, _SAMPLES // 64), np.uint64)
    return {"a": words[0], "b": words[1]}


def operation_netlist(name, library, recipe, store=None):
    """The mapped netlist of an operation in ``HOROWITZ_PJ``, as in Yosys' JSON."""
    width = int(name.lstrip(string.ascii_letters))
    sign, out = ("+", width) if name.startswith("add") else ("*", 2 * width)
    verilog = _OPERATION.format(high=width - 1, out=out - 1, sign=sign)

    def make():
        split = design.elaborate(verilog, "operation")
        return asic.map_unit(split.units["operation"], library, asic.RECIPES[recipe], 10000).netlist

    return kept(store, "netlists", [source("asic.py", "design.py"), verilog, library.digest, recipe], make)


def calibration(library, recipes=("area", "balanced"), store=None, seed=1):
    """Energies of single operations with random operands against ``HOROWITZ_PJ``, at the voltage of those.

    Returns a list of dicts: ``operation``, ``recipe``, ``settled_pJ`` and ``glitches_pJ`` an operation, and
    ``published_pJ``.
    """
    rows = []
    for name, published in HOROWITZ_PJ.items():
        for recipe in recipes:
            netlist = operation_netlist(name, library, recipe, store)
            gates = GateNetlist(netlist, library)
            operands = _operands(len(netlist["ports"]["a"]["bits"]), seed)
            given = {net: operands[port][place] for port in operands
                     for place, net in enumerate(netlist["ports"][port]["bits"])}
            energy = unit_energy(gates, given, mask(1, _SAMPLES, _SAMPLES // 64)[None], 1,
                                 HOROWITZ_VOLTAGE)
            settled, glitches = (float(part[0]) / (_SAMPLES - 1) / 1000 for part in (energy.settled, energy.glitches))
            rows.append({"operation": name, "recipe": recipe, "settled_pJ": settled, "glitches_pJ": glitches,
                         "published_pJ": published})
    return rows
