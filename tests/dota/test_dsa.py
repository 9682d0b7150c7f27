"""Dynamic sparse attention: closed-form calibration, selection, metrics, the study of a whole model."""

import numpy as np
import pytest

from golden.arith.fixed import requantize
from golden.dota import calibrate as calibration
from golden.dota import detector
from golden.dota.calibrate import calibrate
from golden.dota.dsa import (balanced_mask, cosine, estimated_scores, output_error, prediction_accuracy, retained_mass,
                             threshold_mask)
from golden.dota.study import DetectorChoice, Study, study
from golden.workloads.text import calibration_windows, evaluation_windows
from tests.workloads.models import minilm


def _layer(seed=0, texts=12, tokens=32, inputs=48, heads=2, width=8):
    """Random x (texts, tokens, inputs) and its q, k (texts, heads, tokens, width)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((texts, tokens, inputs)) @ rng.standard_normal((inputs, inputs)) / np.sqrt(inputs)
    weights = rng.standard_normal((2, heads, width, inputs)) / np.sqrt(inputs)
    return x, *(np.einsum("btd,hwd->bhtw", x, part) for part in weights)


def _accuracy(predictor, x, q, k, count=4):
    scores = q @ k.swapaxes(-1, -2)
    return prediction_accuracy(scores, balanced_mask(estimated_scores(predictor, x), count)).mean()


def test_ternary_matrix_has_achlioptas_probabilities():
    matrix = calibration.ternary_matrix(96, 384, 7)
    assert matrix.shape == (96, 384) and set(np.unique(matrix)) == {-1, 0, 1}
    for value, probability in ((-1, 1 / 6), (0, 2 / 3), (1, 1 / 6)):
        assert abs((matrix == value).mean() - probability) < 0.01
    # With the factor sqrt(3/k), lengths are kept on average.
    x = np.random.default_rng(0).standard_normal((200, 384))
    assert abs(np.square(x @ matrix.T * np.sqrt(3 / 96)).sum() / np.square(x).sum() - 1) < 0.05


@pytest.mark.parametrize("size", [1, 2, 3, 8, 12, 31, 32])
def test_rotation_is_orthogonal_and_even(size):
    matrix = calibration.orthogonal(size)
    assert np.allclose(matrix @ matrix.T, np.eye(size))
    if size & (size - 1) == 0:
        assert np.allclose(np.abs(matrix), size ** -0.5)


def test_full_projection_at_16_bits_predicts_perfectly():
    """With Y as wide as X and 16 bits nothing is lost: the closed form must reproduce the ranking."""
    x, q, k = _layer()
    assert _accuracy(calibrate(x, q, k, "svd", 16, rank=8), x, q, k) > 0.99
    assert _accuracy(calibrate(x, q, k, "svd", 8, rank=8), x, q, k) > 0.9


def test_closed_form_beats_perturbed_weights(monkeypatch):
    """No small change of the fitted factors lowers the squared error: it is a minimum (equation 7.6)."""
    monkeypatch.setattr(calibration, "_ATTENTION", 0.0)
    monkeypatch.setattr(calibration, "_RIDGE", 1e-9)
    x, q, k = _layer(heads=1, texts=4, tokens=64)
    queries, keys = q[:, 0].reshape(-1, 8), k[:, 0].reshape(-1, 8)
    view = x.reshape(-1, x.shape[-1]) @ calibration.ternary_matrix(12, x.shape[-1], 0).T.astype(float)
    maps = [calibration._regress(view, target) for target in (queries, keys)]

    def loss(query_map, key_map):
        return np.square(queries @ keys.T - view @ query_map @ key_map.T @ view.T).sum()

    rng, best = np.random.default_rng(1), loss(*maps)
    for _ in range(20):
        change = [rng.standard_normal(part.shape) * 0.01 * np.abs(part).mean() for part in maps]
        assert loss(maps[0] + change[0], maps[1]) > best < loss(maps[0], maps[1] + change[1])


def test_more_bits_and_larger_projection_predict_better():
    x, q, k = _layer()
    bits = [_accuracy(calibrate(x, q, k, "ternary", bits, 0.75), x, q, k) for bits in (2, 4, 8)]
    sizes = [_accuracy(calibrate(x, q, k, "ternary", 8, sigma), x, q, k) for sigma in (0.1, 0.3, 0.75)]
    ranks = [_accuracy(calibrate(x, q, k, "svd", 8, rank=rank), x, q, k) for rank in (1, 3, 8)]
    for values in (bits, sizes, ranks):
        assert values == sorted(values) and values[0] > 4 / 32


@pytest.mark.parametrize("bits", [16, 8, 4, 2])
@pytest.mark.parametrize("kind", calibration.KINDS)
def test_estimated_scores_equal_integer_arithmetic(kind, bits):
    """The fast path in floats against int64 arithmetic with the one definition of requantize."""
    x, q, k = _layer()
    predictor = calibrate(x, q, k, kind, bits, 0.25, 4)
    fx16 = calibration.round_to(x, predictor.input_scale, 16).astype(np.int64)
    assert np.abs(fx16).max() < 32767
    low = requantize(fx16, predictor.shift_x, bits)
    if predictor.projection is not None:
        low = requantize(low @ predictor.projection.T, predictor.shift_p, bits)
    scores = estimated_scores(predictor, x)
    for head in range(2):
        factors = [requantize(low @ weights[head].T, int(shift[head]), bits) for weights, shift in (
            (predictor.query, predictor.shift_query), (predictor.key, predictor.shift_key))]
        expected = requantize(factors[0] @ factors[1].swapaxes(1, 2), int(predictor.shift_score[head]),
                              predictor.score_bits)
        assert np.array_equal(scores[:, head], expected)
    for weights in (predictor.query, predictor.key):
        assert weights.min() >= -2 ** (bits - 1) and weights.max() < 2 ** (bits - 1)


def test_estimated_scores_of_a_wide_model_are_exact():
    """Sums of 2048 products of 8 bits pass 2^24, above which float32 knows even numbers only."""
    weights = np.zeros(2048, np.int64)
    weights[:2033] = [*[127] * 2031, 78, 1]
    x = np.full((1, 1, 2048), 127.0)
    x[..., 2032] = 94
    assert x[0, 0] @ weights == 62.5 * 2**19 - 1  # so Q~ is 62; one more, and it is 63
    predictor = calibration.LayerPredictor(
        kind="svd", bits=8, score_bits=8, input_scale=1.0, shift_x=0, projection=None, shift_p=0,
        query=weights[None, None], key=np.eye(1, 2048, dtype=np.int64)[None], shift_query=np.array([19]),
        shift_key=np.array([6]), shift_score=np.array([0]), score_scale=np.ones(1))
    assert estimated_scores(predictor, x)[0, 0, 0, 0] == 62 * 2


@pytest.mark.parametrize("field, options", [
    ("kind", {"kind": "pca"}), ("bits", {"bits": 3}), ("sigma", {"sigma": 0}), ("sigma", {"sigma": 1.5}),
    ("rank", {"rank": 0}), ("rank", {"rank": 9})])
def test_bad_options_are_refused(field, options):
    with pytest.raises(ValueError, match=f"{field} = .* is not allowed"):
        calibrate(*_layer(texts=2), **options)


@pytest.mark.parametrize("seed", range(5))
def test_selection_equals_the_detector(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(-3, 4, (20, 17))
    for count in (1, 5, 16, 17, 40):
        assert np.array_equal(balanced_mask(scores.astype(np.float32), count),
                              detector.select(scores, detector.Mode.BALANCED, count=count))
    assert np.array_equal(threshold_mask(scores, 2), detector.select(scores, detector.Mode.THRESHOLD, threshold=2))
    with pytest.raises(ValueError, match="count = 0"):
        balanced_mask(scores, 0)


def test_metrics_on_hand_made_rows():
    scores = np.array([[4.0, 3, 2, 1], [1, 2, 3, 4]])
    mask = np.array([[True, False, True, False], [False, False, True, True]])
    assert prediction_accuracy(scores, mask) == 0.75
    assert prediction_accuracy(scores, np.zeros((2, 4), bool)) == 1
    assert retained_mass(scores / 10, mask) == pytest.approx(0.65)
    assert output_error(np.array([3.0, 4.0]), np.array([3.0, 0.0])) == pytest.approx(4 / 3)
    assert cosine(np.array([[1.0, 0], [1, 1]]), np.array([[0.0, 2], [3, 3]])) == pytest.approx([0, 1])


def test_study_of_the_whole_model():
    """Bounds from separate measurements on MiniLM: oracle .90, ternary INT4 .85, SVD rank 8 .89 at 10 %."""
    model = minilm()
    work = Study(model, evaluation_windows(model, 128, 3), calibration_windows(model, 128, 16))
    ternary, svd = DetectorChoice(), DetectorChoice("svd", 4, rank=8)
    cosines = {choice: work.embedding_cosine(choice, 0.1).mean() for choice in ("oracle", "random", ternary, svd)}
    assert cosines["oracle"] > 0.85 and cosines[svd] > 0.83 and cosines[ternary] > 0.78
    assert cosines["random"] < 0.75
    heads = work.heads(ternary, 0.1)
    assert heads["accuracy"].shape == heads["mass"].shape == heads["error"].shape == (6, 12)
    assert (heads["accuracy"].mean(1) > 0.4).all() and abs(work.heads("random", 0.1)["accuracy"].mean() - 0.1) < 0.02
    assert np.allclose(work.heads("oracle", 0.1)["accuracy"], 1)
    assert work.embedding_cosine(ternary, 1.0) == pytest.approx(1, abs=1e-5)


def test_study_returns_plain_data():
    model = minilm()
    lines = []
    report = study(model, 32, 2, 8, (0.5,), (DetectorChoice("svd", 2, rank=4),), 0.5, progress=lines.append)
    assert [row["detector"] for row in report["whole_model"]] == ["oracle", "random", "svd"]
    assert report["whole_model"][2]["precision"] == "INT2" and report["whole_model"][2]["rank"] == 4
    assert len(report["heads"][2]["accuracy"]) == 6 and len(lines) == 3
    held_out = report["held_out"]
    assert held_out["texts"] == 8 and [row["retention"] for row in held_out["rows"]] == [0.5] * 4
    best, worst = held_out["rows"][:2]
    assert best["cosine"] > max(row["cosine"] for row in held_out["rows"][2:]) > worst["cosine"]
    assert study(model, 32, 2, 8, (0.5,), (), 0.5, ids=evaluation_windows(model, 32, 2))["held_out"] is None
    with pytest.raises(ValueError, match="retention = 0"):
        study(model, retentions=(0,))
