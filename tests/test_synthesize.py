# amaranth: UnusedElaboratable=no
"""Area and timing of small designs from the compact cell table."""

import pytest

from synth import liberty
from synth.synthesize import synthesize
from synth.timing import INPUT_SLEW_PS, OUTPUT_LOAD_FF, analyse


def test_liberty_has_every_cell_and_no_axis_from_zero():
    table = liberty.load()
    text = liberty.emit(table)
    assert text.count("  cell (") == len(table["cells"])
    assert 'index_1 ("0' not in text and text.count("{") == text.count("}")


def test_a_file_that_is_no_cell_table_is_refused(tmp_path):
    (tmp_path / "other.toml").write_text("[library]\n")
    with pytest.raises(ValueError, match=r"has no \[cells\] section"):
        liberty.load(tmp_path / "other.toml")


def test_timing_of_one_inverter_is_its_arc():
    table = liberty.load()
    module = {"ports": {"a": {"direction": "input", "bits": [2]}, "y": {"direction": "output", "bits": [3]}},
              "cells": {"u": {"type": "INV_X1", "connections": {"A": [2], "ZN": [3]}}}}
    rise, fall = table["cells"]["INV_X1"]["out"]["ZN"]["arc"]["A"][0]["k"][:2]
    expected = max(liberty.evaluate(row, INPUT_SLEW_PS, OUTPUT_LOAD_FF) for row in (rise, fall))
    result = analyse(module, table)
    assert result.through == pytest.approx(expected)
    assert result.register == result.input == result.output == 0


def test_script_names_are_checked():
    with pytest.raises(ValueError, match="script = 'fast' is not allowed"):
        synthesize("", "top", script="fast")


def test_element_costs_less_than_three_plain_units():
    from resilin.jobs.pe import measure, structures

    results = [measure(make())[0] for make, _ in list(structures().values())[:2]]
    assert results[0].area == pytest.approx(1792, rel=0.05)  # measured once, independently
    assert results[1].area / results[0].area < 3.0
    assert results[1].timing.fmax_mhz > results[0].timing.fmax_mhz
