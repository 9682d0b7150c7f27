"""``resilin run mutate``: mutants of a netlist, and whether tests notice them."""

import json

from resilin.cli import main


def test_some_mutants_of_the_scheduler_die(tmp_path, capsys):
    arguments = ["--block", "scheduler", "--count", "8", "--only", "1", "2", "4", "8", "-o", str(tmp_path)]
    assert main(["run", "mutate", *arguments]) == 0
    report = json.loads((tmp_path / "mutate.json").read_text())
    # The first of all, without a mutant, passed: else the job would have failed.
    assert [row["mutant"] for row in report["mutants"]] == [1, 2, 4, 8]
    assert report["killed"] >= 2 and report["killed"] + report["equivalent"] + report["survived"] == 4
    assert f"of 4 mutants {report['killed']} killed" in capsys.readouterr().out


def test_bad_counts_are_refused(tmp_path, capsys):
    for words, message in ((["--count", "0"], "count = 0 is not allowed"), (["--only", "3", "21"], "only = 21")):
        assert main(["run", "mutate", *words, "-o", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err and not (tmp_path / "out").exists()
