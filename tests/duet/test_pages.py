"""The tables of parameters on the blocks' pages say what the presets are; cover points are as many as they say."""

import dataclasses
import importlib
import pathlib
import re

import pytest

from resilin.registry import find

PAGES = pathlib.Path(__file__).parents[2] / "docs" / "duet"
BLOCKS = ["quantizer", "projection", "systolic_array", "speculator_mfu", "switching_map", "reorder_unit", "speculator",
          "executor", "executor_pe", "multicast_bus", "cell_unit", "global_buffer", "duet_accelerator"]
PRESETS = ["paper", "small", "fpga"]


def rows(text):
    """(name, preset, number) of each cell of a table with a column a preset; the name is the row's last in quotes."""
    columns = None
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            columns = None
        elif {f"`{preset}`" for preset in PRESETS} <= set(cells):
            columns = [cells.index(f"`{preset}`") for preset in PRESETS]
        elif columns and re.search(r"`\w+`", cells[0]):
            for preset, column in zip(PRESETS, columns):
                yield re.findall(r"`(\w+)`", cells[0])[-1], preset, int(cells[column].replace(",", ""))


def check(text, config_class):
    told = list(rows(text))
    for name, preset, number in told:
        found = getattr(config_class.preset(preset), name)
        assert found == number, f"{name} of preset {preset} is {found}: the page says {number}"
    missing = {field.name for field in dataclasses.fields(config_class)} - {name for name, _, _ in told}
    assert not missing, f"not on the page: {missing}"


@pytest.mark.parametrize("block", BLOCKS)
def test_parameters(block):
    check((PAGES / f"{block}.md").read_text(), find(block).config_class)


@pytest.mark.parametrize("block", BLOCKS)
def test_cover_points(block):
    told = re.findall(r"(\d+)\s+cover\s+points", (PAGES / f"{block}.md").read_text())
    assert told == [str(len(importlib.import_module(f"tests.duet.bench_{block}").POINTS))]


def test_wrong_pages_fail():
    text, config_class = (PAGES / "quantizer.md").read_text(), find("quantizer").config_class
    with pytest.raises(AssertionError, match="lanes of preset paper is 256: the page says 255"):
        check(text.replace("256", "255"), config_class)
    with pytest.raises(AssertionError, match="not on the page: {'lanes'}"):
        check(text.replace("`lanes`", "lanes"), config_class)
