"""Cell facts from a Liberty file, in the form of the compact cell tables.

Delay tables become bilinear rows, fitted by least squares where a netlist of sized cells works: the lower part of the
table's slews and loads. The Liberty text itself is what ABC maps with.
"""

import re

import numpy as np

from synth.timing import CLOCK_SLEW_PS

__all__ = ["read"]

_TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|\\\s*\n|"(?P<text>(?:[^"\\]|\\.)*)"|(?P<word>[^\s(){}:;,"]+)'
                    r'|(?P<mark>[(){}:;,])', re.DOTALL)
_TABLES = ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
_SENSE = {"positive_unate": "pos", "negative_unate": "neg", "non_unate": "non"}
#: The part of a table that the rows are fitted to: slews and loads below these shares of the greatest.
_SLEW_SHARE, _LOAD_SHARE = 0.3, 0.3


class _Group:
    """``name (arguments) { attributes and groups }``."""

    def __init__(self, name, arguments):
        self.name, self.arguments, self.attributes, self.groups = name, arguments, {}, []

    def all(self, name):
        return [group for group in self.groups if group.name == name]

    def number(self, name, default=None):
        try:
            return float(self.attributes[name][0])
        except (KeyError, IndexError, ValueError):
            return default

    def text(self, name, default=None):
        return self.attributes.get(name, [default])[0]


def _parse(text, path):
    root = _Group("", [])
    stack, words, in_arguments, arguments = [root], [], False, []
    for token in _TOKEN.finditer(text):
        word = token["text"] if token["text"] is not None else token["word"]
        if word is not None:
            (arguments if in_arguments else words).append(word)
        elif token["mark"] == "(":
            in_arguments, arguments = True, []
        elif token["mark"] == ")":
            in_arguments = False
        elif token["mark"] == "{":
            if not words:
                raise ValueError(f"{path} is not a Liberty file: a group without a name")
            group = _Group(words[-1], arguments)
            stack[-1].groups.append(group)
            stack.append(group)
            words, arguments = [], []
        elif token["mark"] in (";", "}") or (token["mark"] is None and words):
            if words:
                stack[-1].attributes[words[0]] = words[1:] or arguments
            words, arguments = [], []
            if token["mark"] == "}":
                stack.pop()
                if not stack:
                    raise ValueError(f"{path} is not a Liberty file: a closing brace too many")
    if len(stack) != 1 or not root.all("library"):
        raise ValueError(f"{path} is not a Liberty file: it has no whole library group")
    return root.all("library")[0]


def _numbers(values):
    return np.array([float(number) for text in values for number in re.split(r"[\s,]+", text.strip()) if number])


class _Reader:
    def __init__(self, library, path):
        self.path = path
        self.library = library
        scale = {"1ns": 1e3, "1ps": 1.0, "10ps": 10.0, "100ps": 100.0}
        unit = library.text("time_unit", "1ns")
        if unit not in scale:
            raise ValueError(f"{path}: time_unit = {unit!r} is not allowed: it must be one of " + ", ".join(scale))
        self.ps = scale[unit]
        number, unit = library.attributes.get("capacitive_load_unit", ["1", "pf"])
        self.ff = float(number) * {"pf": 1e3, "ff": 1.0}[unit.lower()]
        self.templates = {group.arguments[0]: group for group in library.all("lu_table_template")}

    def table(self, group):
        """Slews (ps), loads (fF) and values [slews, loads] (ps) of a table, or ``None``."""
        template = self.templates.get(group.arguments[0] if group.arguments else "")
        values = _numbers(group.attributes.get("values", []))
        axes = [_numbers(group.attributes.get(f"index_{axis}") or (template.attributes.get(f"index_{axis}", [])
                                                                   if template else [])) for axis in (1, 2)]
        if len(values) == 1:
            return np.array([0.0]), np.array([0.0]), values.reshape(1, 1) * self.ps
        if template and "capacitance" in (template.text("variable_1") or ""):
            return axes[1] * self.ps, axes[0] * self.ff, values.reshape(len(axes[0]), -1).T * self.ps
        return axes[0] * self.ps, axes[1] * self.ff, values.reshape(len(axes[0]), -1) * self.ps

    def row(self, group):
        """Bilinear row of a table."""
        slews, loads, values = self.table(group)
        if values.size == 1:
            return [float(values[0, 0]), 0.0, 0.0, 0.0]
        kept_slews = max(2, int((slews <= _SLEW_SHARE * slews.max()).sum()))
        kept_loads = max(2, int((loads <= _LOAD_SHARE * loads.max()).sum()))
        slew, load = (axis.ravel() for axis in np.meshgrid(slews[:kept_slews], loads[:kept_loads], indexing="ij"))
        basis = np.stack([np.ones_like(slew), slew, load, slew * load], axis=1)
        row, *_ = np.linalg.lstsq(basis, values[:kept_slews, :kept_loads].ravel(), rcond=None)
        return [float(number) for number in row]

    def arcs(self, pin):
        arcs = {}
        for timing in pin.all("timing"):
            kind = timing.text("timing_type", "combinational")
            tables = [timing.all(name) for name in _TABLES]
            if kind not in ("combinational", "rising_edge", "falling_edge") or not any(tables):
                continue
            rows = [self.row(group[0]) if group else None for group in tables]
            rows = [row if row is not None else rows[number ^ 1] for number, row in enumerate(rows)]
            if None in rows:
                continue
            for source in timing.text("related_pin", "").split():
                arcs.setdefault(source, []).append({"sense": _SENSE.get(timing.text("timing_sense"), "non"), "k": rows})
        return arcs

    def setup(self, pin):
        """Setup time (ps) at the slews that registers are assumed to see, or ``None``."""
        times = []
        for timing in pin.all("timing"):
            if timing.text("timing_type", "").startswith("setup"):
                for group in timing.groups:
                    slews, other, values = self.table(group)
                    at = [int(np.abs(axis - CLOCK_SLEW_PS).argmin()) for axis in (slews, other)]
                    times.append(float(values[min(at[0], values.shape[0] - 1), min(at[1], values.shape[1] - 1)]))
        return max(times, default=None)

    def cell(self, group):
        cell = {"area_um2": group.number("area", 0.0), "in_fF": {}, "out": {}}
        if group.text("dont_use", "false") == "true":
            cell["dont_use"] = True
        for flop in group.all("ff"):
            cell["ff"] = {"state": list(flop.arguments), **{name: flop.text(name) for name in flop.attributes}}
            cell["clock"] = re.sub(r"\W", "", flop.text("clocked_on", ""))
            cell["setup_ps"] = {}
        for pin in group.all("pin"):
            for name in pin.arguments:
                if pin.text("direction") == "input":
                    cell["in_fF"][name] = pin.number("capacitance", 0.0) * self.ff
                    if "ff" in cell and (setup := self.setup(pin)) is not None:
                        cell["setup_ps"][name] = setup
                elif pin.text("direction") == "output":
                    cell["out"][name] = {"function": pin.text("function", ""), "arc": self.arcs(pin),
                                         "max_fF": pin.number("max_capacitance", 0.0) * self.ff}
        return cell


def read(path):
    """The cell table of a Liberty file, and its text. Raises ``ValueError`` where it is none, ``OSError``."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    library = _parse(text, path)
    reader = _Reader(library, path)
    cells = {group.arguments[0]: reader.cell(group) for group in library.all("cell")}
    if not cells:
        raise ValueError(f"{path}: the library has no cells")
    return {"library": {"name": library.arguments[0], "nom_voltage": library.number("nom_voltage", 0.0)},
            "cells": cells}, text
