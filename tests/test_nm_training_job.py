"""``resilin run nm_training``: tables, files, the search; bad requests end before anything is computed."""

import json

import pytest

from golden.figs import digits_study, minilm_study
from golden.figs.patterns import Pattern
from resilin.cli import main
from tests.workloads.models import digits, minilm

_TWO = Pattern(1, 4), Pattern(1, 32)


def _shorter(monkeypatch, module, name, **changes):
    whole = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args, **options: whole(*args, **options, **changes))


def test_digits(tmp_path, capsys, monkeypatch):
    digits()
    _shorter(monkeypatch, digits_study, "study", patterns=_TWO, epochs=2)
    assert main(["run", "nm_training", "--task", "digits", "--seeds", "2", "--shared-by", "2", "-o",
                 str(tmp_path)]) == 0
    results = json.loads((tmp_path / "nm_training.json").read_text())
    rows = results["digits"]["rows"]
    assert list(results) == ["digits"] and len(rows) == 1 + 2 * 5 and len(results["digits"]["differences"]) == 6
    assert results["digits"]["shared_by"] == 2
    assert {len(row["each"]) for row in rows} == {2} and rows[0]["recipe"] == "dense"
    printed = capsys.readouterr().out
    assert "FiGS - SR-STE" in printed and "digits.svg" in printed and "2 seeds, a mask for every 2 outputs" in printed
    assert (tmp_path / "digits.svg").read_text().startswith("<svg")


def test_minilm(tmp_path, capsys, monkeypatch):
    minilm()
    monkeypatch.setattr(minilm_study, "PASSAGES", {"training": 4, "validation": 1, "evaluation": 2})
    _shorter(monkeypatch, minilm_study, "study", patterns=_TWO[:1], recipes=minilm_study.RECIPES[1:3], epochs=1)
    assert main(["run", "nm_training", "--task", "minilm", "--block-seeds", "1", "-o", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "nm_training.json").read_text())
    dense, shot, *trained = results["minilm"]["rows"]
    assert dense["missed"] == 0 and 0 < dense["int16"]["missed"] <= dense["int8"]["missed"] * 1.1 < 0.02
    assert all(row["sentence"] > shot["sentence"] and row["missed"] < shot["missed"] for row in trained)
    assert "512 vectors to train on, 256 to evaluate on" in capsys.readouterr().out


@pytest.mark.parametrize("task, module", [("digits", digits_study), ("minilm", minilm_study)])
def test_search(task, module, tmp_path, capsys, monkeypatch):
    {"digits": digits, "minilm": minilm}[task]()
    monkeypatch.setattr(minilm_study, "PASSAGES", {"training": 2, "validation": 1, "evaluation": 1})
    _shorter(monkeypatch, module, "search", grid=module.GRID[:2], patterns=_TWO[:1], epochs=1)
    assert main(["run", "nm_training", "--task", task, "--search", "-o", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "search.json").read_text())
    printed = capsys.readouterr().out
    assert "fine-tuned" in printed and "pattern 1:4" in printed and "search.json" in printed
    assert main(["run", "nm_training", "--task", task, "--search", "--json", "-o", str(tmp_path)]) == 0
    # Same seeds, same results.
    assert json.loads(capsys.readouterr().out) == results and len(results[task]["rows"]) == 2


@pytest.mark.parametrize("module", [digits_study, minilm_study])
def test_the_study_takes_the_best_of_candidates_of_equal_number(module):
    names = [recipe.name for recipe in module.RECIPES]
    assert len({sum(known.name == name for known in module.GRID) for name in names}) == 1
    assert all(recipe in module.GRID for recipe in module.RECIPES)


@pytest.mark.parametrize("arguments, reason", [
    (["--output", __file__], "must be a folder"), (["--seeds", "0"], "not above 0"),
    (["--task", "x"], "invalid choice")])
def test_bad_requests(arguments, reason, capsys):
    try:
        code = main(["run", "nm_training", *arguments])
    except SystemExit as ended:
        code = ended.code
    assert code == 2 and reason in capsys.readouterr().err
