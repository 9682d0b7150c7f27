"""``resilin run duet_study``: tables and files; bad requests end before anything is computed."""

import json

import pytest

from resilin.cli import main
from tests.workloads.models import crnn, page_lines


def test_methods(tmp_path, capsys):
    crnn(), page_lines()
    command = ["run", "duet_study", "--part", "methods", "--lines", "2", "--evaluation-lines", "1", "--samples", "200"]
    assert main([*command, "-o", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "methods.json").read_text())
    assert len(results["rows"]) == 4 and all(len(row["skip"]) == 6 for row in results["rows"])
    assert "top-K (Eq. 3.19)" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, reason", [(["--image", "absent.png"], "readable file"),
                                               (["--output", __file__], "must be a folder")])
def test_bad_requests(arguments, reason, capsys):
    assert main(["run", "duet_study", *arguments]) == 2
    assert reason in capsys.readouterr().err


def test_tables_of_every_part(capsys):
    from resilin.jobs import duet_study

    layer = {"variant": "hardware", "layer": "conv3", "k": 8, "zeros": 0.5, "skip": 0.25, "precision": 1.0, "loss": 0.0}
    row = {"images": "page", "clipping": 0.5, "shift": 12, "budget": 0, "macs_skipped": 0.5, "error": 0.1,
           "accuracy": 1.0}
    gate = {"network": "toy", "variant": "float", "wanted": 0.5, "ratio": 0.5, "error": 0.1, "words_equal": 0.75,
            "read": 0.5}
    for part, results in (("layers", {"rows": [layer]}), ("gates", [{"network": "toy", "rows": [gate]}]),
                          ("network", {"inputs": {"reference": {"page": 1.0}, "rows": [row]}})):
        duet_study._print(part, results)
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("0.250", "words_equal", "0.750", "exact network", "characters read"))
