"""Cell tables, the Liberty text made of them, and the reader of Liberty files."""

import pytest

from synth import library, liberty, liberty_reader
from synth.library import LIBRARIES


@pytest.mark.parametrize("name", LIBRARIES)
def test_liberty_has_every_cell_and_no_axis_from_zero(name):
    cells = library.load(name)
    assert cells.text.count("  cell (") == len(cells.cells)
    assert 'index_1 ("0' not in cells.text and cells.text.count("{") == cells.text.count("}")


@pytest.mark.parametrize("name, gate, buffer", [("nangate45", 0.798, "BUF_X1"), ("sg13g2", 7.2576, "sg13g2_buf_1"),
                                                ("asap7", 0.08748, "BUFx2_ASAP7_75t_R")])
def test_gate_equivalent_and_buffer_are_found_by_their_function(name, gate, buffer):
    cells = library.load(name)
    assert (cells.gate_um2, cells.buffer) == (gate, buffer)


def test_full_adders():
    assert library.load("nangate45").full_adder == ("FA_X1", ["A", "B", "CI"], "S", "CO", False)
    assert library.load("asap7").full_adder == ("FAx1_ASAP7_75t_R", ["A", "B", "CI"], "SN", "CON", True)
    assert library.load("sg13g2").full_adder is None


def test_reading_the_emitted_text_gives_the_table_back(tmp_path):
    cells = library.load("nangate45")
    path = tmp_path / "cells.lib"
    path.write_text(cells.text)
    read = library.from_liberty(path)
    assert read.cells.keys() == cells.cells.keys() and read.gate_um2 == cells.gate_um2
    for name, cell in cells.cells.items():
        other = read.cells[name]
        assert other["area_um2"] == cell["area_um2"] and other["in_fF"] == pytest.approx(cell["in_fF"])
        assert ("ff" in other) == ("ff" in cell) and other.get("setup_ps") == cell.get("setup_ps"), name
        for pin, out in cell["out"].items():
            for source, arcs in out.get("arc", {}).items():
                for arc, again in zip(arcs, other["out"][pin]["arc"][source]):
                    if max(map(abs, arc["k"][0])) > 0:
                        assert again["k"][0] == pytest.approx(arc["k"][0], rel=0.02, abs=0.02), (name, pin, source)


def test_units_of_a_liberty_file_count(tmp_path):
    text = """library (l) { time_unit : "1ns"; capacitive_load_unit (1, pf);
      cell (INV) { area : 1.5; pin (A) { direction : input; capacitance : 0.002; }
        pin (Y) { direction : output; function : "!A"; timing () { related_pin : "A"; timing_sense : negative_unate;
          cell_rise (t) { index_1 ("0.01, 0.1"); index_2 ("0.001, 0.01"); values ("0.01, 0.02", "0.03, 0.04"); }
          rise_transition (t) { index_1 ("0.01, 0.1"); index_2 ("0.001, 0.01"); values ("1, 1", "1, 1"); } } } } }"""
    path = tmp_path / "l.lib"
    path.write_text(text)
    table, _ = liberty_reader.read(path)
    cell = table["cells"]["INV"]
    assert cell["in_fF"]["A"] == 2.0
    k0, ks, kc, kx = cell["out"]["Y"]["arc"]["A"][0]["k"][0]
    assert k0 + ks * 10 + kc * 1 + kx * 10 == pytest.approx(10)
    assert k0 + ks * 100 + (kc + kx * 100) * 10 == pytest.approx(40)


@pytest.mark.parametrize("text, message", [
    ("hello", "no whole library group"), ("library (l) { cell (A) { area : 1; }", "no whole library group"),
    ("library (l) { } }", "brace too many"), ("library (l) { }", "no cells"),
    ('library (l) { time_unit : "1us"; cell (A) { area : 1; } }', "time_unit = '1us' is not allowed"),
    ("library (l) { cell (A) { area : 1; } }", "it has no two-input NAND"),
])
def test_what_is_no_library_is_refused(tmp_path, text, message):
    path = tmp_path / "l.lib"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        library.from_liberty(path)


def test_a_file_that_is_no_cell_table_is_refused(tmp_path):
    (tmp_path / "other.toml").write_text("[library]\n")
    with pytest.raises(ValueError, match=r"has no \[cells\] section"):
        liberty.load(tmp_path / "other.toml")


def test_an_unknown_library_is_refused():
    with pytest.raises(ValueError, match="library = 'tsmc' is not known"):
        library.load("tsmc")
