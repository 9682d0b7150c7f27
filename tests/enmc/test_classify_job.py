"""``resilin run classify``: the rank's runs against plain numpy, the record's sums, the files; what is refused."""

import dataclasses
import json
import re

import numpy as np
import pytest

from golden.enmc.compiler import Classifier
from golden.enmc.layout import BURST_BYTES
from golden.enmc.screener_training import classifier_scores
from golden.enmc.screening import above_threshold, mixed_scores
from hw.enmc.enmc_rank import EnmcRankConfig
from resilin.cli import main
from resilin.enmc.classify_record import typical
from resilin.enmc.classify_run import check_layer, curve_session, full_session, layer_session, make_task, timeline
from resilin.enmc.rank_run import Mismatch, Session, compare_replies, run_sessions
from tests.workloads.models import page_lines, recogniser, smollm2

CONFIG = EnmcRankConfig.preset("small")


def small_task(items, classes=130, width=40, candidates=9):
    rng = np.random.default_rng(3)
    weight, bias = rng.normal(size=(classes, width)).astype(np.float32), rng.normal(size=classes).astype(np.float32)
    vectors = rng.normal(size=(60, width)).astype(np.float32)
    return make_task(weight, bias, vectors, vectors[:items], 20, "ternary", candidates)


def small_classifier():
    """A layer as a user makes it, and five vectors."""
    task = small_task(60)
    layer = Classifier(task.weight, task.bias)
    layer.train(task.hidden, 20, 9)
    return layer, task.hidden[:5]


@pytest.fixture(scope="module")
def runs():
    """Of a layer for two items, of one in full and at three thresholds, of five items in two batches, on the RTL."""
    task, one = small_task(2), small_task(1)
    layer, vectors = small_classifier()
    return run_sessions({"layer": layer_session(task, probabilities=True),
                         "full": full_session(one.weight, one.bias, one.hidden),
                         "curve": curve_session(one, (0, 8, 500)),
                         "batches": Session.of(layer, len(vectors), dict(enumerate(layer.compile(vectors))))},
                        CONFIG, preset="small", every=256)


def test_both_ways_on_the_rtl_give_what_numpy_gives(runs):
    task, runs = small_task(2), runs["layer"]
    check_layer(task, runs)
    layout = layer_session(task).programs["screening"].layout
    scores = task.scores()
    chosen, full = above_threshold(scores, task.threshold), classifier_scores(task.weight, task.bias, task.hidden)
    expected = mixed_scores(scores, chosen, full)
    for name in ("screening", "candidates"):
        np.testing.assert_allclose(runs[name].results.scores, expected, atol=1e-4)
    assert [len(found) for found in runs["screening"].results.candidates] == chosen.sum(1).tolist() and chosen.any()
    np.testing.assert_allclose(runs["probabilities"].results.scores,
                               np.exp(expected) / np.exp(expected).sum(1, keepdims=True), rtol=1e-3)
    assert runs["screening"].cycles < runs["alone"].cycles + runs["candidates"].cycles
    first = runs["screening"]
    # Samples of the counters hold the host up, refreshes come at other times: no more than that.
    assert all(abs(run.cycles - run.times.cycles) < 50 + 0.1 * run.cycles for run in runs.values())
    assert first.reads * BURST_BYTES >= layout.screening_bytes + chosen.sum() * layout.row_bytes
    assert (np.diff(first.samples, axis=0) >= 0).all() and first.samples[-1, 4] == first.reads
    screener, executor, both = first.busy
    assert 0 < both <= min(screener, executor) and max(screener, executor) < first.cycles
    assert runs["alone"].busy[1:] == (0, 0) and runs["candidates"].busy[0] == 0
    # The same results and log are written either way.
    assert first.writes == runs["alone"].writes + runs["candidates"].writes


def test_full_classification_and_a_curve(runs):
    task, full = small_task(1), runs["full"]["full"]
    np.testing.assert_allclose(full.results.scores, classifier_scores(task.weight, task.bias, task.hidden), atol=1e-4)
    assert [sum(map(len, run.results.candidates)) for run in runs["curve"].values()] == [0, 8, 130]
    none, some, every = (run.cycles for run in runs["curve"].values())
    assert none < some < every


def test_programs_of_a_call_on_the_rtl_give_what_the_call_gives(runs):
    layer, vectors = small_classifier()
    expected = layer(vectors, probabilities=False)
    found = [run.results for run in runs["batches"].values()]
    assert [len(each.scores) for each in found] == [3, 2] and any(map(len, expected.candidates))
    assert np.array_equal(np.concatenate([each.scores for each in found]), expected.scores)
    for name in ("candidates", "accurate"):
        got = [row for each in found for row in getattr(each, name)]
        assert all(np.array_equal(*pair) for pair in zip(got, getattr(expected, name), strict=True))


def test_other_candidates_or_results_are_seen(runs):
    task, runs = small_task(2), runs["layer"]
    with pytest.raises(Mismatch, match="item 0: the rank has"):
        check_layer(dataclasses.replace(task, threshold=task.threshold + 20_000), runs)
    after = runs["candidates"]
    accurate = [values[::-1] for values in after.results.accurate]
    for wrong in (runs["alone"], dataclasses.replace(after, results=dataclasses.replace(after.results,
                                                                                        accurate=accurate))):
        with pytest.raises(Mismatch, match="other results, or another log"):
            check_layer(task, runs | {"candidates": wrong})


def test_a_wrong_byte_is_seen():
    task = small_task(1)
    sessions = {"whole": full_session(task.weight[:8], task.bias[:8], task.hidden)}
    with pytest.raises(Mismatch, match="whole, full: byte .* expected .*1 of"):
        run_sessions(sessions, CONFIG, preset="small", corrupt=1)


def test_a_wrong_answer_is_seen():
    with pytest.raises(Mismatch, match="program x: answer 1 is 0x1, expected 0x8"):
        compare_replies("x", [0, 8, None], [0, 1, 5])
    with pytest.raises(Mismatch, match="program x: 1 answers, expected 2"):
        compare_replies("x", [0, 8], [0])


def test_too_large_a_layer_is_refused():
    task = small_task(1, classes=20_000, candidates=100)
    with pytest.raises(ValueError, match="row_bits = 4 .* the rank has 2097152"):
        run_sessions({"layer": layer_session(task)}, CONFIG, rtl=False)


def test_timeline_of_a_run():
    samples = np.array([[10, 10, 0, 0, 0], [20, 20, 5, 5, 10], [40, 20, 25, 5, 20]])
    np.testing.assert_allclose(timeline(samples, 4), [[1, 1, 0, 0], [0, .5, 1, 1], [0, .5, 0, 0], [0, 1, .5, .5]])


def test_typical_vectors():
    task = small_task(1)
    hidden = np.random.default_rng(5).normal(size=(200, 40)).astype(np.float32)
    found, places = typical(task.screener, task.threshold, hidden, 9, 3)
    distance = np.abs(found.sum(1) - 9)
    assert found.shape == (200, 130) and len(set(places)) == 3
    assert distance[places].max() <= np.sort(distance)[2]


def test_the_job_on_a_slice_of_the_real_layer(tmp_path, capsys):
    smollm2()
    command = ["run", "classify", "--preset", "small", "--classes", "128", "--channels", "2", "--ranks", "2",
               "--tokens", "24", "--training", "4", "--passages", "1", "--candidates", "8", "--reduction", "36",
               "--items", "2", "--probabilities", "--no-study", "-o", str(tmp_path)]
    assert main(command) == 0
    record = json.loads((tmp_path / "report.json").read_text())
    run, scale = record["run"], record["scale_out"]
    assert record["how"] == "rtl" and record["classes"] == 128 and record["k"] == 16 and record["study"] is None
    moved = run["bytes"]
    assert moved["read"] == sum(moved[key] for key in ("screening", "int4_features", "rows", "fp32_features"))
    assert moved["rows"] == sum(item["candidates"] for item in run["answers"]) * 37 * 64
    cycles = run["cycles"]
    assert cycles["both"] <= cycles["one_after_other"] < cycles["single_module"] and cycles["both"] < cycles["full"]
    assert len(run["timeline"]["screener"]) == 100 and 0 < max(run["timeline"]["executor"]) <= 1
    beside = {each["program"]: each["model"] / each["cycles"] for each in run["beside_model"] + scale["beside_model"]}
    assert "full, 32 classes, full" in beside and "fp32, 10 classes, full" in beside and scale["share"] == 32
    assert all(abs(ratio - 1) < 0.15 for ratio in beside.values())
    for how in ("blocks", "interleaved"):
        own = scale["divisions"][how]["own"]
        assert own["candidates_slowest"] >= own["candidates_mean"]
        assert own["us"]["mean"] <= own["us"]["slowest"] < own["us"]["with_log"] <= own["us"]["with_results"]
    printed = capsys.readouterr().out
    assert re.search(rf"candidates beside screening +{cycles['both']} +{round(cycles['both'] / 2)} ", printed)
    assert "-- Cycles of the whole layer" in printed and "Executor  " in printed and "report.html" in printed
    page = (tmp_path / "report.html").read_text()
    assert "<svg" in page and record["command"] in page and "--classes 128" in record["command"]
    assert (tmp_path / "report.txt").read_text() in printed


def test_agreement_without_rtl(tmp_path, capsys):
    recogniser(), page_lines()
    assert main(["run", "classify", "--model", "rapidocr", "--training", "2", "--passages", "1", "--no-rtl",
                 "--classes", "256", "--study-candidates", "8", "--study-reduction", "8", "--study-reduction", "4",
                 "--threshold", "6.5", "-o", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["how"] == "model" and not record["run"]["beside_model"]
    assert record["run"]["cycles"]["both"] < record["run"]["cycles"]["full"] and record["scale_out"]["share"] == 4
    assert max(record["run"]["timeline"]["screener"]) > 0.9 and len(record["run"]["timeline"]["reads"]) == 100
    assert record["threshold"] == 6.5 and record["wanted"] is None
    assert [(row["text"], row["k"], row["selection"]) for row in record["study"]["rows"]] == [
        (text, k, "threshold") for k in (15, 30) for text in ("evaluation", "page")]
    printed = capsys.readouterr().out
    assert "-- Agreement, page" in printed and "-- RTL and cycle model" not in printed


@pytest.mark.slow
def test_the_whole_real_layer(tmp_path):
    smollm2()
    assert main(["run", "classify", "--no-study", "-o", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "report.json").read_text())
    cycles = record["run"]["cycles"]
    assert record["classes"] == 49_152 and 10 * cycles["both"] < cycles["full"]
    assert all(abs(each["cycles"] / each["curve"] - 1) < 0.2 for each in record["scale_out"]["checks"])


@pytest.mark.parametrize("arguments, reason", [
    (["--output", __file__], "must be a folder"), (["--tokens", "1"], "tokens = 1"), (["--seed", "-1"], "seed = -1"),
    (["--set", "row_bits=0"], "row_bits = 0"), (["--threshold", "nan"], "threshold = nan is not allowed"),
    (["--threshold=-inf"], "threshold = -inf is not allowed: it must be from -32768 to 32767.99998"),
    (["--threshold=32767.99999"], "threshold = 32767.99999 is not allowed")])
def test_bad_requests(arguments, reason, capsys):
    assert main(["run", "classify", *arguments]) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("arguments, reason", [
    (["--classes", "63"], "classes = 63 .* from 64"), (["--classes", "7000"], "classes = 7000 .* to 6625"),
    (["--reduction", "121"], "reduction = 121"), (["--study-reduction", "121"], "reduction = 121"),
    (["--items", "5"], "items = 5")])
def test_requests_that_do_not_fit_the_layer(arguments, reason, capsys):
    recogniser(), page_lines()
    assert main(["run", "classify", "--model", "rapidocr", "--training", "2", "--passages", "1", *arguments]) == 2
    assert re.search(reason, capsys.readouterr().err)
