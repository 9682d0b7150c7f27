"""``resilin run mutate``: mutants of a netlist, and whether tests notice them."""

import json

from resilin.cli import main


def test_some_mutants_of_the_scheduler_die(tmp_path, capsys):
    arguments = ["--block", "scheduler", "--count", "40", "--only", "1", "2", "26", "-o", str(tmp_path)]
    assert main(["run", "mutate", *arguments]) == 0
    report = json.loads((tmp_path / "mutate.json").read_text())
    # The first of all, without a mutant, passed: else the job would have failed.
    results = {row["mutant"]: row["result"] for row in report["mutants"]}
    assert results.keys() == {1, 2, 26} and report["killed"] == 2 and report["equivalent"] == 1, report
    assert "of 3 mutants 2 killed, 1 proven equivalent, 0 survived" in capsys.readouterr().out


def test_bad_counts_are_refused(tmp_path, capsys):
    for words, message in ((["--count", "0"], "count = 0 is not allowed"), (["--only", "3", "21"], "only = 21")):
        assert main(["run", "mutate", *words, "-o", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err and not (tmp_path / "out").exists()
