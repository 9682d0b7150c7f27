"""Compact standard-cell tables (``constraints/asic/*_cells.toml``) and the Liberty text made from them.

A timing arc of the table is bilinear, ``v = k0 + ks * slew + kc * load + kx * slew * load`` (ps, fF); the Liberty file
samples it on a 4 x 4 grid. ABC mis-reads a slew axis that starts at 0, so the grid does not.
"""

import tomllib

import numpy as np

from synth.timing_graph import evaluate

__all__ = ["emit", "load"]

_TABLES = ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
_SENSE = {"pos": "positive_unate", "neg": "negative_unate", "non": "non_unate"}
_FRACTIONS = (0.05, 0.25, 0.6, 1.0)


def load(path):
    """The cell table at ``path`` as a dictionary; ``ValueError`` where it is no cell table."""
    with open(path, "rb") as file:
        table = tomllib.load(file)
    for section in ("library", "cells"):
        if section not in table:
            raise ValueError(f"{path} has no [{section}] section: it must be a compact cell table")
    return table


def _axis(limit):
    return [round(limit * fraction, 4) for fraction in _FRACTIONS]


def _timing(library, pin, arc, max_ff, clocked):
    slews = _axis(library["slew_fit_max_ps"])
    loads = _axis(max(max_ff, 1.0) * library["load_fit_frac"])
    lines = [f"      timing () {{ related_pin : \"{pin}\"; "
             + (f"timing_sense : {_SENSE[arc['sense']]};" if not clocked else "timing_type : rising_edge;")]
    for name, row in zip(_TABLES, arc["k"]):
        values = ", ".join('"' + ", ".join(f"{value:.3f}" for value in evaluate(np.array([row]), slew, np.array(loads)))
                           + '"' for slew in slews)
        lines.append(f"        {name} (grid) {{ index_1 (\"{', '.join(map(str, slews))}\"); "
                     f"index_2 (\"{', '.join(map(str, loads))}\"); values ({values}); }}")
    lines.append("      }")
    return lines


def _setup(cell, pin, capacitance):
    """A data pin of a register, with its setup time."""
    ps = cell["setup_ps"][pin]
    return [f"    pin ({pin}) {{ direction : input; capacitance : {capacitance};",
            f"      timing () {{ related_pin : \"{cell['clock']}\"; timing_type : setup_rising;",
            *(f"        {edge}_constraint (scalar) {{ values (\"{ps}\"); }}" for edge in ("rise", "fall")), "      } }"]


def _cell(library, name, cell):
    lines = [f"  cell ({name}) {{", f"    area : {cell['area_um2']};"]
    if cell.get("dont_use"):
        lines.append("    dont_use : true;")
    flop = cell.get("ff")
    if flop:
        state, inverse = flop["state"]
        lines.append(f"    ff ({state}, {inverse}) {{ next_state : \"{flop['next_state']}\"; "
                     f"clocked_on : \"{flop['clocked_on']}\";"
                     + "".join(f" {key} : \"{flop[key]}\";" for key in ("clear", "preset") if key in flop)
                     + "".join(f" {key} : {flop[key]};" for key in ("clear_preset_var1", "clear_preset_var2")
                               if key in flop) + " }")
    for pin, capacitance in cell["in_fF"].items():
        if pin in cell.get("setup_ps", ()):
            lines += _setup(cell, pin, capacitance)
            continue
        clock = " clock : true;" if pin == cell.get("clock") else ""
        lines.append(f"    pin ({pin}) {{ direction : input; capacitance : {capacitance};{clock} }}")
    for pin, out in cell["out"].items():
        lines += [f"    pin ({pin}) {{ direction : output; function : \"{out['function']}\"; "
                  f"max_capacitance : {out['max_fF']};"]
        for source, arcs in out.get("arc", {}).items():
            for arc in arcs:
                lines += _timing(library, source, arc, out["max_fF"], flop is not None)
        lines.append("    }")
    return lines + ["  }"]


def _thresholds(library):
    """Where delays and slews are measured, in percent of the swing."""
    low, high = (library.get(f"slew_{end}_threshold_pct_rise", default) for end, default in (("lower", 20),
                                                                                            ("upper", 80)))
    for edge in ("rise", "fall"):
        yield (f"  input_threshold_pct_{edge} : 50; output_threshold_pct_{edge} : 50; "
               f"slew_lower_threshold_pct_{edge} : {low}; slew_upper_threshold_pct_{edge} : {high};")


def emit(table):
    """The Liberty text of a cell table (from :func:`load`)."""
    library = table["library"]
    lines = [f"library ({library['name']}) {{", "  delay_model : table_lookup;", "  time_unit : \"1ps\";",
             "  voltage_unit : \"1V\";", "  current_unit : \"1mA\";", "  pulling_resistance_unit : \"1kohm\";",
             "  leakage_power_unit : \"1nW\";", "  capacitive_load_unit (1, ff);",
             f"  nom_voltage : {library['nom_voltage']};", *_thresholds(library),
             "  lu_table_template (grid) { variable_1 : input_net_transition; variable_2 : "
             "total_output_net_capacitance; index_1 (\"1, 2, 3, 4\"); index_2 (\"1, 2, 3, 4\"); }"]
    for name, cell in table["cells"].items():
        lines += _cell(library, name, cell)
    return "\n".join(lines + ["}"]) + "\n"
