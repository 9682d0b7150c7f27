"""``resilin run figs_mapping``: table and file; bad requests end before anything is computed."""

import json

import pytest

from golden.figs.mapping_study import study
from golden.figs.patterns import Pattern
from golden.figs.sizes import Sizes
from resilin.cli import main


def test_table_and_file(tmp_path, capsys):
    assert main(["run", "figs_mapping", "--preset", "small", "--set", "alpha=3", "--ratio", "1:4", "--ratio", "1:1",
                 "--ratio", "2:8", "--depth", "1", "--depth", "3", "--inputs", "64", "--outputs", "40",
                 "-o", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "figs_mapping.json").read_text())
    assert results["config"]["alpha"] == 3 and results["outputs"] == 40 and len(results["rows"]) == (3 + 1 + 3) * 2
    use = {(row["pattern"], row["kind"], row["depth"]): row["utilisation"] for row in results["rows"]}
    # Three tiles of 16 outputs for 40 of them at 1:4, ten of four at 1:1.
    assert use["1:4", "shared", 1] == pytest.approx(40 / 48) and use["1:1", "own", 1] == 1
    assert use["1:4", "own", 1] < use["1:4", "clustered", 3] < use["1:4", "shared", 3]
    assert use["2:8", "shared", 1] < use["2:8", "shared", 3]
    printed = capsys.readouterr().out
    assert "4 x 2 x 2 multipliers, alpha 3" in printed and "-- 64 inputs" in printed and "clustered" in printed
    assert main(["run", "figs_mapping", "--ratio", "1:2", "--depth", "2", "--inputs", "8", "--outputs", "8", "--json",
                 "-o", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["inputs"] == 8


def test_cycles_are_those_of_the_parts():
    for row in study(Sizes.preset("small"), [Pattern(2, 8)], (1, 3), (40,), 20):
        assert row["cycles"] == row["positions"] + row["held"] + row["tail"]
        assert row["utilisation"] == row["nonzeros"] / (row["cycles"] * 16) and row["nonzeros"] == 20 * 40 / 4
        # A word a cycle of four slots: advance, exchange (2), two entries of use, select (1 or 3), two weights.
        word = 4 * (3 + 2 * (1 + {1: 1, 3: 3}[row["depth"]] + 16))
        assert row["program_bits"] == row["cycles"] * word / 200 and row["compressed_bits"] == 8 + 3


@pytest.mark.parametrize("arguments, reason", [
    (["--ratio", "3:4"], "n = 3"), (["--ratio", "1:64"], "m = 64"),
    (["--set", "array=dense", "--set", "alpha=0", "--set", "depth=1", "--set", "groups=1"], "array = 'dense'"),
    (["--set", "rows=3"], "rows"), (["--output", __file__], "must be a folder"), (["--seed", "-1"], "seed"),
    (["--depth", "1", "--depth", "17"], "depth = 17 is not allowed: depth must be an integer from 1 to 16")])
def test_bad_requests(arguments, reason, capsys):
    assert main(["run", "figs_mapping", *arguments]) == 2
    error = capsys.readouterr().err
    assert reason in error and "inputs, " not in error  # no line of progress
