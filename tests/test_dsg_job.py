"""``resilin run dsg``: results in a table, a file and a chart."""

import json

from resilin.cli import main
from tests.workloads.models import digits


def test_a_short_run(tmp_path, capsys, monkeypatch):
    digits()
    from golden.duet import dsg_study

    monkeypatch.setattr(dsg_study, "study", lambda *args, study=dsg_study.study, **options: study(
        *args, **options, sparsities=(0, 0.8), widths=(64, 32, 10)))
    assert main(["run", "dsg", "-o", str(tmp_path), "--epochs", "2", "--seeds", "1"]) == 0
    results = json.loads((tmp_path / "dsg.json").read_text())
    rows = {(row["choice"], row["sparsity"]): row for row in results["rows"]}
    assert len(rows) == 14 and results["epochs"] == 2 and results["evaluation_images"] == 359
    assert rows["search", 0.8]["macs"] < 0.6 < rows["search", 0]["macs"] and rows["oracle", 0.8]["macs"] < 0.21
    assert rows["search", 0]["accuracy"] > 0.7 and rows["search", 0.8]["zeros"][0] >= 0.75
    printed = capsys.readouterr().out
    assert "search, single mask" in printed and "dsg.svg" in printed
    assert (tmp_path / "dsg.svg").read_text().startswith("<svg")
