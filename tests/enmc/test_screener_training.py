"""Training of the Screener: the minimum of Eq. 6.4, integers close to it, thresholds that give what was asked for."""

import functools

import numpy as np
import pytest

from golden.enmc import screener_training as training
from golden.enmc.layout import Layout, unpack_features, unpack_items, unpack_rows, unpack_screening
from golden.enmc.screening import above_threshold, approximate_scores, probabilities, real_scores

CLASSES, WIDTH, K = 300, 48, 12


@functools.cache
def layer(seed=0):
    """(weight, bias, vectors to train on, others) of a layer whose inputs lie near a few directions."""
    rng = np.random.default_rng(seed)
    spread = rng.standard_normal((WIDTH, WIDTH)) * 0.8 ** np.arange(WIDTH)
    hidden = (rng.standard_normal((3000, WIDTH)) @ spread.T + rng.standard_normal(WIDTH)).astype(np.float32)
    weight = rng.standard_normal((CLASSES, WIDTH)).astype(np.float32) / 4
    return weight, rng.standard_normal(CLASSES).astype(np.float32), hidden[:2000], hidden[2000:]


@functools.cache
def trained(kind, integer=True):
    weight, bias, hidden, _ = layer()
    return training.train(weight, bias, hidden, K, kind, integer=integer)


def real(screener, hidden):
    scores = screener.scores(hidden)
    return real_scores(scores) if screener.items else scores


def root_mean_square(values):
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


@pytest.mark.parametrize("kind", training.KINDS)
def test_the_float_reference_is_the_least_squares_minimum(kind):
    """Against a solver that sees the results of every class."""
    weight, bias, hidden, _ = layer()
    screener = trained(kind, False)
    features = np.concatenate([screener.features(hidden), np.ones((len(hidden), 1))], 1)
    target = training.classifier_scores(weight, bias, hidden)
    best = np.linalg.lstsq(features, target, rcond=None)[0]
    loss = np.square(real(screener, hidden) - target).sum()
    assert loss < 1.01 * np.square(features @ best - target).sum()


def test_ternary_projection_is_the_thesis_one():
    matrix = training.projection_matrix("ternary", 144, np.zeros((2, 576)), seed=3)
    values, counts = np.unique(matrix, return_counts=True)
    assert np.allclose(values, np.array([-1, 0, 1]) * np.sqrt(3 / 144))
    assert np.allclose(counts / matrix.size, [1 / 6, 2 / 3, 1 / 6], atol=0.01)
    assert not np.array_equal(matrix, training.projection_matrix("ternary", 144, np.zeros((2, 576)), seed=4))


def test_pca_projection_keeps_most_variance_and_spreads_it():
    hidden = layer()[2]
    matrix = training.projection_matrix("pca", K, hidden)
    assert np.allclose(matrix @ matrix.T, np.eye(K))
    kept = np.cov(hidden @ matrix.T, rowvar=False)
    assert np.isclose(np.trace(kept), np.linalg.eigvalsh(np.cov(hidden, rowvar=False))[-K:].sum())
    plain = np.linalg.eigvalsh(kept)
    assert np.diag(kept).max() < 0.7 * plain.max()


@pytest.mark.parametrize("kind", training.KINDS)
def test_integers_are_close_to_float(kind):
    """On vectors that training never saw: error against the full layer, integers and float reference."""
    weight, bias, _, others = layer()
    full = training.classifier_scores(weight, bias, others)
    exact, integer = (root_mean_square(real(trained(kind, choice), others) - full) for choice in (False, True))
    assert exact < integer < 2 * exact and integer < 0.25 * root_mean_square(full - full.mean(0))


def test_scales_and_bias_as_integers_cost_nothing():
    """The same INT4 weights and features with float scales: 16 bits of each make no difference worth the name."""
    screener = trained("ternary")
    hidden = layer()[3]
    integers, scales = screener.quantized(hidden)
    fraction = screener.shift + 16 - screener.items.fraction
    exact = screener.items.real(integers, scales) @ (screener.weight * (screener.scale / 2.0 ** fraction)[:, None]).T
    exact += screener.bias / 65536
    assert np.abs(real(screener, hidden) - exact).max() < 2 ** -15
    assert screener.scale.max() >= 1 << 15 and 0 <= screener.shift <= 47  # 16 bits are used
    np.testing.assert_array_equal(screener.scores(hidden), approximate_scores(
        screener.weight, integers, screener.scale, scales, screener.bias, screener.shift))


@pytest.mark.parametrize("items", [1, 3, 4])
def test_what_is_packed_for_the_machine_gives_the_same_scores(items):
    """From the bytes of a DRAM image alone."""
    weight, bias, _, others = layer()
    screener, place = trained("pca"), Layout(classes=CLASSES, hidden=WIDTH, k=K, items=items)
    integers, scales = screener.quantized(others[:items])
    image = place.image(weight, bias, (screener.weight, screener.scale, screener.bias), integers, others[:items])
    read = [image[base:base + size] for base, size in (
        (place.screening_base, place.screening_bytes), (place.item_base, place.item_bytes),
        (place.row_base, CLASSES * place.row_bytes), (place.feature_base, items * place.row_bytes))]
    small, scale, offset = unpack_screening(read[0], CLASSES, K)
    scores = approximate_scores(small, unpack_items(read[1], items, K), scale, scales, offset, screener.shift)
    np.testing.assert_array_equal(scores, screener.scores(others[:items]))
    full = training.classifier_scores(*unpack_rows(read[2], CLASSES, WIDTH), unpack_features(read[3], items, WIDTH))
    np.testing.assert_array_equal(full, training.classifier_scores(weight, bias, others[:items]))


def test_items_are_quantized_where_the_error_is_least():
    rng = np.random.default_rng(6)
    features = rng.standard_normal((200, 30)) * rng.uniform(0.01, 3, (200, 1))
    features[7] = 0
    form = training.ItemFormat.for_features(features)
    integers, scales = form.quantize(features)
    assert integers.min() >= -8 and integers.max() <= 7 and scales.min() >= 1 and 1 << 14 <= scales.max() < 1 << 16
    assert not integers[7].any()
    error = np.square(form.real(integers, scales) - features).sum(1)
    greatest_alone = np.abs(features).max(1, keepdims=True) / 7
    greatest_alone[7] = 1
    plain = np.square(np.round(features / greatest_alone) * greatest_alone - features).sum(1)
    assert (error <= plain * 1.01).all() and error.sum() < 0.9 * plain.sum()
    # an item far larger than any in training: the largest scale, clipped
    integers, scales = form.quantize(features[:1] * 1e6)
    assert scales[0] == 65535 and set(np.unique(integers)) <= {-8, 0, 7}


@pytest.mark.parametrize("count", [1, 5, 40, CLASSES])
def test_threshold_gives_the_candidates_asked_for(count):
    screener, hidden = trained("pca"), layer()[2]
    scores = screener.scores(hidden)
    threshold = training.calibrated_threshold(screener, hidden, count)
    mean = above_threshold(scores, threshold).sum() / len(hidden)
    assert mean <= count and mean > 0.999 * count
    if count < CLASSES:
        assert above_threshold(scores, threshold - 1).sum() / len(hidden) > count


def test_a_centred_layer_gives_the_same_answers_and_suits_one_threshold():
    """A layer whose results rise and fall together, as a language model's do."""
    weight, bias, hidden, others = layer()
    weight, bias = weight + 2 * np.ones(WIDTH, np.float32), bias + 3
    centred = training.centred_layer(weight, bias)
    assert centred[0].dtype == centred[1].dtype == np.float32
    full, same = (training.classifier_scores(*each, others) for each in ((weight, bias), centred))
    assert np.abs(same.mean(1)).max() < 1e-3 < 1 < full.mean(1).std()
    assert np.allclose(probabilities(full), probabilities(same), atol=1e-4)
    np.testing.assert_array_equal(full.argmax(1), same.argmax(1))
    found = []
    for each in ((weight, bias), centred):
        screener = training.train(*each, hidden, K, "pca")
        chosen = above_threshold(screener.scores(others), training.calibrated_threshold(screener, hidden, 20))
        found.append(chosen[np.arange(len(others)), full.argmax(1)].mean())
    assert found[1] > 0.95 and found[0] < found[1] - 0.2


@pytest.mark.parametrize("change, reason", [
    ({"k": 0}, "k = 0"), ({"k": WIDTH + 1}, f"k = {WIDTH + 1}"), ({"kind": "svd"}, "kind = 'svd'.*ternary, pca"),
    ({"bias": np.zeros(3)}, "bias .*3"), ({"hidden": np.zeros((5, 3))}, r"hidden \(5, 3\)"),
    ({"hidden": np.zeros((1, WIDTH))}, "2 samples"), ({"hidden": np.full((5, WIDTH), np.nan)}, "finite"),
    ({"bias": np.full(CLASSES, 40_000.0)}, "bias reaches 4.*Q15.16")])
def test_bad_input_is_refused(change, reason):
    weight, bias, hidden, _ = layer()
    arguments = {"weight": weight, "bias": bias, "hidden": hidden, "k": K, **change}
    with pytest.raises(ValueError, match=reason):
        training.train(**arguments)


def test_scores_too_large_are_refused():
    weight, bias, hidden, _ = layer()
    with pytest.raises(ValueError, match="Q15.16"):
        training.train(weight * 1e6, bias, hidden, K)


def test_threshold_of_no_or_too_many_candidates_is_refused():
    for count in (0, CLASSES + 1):
        with pytest.raises(ValueError, match=f"candidates = {count}"):
            training.calibrated_threshold(trained("pca"), layer()[2][:4], count)
