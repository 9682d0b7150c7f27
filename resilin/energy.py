"""Switching energy of a simulated block: its RTL's waveforms, replayed in the mapped netlists of its units.

Every unit's netlist gets what each of its instances really got, and must answer what the RTL answered: a difference is
an error. Energies come from :mod:`synth.energy`.
"""

import collections
import dataclasses
import re

import numpy as np

from synth.energy import HOROWITZ_VOLTAGE, SRAM_PJ_A_BIT, unit_energy
from synth.gate_sim import MOST_INSTANCES, GateNetlist, earlier, first_marked, marked
from synth.memory_sim import read_data

__all__ = ["Difference", "GroupEnergy", "Replay", "instance_paths", "phase_masks", "plain_names",
           "with_dump"]

#: Rows of cycles, as 64-bit words, that are worked on at a time.
_WORDS = 3_000_000


class Difference(AssertionError):
    """A mapped netlist does not do what the RTL did; the message names unit, instance, net and cycle."""


@dataclasses.dataclass(frozen=True)
class _Recorded:
    """A net in the recording: signal's name, and uint64 (instances, words) of its values and of which are known."""

    name: str
    rows: np.ndarray
    known: np.ndarray

    def inverted(self):
        return dataclasses.replace(self, rows=~self.rows)


@dataclasses.dataclass
class GroupEnergy:
    """Energy of a group of instances by phase, fJ: ``settled``, ``glitches``, ``clock``, see
    :class:`synth.energy.UnitEnergy`; ``memory`` of accesses to memory macros, and ``bits`` how many were accessed."""

    settled: np.ndarray
    glitches: np.ndarray
    clock: np.ndarray
    memory: np.ndarray
    bits: np.ndarray

    @classmethod
    def zero(cls, phases):
        return cls(*(np.zeros(phases) for _ in dataclasses.fields(cls)))

    def add(self, other):
        for spec in dataclasses.fields(self):
            setattr(self, spec.name, getattr(self, spec.name) + getattr(other, spec.name))


def plain_names(verilog):
    """The text with plain identifiers in place of those with a ``$``, which synthesis gives new numbers."""
    return re.sub(r"\\(\S*\$\S*) ", lambda found: found[1].replace("$", "_dollar_") + " ", verilog)


def with_dump(verilog, top, signals, path):
    """The text with a statement that writes ``signals`` (full names) to a VCD file, for Icarus.

    Registers without a first value (what memories put out) begin with 0: where an unknown value decides, a simulation
    of the RTL takes the ``else`` branch, and hardware does not.
    """
    # Escaped, because a name may be a word of Verilog.
    names = (".".join(f"\\{part} " for part in name.split(".")) for name in sorted(signals))
    lines = [f'  initial begin\n    $dumpfile("{path}");', *(f"    $dumpvars(0, {name});" for name in names), "  end\n"]
    text, count = re.subn(rf"(^module {top}\(.*?)(?=^endmodule)", lambda found: found[1] + "\n".join(lines), verilog,
                          count=1, flags=re.MULTILINE | re.DOTALL)
    if not count:
        raise ValueError(f"top = {top!r} is not allowed: the text has no such module")
    return re.sub(r"^(  reg (?:\[\d+:\d+\] )?\w+) *;$", r"\1 = 0;", text, flags=re.MULTILINE)


def instance_paths(split):
    """Module -> full names of its instances, of a :class:`synth.design.Design`."""
    paths = collections.defaultdict(list)
    paths[split.top].append(split.top)
    for unit in reversed(list(split.units.values())):
        for module, labels in unit.children.items():
            paths[module] += [f"{path}.{label}" for path in paths[unit.module] for label in labels]
    return dict(paths)


def phase_masks(phase, phases, words):
    """uint64 (phases, words): the cycles in which ``phase``, an integer array (cycles,), is 0, 1, ..."""
    bits = np.zeros((phases, 64 * words), np.uint8)
    bits[phase, np.arange(len(phase))] = 1
    return np.packbits(bits, axis=1, bitorder="little").view(np.uint64)


class Replay:
    """One unit: its netlist, and the recorded signals that it needs.

    Parameters: ``unit`` a :class:`synth.design.Unit`, ``netlist`` as mapped, ``library`` its cells. Raises
    ``ValueError`` for a netlist that :class:`~synth.gate_sim.GateNetlist` refuses.
    """

    def __init__(self, unit, netlist, library):
        self.unit, self.gates = unit, GateNetlist(netlist, library, unit.boxes)
        gates = self.gates
        self._names = {}  # net -> [(signal under the instance, bit)]
        self._checked = {net for port in gates.ports.values() for net in port["bits"]}  # inputs do no harm
        for net in gates.sources() | self._checked | {net for flop in gates.flops for net in flop.outputs}:
            self._names[net] = list(gates.names.get(net, ()))
        for box, (kind, pins) in gates.boxes.items():
            for pin, nets in pins.items():
                for place, net in enumerate(nets):
                    found = self._names.setdefault(net, list(gates.names.get(net, ())))
                    if isinstance(unit.boxes[kind], str):
                        self._checked.add(net)
                        found.append((f"{box}.{pin}", place))
        for net in ("0", "1", "x"):
            self._names.pop(net, None)
            self._checked.discard(net)

    def signals(self, path):
        """Full names of the signals of the RTL that the instance at ``path`` can use."""
        # Words of memories, with an index in their name, are no signals, nor is what synthesis made of one.
        return {f"{path}.{name}" for names in self._names.values() for name, _ in names if not set("[$") & set(name)}

    def _recorded(self, paths, recording):
        """Net -> :class:`_Recorded`, of the nets that were recorded."""
        found = {}
        for net, names in self._names.items():
            for name, place in names:
                full = [f"{path}.{name}" for path in paths]
                if all(place < recording.widths.get(signal, 0) for signal in full):
                    found[net] = _Recorded(name, *(np.stack([rows(signal)[place] for signal in full])
                                                   for rows in (recording.bits, recording.known)))
                    break
        return found

    def _states(self, recorded):
        """What each recorded flip-flop holds; its outputs are added to ``recorded``."""
        states = {}
        for flop in self.gates.flops:
            known = next((net for net in flop.outputs if net in recorded), None)
            if known is None:
                continue
            found = recorded[known]
            states[flop.name] = found.inverted() if flop.outputs[known] else found
            for net, inverted in flop.outputs.items():
                recorded[net] = found if inverted == flop.outputs[known] else found.inverted()
        return states

    def run(self, paths, recording, masks):
        """Replay the instances at ``paths``: (:class:`GroupEnergy`, values that were compared).

        Raises :class:`Difference`.
        """
        total, compared = GroupEnergy.zero(len(masks)), 0
        rows = _WORDS // (len(self._names) + len(self.gates.load_fF)) // recording.words
        size = min(max(1, rows), MOST_INSTANCES)
        for first in range(0, len(paths), size):
            part = paths[first:first + size]
            recorded = self._recorded(part, recording)
            states = self._states(recorded)
            followed = [flop for flop in self.gates.flops if flop.name not in states]
            sources = self.gates.sources() - {net for flop in followed for net in flop.outputs}
            if missing := sources - recorded.keys():
                names = sorted({name for net in missing for name, _ in self._names[net]})
                raise Difference(f"{self.unit.module}: {len(missing)} nets were not recorded: " + ", ".join(names[:4]))
            given = {net: recorded[net].rows for net in sources}
            # Words of small memories, and states that synthesis encoded anew.
            for flop, rows in zip(followed, self.gates.follow(given, followed, len(part), recording.cycles)):
                given |= {net: ~rows if inverted else rows for net, inverted in flop.outputs.items()}
            values = self.gates.evaluate(given)
            compared += self._compare(part, recorded, states, values, recording.cycles)
            energy = unit_energy(self.gates, given, masks, len(part), HOROWITZ_VOLTAGE)
            bits = self._accessed(values, masks, len(part))
            total.add(GroupEnergy(energy.settled, energy.glitches, energy.clock, 1000 * SRAM_PJ_A_BIT * bits, bits))
        return total, compared

    def _compare(self, paths, recorded, states, values, cycles):
        """Outputs, inputs of boxes, memories and next states against the recording; how many values were compared."""

        words = -(-cycles // 64)

        def same(name, expected, known, found, cycles, paths=paths):
            wrong, compared = (expected ^ found) & known, 0
            for path, rows, compare in zip(paths, wrong, known):
                compared += marked(compare, cycles)
                if marked(rows, cycles):
                    raise Difference(f"{path} ({self.unit.module}): the mapped netlist differs from the RTL at {name} "
                                     f"in {marked(rows, cycles)} of {cycles} cycles, the first is "
                                     f"{first_marked(rows)}")
            return compared

        count = sum(same(recorded[net].name, recorded[net].rows, recorded[net].known, values[net], cycles)
                    for net in self._checked & recorded.keys())
        for name, (kind, pins) in self.gates.boxes.items():
            if isinstance(memory := self.unit.boxes[kind], str):
                continue
            data = [recorded.get(net) for net in pins["RD_DATA"]]
            for place, path in enumerate(paths):
                inputs = {pin: np.stack([_instance(values[net], place, len(paths), words) for net in pins[pin]])
                          for pin in ("RD_EN", "RD_ADDR", "WR_EN", "WR_ADDR", "WR_DATA")}
                for bit, found in zip(data, read_data(memory, inputs, cycles)):
                    if bit:
                        part = slice(place, place + 1)
                        count += same(f"memory {name}", bit.rows[part], bit.known[part], found, cycles, [path])
        for flop in self.gates.flops:
            if flop.name in states:
                state = states[flop.name]
                count += same(f"register {state.name}", earlier(state.rows), earlier(state.known),
                              self.gates.next_state(flop, values, state.rows), cycles - 1)
        return count

    def _accessed(self, values, masks, instances):
        """Bits that memory macros read and write in each phase."""
        bits = np.zeros(len(masks))
        for kind, pins in self.gates.boxes.values():
            memory = self.unit.boxes[kind]
            if isinstance(memory, str):
                continue
            for nets, weight in ((pins["RD_EN"], memory.width), (pins["WR_EN"], 1)):
                for net in nets:
                    rows = np.broadcast_to(values[net], (instances, masks.shape[1]))
                    bits += weight * np.bitwise_count(rows[None] & masks[:, None]).sum(axis=(1, 2))
        return bits


def _instance(values, place, instances, words):
    """One instance's row of a net's values; a constant has the same in all."""
    return np.broadcast_to(values, (instances, words))[place]
