"""``resilin run screening_study``: table and file; bad requests end before anything is computed."""

import json

import numpy as np
import pytest

from golden.enmc.screening_study import Vectors
from resilin.cli import main
from tests.workloads.models import page_lines, recogniser, smollm2


def test_a_short_run(tmp_path, capsys, monkeypatch):
    """The job on a slice of the real layer, with few and short passages."""
    smollm2()
    from golden.enmc import screening_study as module

    whole = module.study

    def slice_of_it(weight, bias, training, sets, *rest, **options):
        sets = {name: Vectors(found.hidden, np.minimum(found.targets, 599)) for name, found in sets.items()}
        return whole(weight[:600], bias[:600], training, sets, *rest, **options)

    monkeypatch.setattr(module, "study", slice_of_it)
    (tmp_path / "own.txt").write_text("The user's own text, which is not long. " * 4)
    command = ["run", "screening_study", "--training", "2", "--passages", "1", "--tokens", "24", "--candidates", "8",
               "--reduction", "36", "--text", str(tmp_path / "own.txt"), "-o", str(tmp_path / "out")]
    assert main(command) == 0
    results = json.loads((tmp_path / "out" / "smollm2.json").read_text())
    assert results["centred"] and results["model"] == "smollm2" and results["training_vectors"] == 48
    assert set(results["sets"]) == {"evaluation", "licence", "own"}
    assert len(results["rows"]) == 2 * 3 * 3 and all(row["k"] == 16 for row in results["rows"])
    printed = capsys.readouterr().out
    assert "-- licence: 24 vectors" in printed and "threshold" in printed and "smollm2.json" in printed


def test_a_reader_of_lines(tmp_path, capsys):
    recogniser(), page_lines()
    assert main(["run", "screening_study", "--model", "rapidocr", "--training", "2", "--passages", "1", "--candidates",
                 "8", "--reduction", "4", "--projection", "pca", "--not-centred", "-o", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "rapidocr.json").read_text())
    assert set(results["sets"]) == {"evaluation", "page"} and not results["centred"] and len(results["rows"]) == 2 * 3
    assert all(row["perplexity"] is None and row["k"] == 30 and row["batch"] == 4 for row in results["rows"])
    assert "6625 classes of 120 inputs" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, reason", [
    (["--text", "absent.txt"], "readable file"), (["--output", __file__], "must be a folder"),
    (["--tokens", "1"], "tokens = 1"),
    (["--model", "rapidocr", "--text", "own.txt"], "text is not allowed")])
def test_bad_requests(arguments, reason, capsys):
    assert main(["run", "screening_study", *arguments]) == 2
    assert reason in capsys.readouterr().err


def test_too_great_a_reduction(tmp_path, capsys):
    recogniser(), page_lines()
    assert main(["run", "screening_study", "--model", "rapidocr", "--training", "2", "--passages", "1", "--reduction",
                 "121", "-o", str(tmp_path)]) == 2
    assert "reduction = 121" in capsys.readouterr().err
