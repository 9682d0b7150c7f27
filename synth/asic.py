"""One unit of a design on a standard-cell library: Yosys and ABC by a recipe."""

import dataclasses
import json

from synth import yosys

__all__ = ["Mapped", "RECIPES", "Recipe", "map_unit"]

_SIZING = "topo;buffer,-c;topo;stime,-p;upsize,{D};dnsize,{D};stime,-p"
_BALANCED = f"map,-B,0.9,{{D}};{_SIZING}"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a unit is mapped.

    Attributes: ``abc`` the ABC script (``None``: the default of Yosys' abc command); ``full_adders`` whether adders
    found in the logic become full-adder cells, where the library has one; ``booth`` Booth's multipliers;
    ``arith_tree`` carry-save trees for chains of additions; ``fast_adders`` Kogge-Stone instead of Brent-Kung carries;
    ``about`` for the tables that compare recipes.
    """

    abc: str | None
    about: str
    full_adders: bool = False
    booth: bool = True
    arith_tree: bool = False
    fast_adders: bool = False


_AREA = f"strash;dc2;dch,-f;amap;{_SIZING}"
#: All that were measured (docs/synthesis.md); the flow uses ``area``, ``area_fa``, ``balanced`` and ``speed``.
RECIPES = {
    "area": Recipe(_AREA, "least area"),
    "area_fa": Recipe(_AREA, "least area, full adders as cells", full_adders=True),
    "balanced": Recipe(f"strash;dc2;dch,-f;{_BALANCED}", "compromise, Kogge-Stone adders", fast_adders=True),
    "speed": Recipe(f"strash;dch,-f;{_BALANCED}", "least delay, Kogge-Stone adders", fast_adders=True),
    "default": Recipe(None, "Yosys' own: synth; dfflibmap; abc", booth=False),
    "area_plain": Recipe(_AREA, "least area without Booth", booth=False),
    "area_tree": Recipe(_AREA, "least area, carry-save trees", arith_tree=True),
    "area_tree_fa": Recipe(_AREA, "least area, carry-save trees, full adders as cells", full_adders=True,
                           arith_tree=True),
}

_FULL_ADDER = """
(* techmap_celltype = "$fa" *)
module _resilin_full_adder (A, B, C, X, Y);
parameter WIDTH = 1;
input [WIDTH-1:0] A, B, C;
output [WIDTH-1:0] X, Y;
parameter _TECHMAP_CONSTMSK_A_ = 0;
parameter _TECHMAP_CONSTMSK_B_ = 0;
parameter _TECHMAP_CONSTMSK_C_ = 0;
genvar i;
generate for (i = 0; i < WIDTH; i = i + 1) begin:g
  if (_TECHMAP_CONSTMSK_A_[i] || _TECHMAP_CONSTMSK_B_[i] || _TECHMAP_CONSTMSK_C_[i]) begin
    assign Y[i] = A[i] ^ B[i] ^ C[i];
    assign X[i] = (A[i] & B[i]) | (C[i] & (A[i] | B[i]));
  end else begin
    wire total, carry;
    %s cell_fa (.%s(A[i]), .%s(B[i]), .%s(C[i]), .%s(total), .%s(carry));
    assign Y[i] = %stotal;
    assign X[i] = %scarry;
  end
end endgenerate
endmodule
"""


@dataclasses.dataclass(frozen=True)
class Mapped:
    """A mapped unit: ``cells`` type -> number (black boxes left out), and the ``netlist`` as in Yosys' JSON."""

    cells: dict
    netlist: dict


def _full_adder(library):
    """The techmap that makes full-adder cells of ``$fa``."""
    name, pins, total, carry, inverted = library.full_adder
    mark = "~" if inverted else ""
    return _FULL_ADDER % (name, *pins, total, carry, mark, mark)


def map_unit(unit, library, recipe, period_ps):
    """Map a :class:`synth.design.Unit` to the cells of a :class:`synth.library.Library` by a :class:`Recipe`.

    ``period_ps`` is the delay that sizing aims at. Raises :class:`synth.yosys.SynthesisError` when Yosys fails, or
    leaves a cell that the library does not have.
    """
    options = "".join((" -booth" if recipe.booth else "", " -arith_tree" if recipe.arith_tree else "",
                       " -extra-map +/choices/kogge-stone.v" if recipe.fast_adders else ""))
    files = {"unit.il": unit.rtlil, "cells.lib": library.text,
             "abc.constr": f"set_driving_cell {library.buffer}\nset_load {library.output_load:.4f} [all_outputs]\n"}
    steps = ["read_rtlil unit.il", f"synth -flatten -noabc{options} -top unit"]
    if recipe.full_adders and library.full_adder:
        files["full_adder.v"] = _full_adder(library)
        steps += ["extract_fa -fa", "opt_clean", "techmap -map full_adder.v", "simplemap", "opt"]
    unused = "".join(f" -dont_use {name}" for name, cell in library.cells.items() if cell.get("dont_use"))
    script = f" -constr abc.constr -D {period_ps:.0f} -script +{recipe.abc}" if recipe.abc else ""
    steps += [f"dfflibmap -liberty cells.lib{unused}", "opt", "setundef -zero",
              f"abc -liberty cells.lib{unused}{script}", "opt_clean -purge", "write_json netlist.json"]
    found = yosys.run("\n".join(steps) + "\n", files)
    netlist = json.loads(found["netlist.json"])["modules"]["unit"]
    netlist = {part: netlist[part] for part in ("ports", "cells", "netnames")}
    for cell in netlist["cells"].values():
        for unneeded in ("attributes", "parameters", "port_directions", "hide_name"):
            cell.pop(unneeded, None)
    cells = {}
    for cell in netlist["cells"].values():
        if cell["type"] not in unit.boxes:
            cells[cell["type"]] = cells.get(cell["type"], 0) + 1
    if unknown := set(cells) - set(library.cells):
        raise yosys.SynthesisError(f"{unit.module}: cells are left that {library.name} does not have: "
                                   + ", ".join(sorted(unknown)))
    return Mapped(dict(sorted(cells.items())), netlist)
