"""The study's measures against their definitions, and its rows on a small layer."""

import math

import numpy as np
import pytest

from golden.enmc import screening_study as study_module
from golden.enmc.screener_training import classifier_scores
from golden.enmc.screening_study import Vectors, agreement, losses, perplexity, study


def small_layer(classes=200, width=24, samples=900):
    rng = np.random.default_rng(4)
    weight = rng.standard_normal((classes, width)).astype(np.float32)
    hidden = (rng.standard_normal((samples, width)) * 0.9 ** np.arange(width)).astype(np.float32)
    bias = rng.standard_normal(classes).astype(np.float32)
    targets = classifier_scores(weight, bias, hidden).argmax(1)
    targets[::3] = -1
    return weight, bias, hidden, targets


def test_loss_and_perplexity():
    scores = np.array([[1.0, 2, 3], [1000, 1000, -1000]], np.float32)
    loss = losses(scores, np.array([2, -1]))
    assert math.isclose(loss[0], math.log(math.exp(-2) + math.exp(-1) + 1), rel_tol=1e-6) and np.isnan(loss[1])
    assert perplexity(np.array([math.log(2), math.log(8), np.nan])) == 4 and perplexity(np.full(3, np.nan)) is None
    assert perplexity(losses(np.zeros((5, 7), np.float32), np.arange(5))) == 7


def test_agreement_of_an_example():
    full = np.array([[9.0, 8, 7, 6, 5, 0, 0, 0], [0, 1, 2, 3, 4, 5, 6, 7]], np.float32)
    candidates = np.zeros((2, 8), bool)
    candidates[0, [0, 1, 5]] = candidates[1, 0] = True
    mixed = full.copy()
    mixed[1] = [0, 9, 2, 3, 4, 5, 6, 7]
    found = agreement(full, mixed, candidates, np.array([0, -1]))
    assert {key: found[key].tolist() for key in ("candidates", "found1", "found5", "top1", "top5")} == {
        "candidates": [3, 1], "found1": [1, 0], "found5": [0.4, 0], "top1": [1, 0], "top5": [1, 0.8]}
    assert np.isnan(found["loss"][1]) and found["loss"][0] > 0


def test_rows_of_a_small_layer(monkeypatch):
    monkeypatch.setattr(study_module, "_THRESHOLD_ITEMS", 100)
    weight, bias, hidden, targets = small_layer()
    sets = {"near": Vectors(hidden[700:], targets[700:]), "far": Vectors(3 * hidden[:70], targets[:70])}
    messages = []
    results = study(weight, bias, hidden[:700], sets, (6, 40, 200), (4, 2), progress=messages.append)
    rows = {tuple(row[key] for key in ("projection", "k", "numbers", "text", "selection", "count")): row
            for row in results["rows"]}
    assert len(rows) == len(results["rows"]) == 2 * 2 * 2 * 3 * 3 and len(messages) == 8
    assert results["sets"]["near"]["vectors"] == 200 and 1 < results["sets"]["near"]["perplexity"] < 200
    full = classifier_scores(weight, bias, sets["near"].hidden)
    assert abs(results["sets"]["near"]["deviation"] - full.std(1).mean()) < 1e-3
    assert abs(results["sets"]["near"]["level_deviation"] - full.mean(1).std()) < 1e-3
    for (kind, k, numbers, text, selection, count), row in rows.items():
        if selection == "top":
            assert row["candidates"] == row["candidates_most"] == count
            assert row["top1"] <= row["found1"] + 1e-9 or count == 200
        if count == 200 and selection == "top":  # everything is a candidate: nothing is lost
            assert (row["found1"], row["found5"], row["top1"], row["top5"]) == (1, 1, 1, 1)
            assert abs(row["perplexity"] - results["sets"][text]["perplexity"]) < 1e-3
        assert row["bytes_batch"] != row["bytes"] and row["batch"] == 4
        if text == "near" and selection == "threshold":
            assert 0.75 * count <= row["candidates"] <= 1.25 * count
        if numbers == "INT4" and selection == "top":
            exact = rows[kind, k, "float", text, selection, count]
            assert row["error"] > exact["error"] and row["int4_macs"] == exact["int4_macs"]
            assert row["found1"] > exact["found1"] - 0.1
            assert row["found1"] >= rows[kind, k, numbers, text, selection, 6]["found1"]
    assert rows["pca", 12, "float", "near", "top", 6]["error"] < rows["pca", 6, "float", "near", "top", 6]["error"]
    assert rows["pca", 6, "INT4", "near", "top", 40]["perplexity"] < rows["ternary", 6, "INT4", "near", "top", 6][
        "perplexity"]


def test_more_candidates_than_classes_are_refused():
    weight, bias, hidden, targets = small_layer()
    with pytest.raises(ValueError, match="counts = .*200 classes"):
        study(weight, bias, hidden, {}, counts=(201,))
