"""``resilin run mutate``: mutants of a netlist, and whether tests notice them."""

import json

from resilin.cli import main


def test_some_mutants_of_the_scheduler_die(tmp_path, capsys):
    assert main(["run", "mutate", "--block", "scheduler", "--count", "4", "-o", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "mutate.json").read_text())
    # The first of all, without a mutant, passed: else the job would have failed.
    assert len(report["mutants"]) == 4 and report["killed"] >= 2
    assert f"{report['killed']} of 4 mutants killed" in capsys.readouterr().out


def test_bad_count_is_refused(tmp_path, capsys):
    assert main(["run", "mutate", "--count", "0", "-o", str(tmp_path / "out")]) == 2
    assert "count = 0 is not allowed" in capsys.readouterr().err and not (tmp_path / "out").exists()
