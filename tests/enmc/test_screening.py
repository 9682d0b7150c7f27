"""Screening: scores against exact integers one by one, corner values, candidates, bytes."""

import fractions
import math

import numpy as np
import pytest

from golden.enmc import screening
from golden.enmc.layout import Layout

LOW, HIGH = -(1 << 31), (1 << 31) - 1


def clip(value):
    return min(max(value, LOW), HIGH)


def plain_score(weight, item, class_scale, item_scale, bias, shift):
    """One score in Python's integers and fractions."""
    acc = sum(int(w) * int(x) for w, x in zip(weight, item))
    exact = fractions.Fraction(acc * int(class_scale) * int(item_scale), 1 << shift)
    return clip(clip(math.floor(exact + fractions.Fraction(1, 2))) + int(bias))


def corner_weighted(rng, low, high, shape):
    corners = np.array([low, low + 1, 0, 1, high - 1, high])
    return np.where(rng.random(shape) < 0.3, rng.choice(corners, shape), rng.integers(low, high + 1, shape))


def test_scores_are_the_definition():
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(60):
        classes, items, k = rng.integers(1, 9), rng.integers(1, 5), rng.choice([1, 2, 15, 16, 17, 144, 512])
        arguments = [corner_weighted(rng, -8, 7, (classes, k)), corner_weighted(rng, -8, 7, (items, k)),
                     corner_weighted(rng, 0, 65535, classes), corner_weighted(rng, 0, 65535, items),
                     corner_weighted(rng, LOW, HIGH, classes), int(rng.integers(0, 48))]
        scores = screening.approximate_scores(*arguments)
        for (b, c), score in np.ndenumerate(scores):
            expected = plain_score(arguments[0][c], arguments[1][b], arguments[2][c], arguments[3][b], arguments[4][c],
                                   arguments[5])
            assert score == expected
            seen.add("high" if score == HIGH else "low" if score == LOW else "between")
    assert seen == {"high", "low", "between"}


def test_extremes():
    """The greatest product, ties of rounding, saturation before the bias."""
    def score(acc_pairs, class_scale, item_scale, bias, shift):
        weight, item = zip(*acc_pairs)
        return int(screening.approximate_scores(np.array([weight]), np.array([item]), np.array([class_scale]),
                                                np.array([item_scale]), np.array([bias]), shift)[0, 0])

    full = [(-8, -8)] * 512
    assert score(full, 65535, 65535, 0, 0) == HIGH
    assert score(full, 65535, 65535, 0, 47) == round(2 ** 15 * 65535 ** 2 / 2 ** 47)
    assert score(full, 65535, 65535, LOW, 0) == -1  # 2^31 - 1 - 2^31: the product saturates first
    assert score([(-8, 7)] * 512, 65535, 65535, HIGH, 0) == -1
    assert score([(1, 1)], 1, 1, 0, 1) == 1 and score([(1, -1)], 1, 1, 0, 1) == 0  # half up
    assert score([(1, -3)], 1, 1, 0, 1) == -1 and score([(1, 3)], 1, 1, 0, 1) == 2
    assert score([(1, 1)], 0, 65535, -7, 0) == -7


@pytest.mark.parametrize("number, bad, reason", [
    (0, np.full((3, 4), 8), "weight holds 8"), (1, np.full((2, 4), -9), "items holds -9"),
    (2, np.full(3, -1), "class_scale holds -1"), (3, np.full(2, 65536), "item_scale holds 65536"),
    (4, np.full(3, 1 << 31), "bias holds"), (5, 48, "shift = 48"), (5, -1, "shift = -1"),
    (1, np.zeros((2, 5), int), r"items \(2, 5\)"), (2, np.zeros(2, int), "class_scale has shape"),
    (3, np.zeros(1, int), r"item_scale \(1,\)")])
def test_bad_input_is_refused(number, bad, reason):
    good = [np.zeros((3, 4), int), np.zeros((2, 4), int), np.zeros(3, int), np.zeros(2, int), np.zeros(3, int), 0]
    good[number] = bad
    with pytest.raises(ValueError, match=reason):
        screening.approximate_scores(*good)


def test_too_many_features_are_refused():
    with pytest.raises(ValueError, match="k = 513"):
        screening.approximate_scores(np.zeros((1, 513), int), np.zeros((1, 513), int), np.zeros(1, int),
                                     np.zeros(1, int), np.zeros(1, int), 0)


def test_real_scores_round_to_nearest_even():
    scores = np.array([[65536, 1, (1 << 24) + 1, (1 << 24) + 3, HIGH, LOW]])
    expected = [1, 2.0 ** -16, 256, 256 + 2.0 ** -14, 32768, -32768]
    real = screening.real_scores(scores)
    assert real.dtype == np.float32 and real[0].tolist() == expected


def test_candidates_are_strictly_above():
    scores = np.array([[5, 6, -7], [LOW, HIGH, 0]])
    assert screening.above_threshold(scores, 5).tolist() == [[False, True, False], [False, True, False]]
    assert screening.above_threshold(scores, LOW).sum() == 5
    with pytest.raises(ValueError, match="threshold"):
        screening.above_threshold(scores, 1 << 31)


def test_greatest_against_a_sort():
    rng = np.random.default_rng(5)
    for _ in range(100):
        scores = rng.integers(-4, 5, (3, rng.integers(1, 30)))
        count = int(rng.integers(0, scores.shape[1] + 1))
        expected = np.zeros(scores.shape, bool)
        for row, values in zip(expected, scores):
            row[sorted(range(len(values)), key=lambda c: (-values[c], c))[:count]] = True
        np.testing.assert_array_equal(screening.greatest(scores, count), expected)
    with pytest.raises(ValueError, match="count = 4"):
        screening.greatest(np.zeros((1, 3), int), 4)


def test_mixed_scores():
    scores, candidates = np.array([[65536, -32768]]), np.array([[True, False]])
    mixed = screening.mixed_scores(scores, candidates, np.array([[3.25, 9]], np.float32))
    assert mixed.dtype == np.float32 and mixed.tolist() == [[3.25, -0.5]]


def test_probabilities():
    scores = np.array([[1.0, 2, 3], [1000, 1000, -1000]], np.float32)
    assert np.allclose(screening.log_sum_exp(scores), [math.log(math.e + math.e ** 2 + math.e ** 3),
                                                       1000 + math.log(2)])
    probabilities = screening.probabilities(scores)
    assert np.allclose(probabilities[0], np.exp([-2, -1, 0]) / (math.exp(-2) + math.exp(-1) + 1))
    assert np.allclose(probabilities[1], [0.5, 0.5, 0]) and np.allclose(probabilities.sum(1), 1)


def test_traffic_of_the_real_layer():
    """49,152 x 576 with 144 features, 512 candidates an item, one item and two."""
    one = screening.traffic(Layout(classes=49_152, hidden=576, k=144, items=1), 512)
    assert one.screening == 6144 * 10 * 64 and one.rows == 512 * 37 * 64
    assert one.features == 128 + 37 * 64 and one.full == 49_153 * 37 * 64
    assert one.total == one.screening + one.rows + one.features and abs(one.ratio - 0.0442) < 1e-4
    assert (one.int4_macs, one.fp32_macs, one.full_macs) == (49_152 * 144, 512 * 577, 49_152 * 577)
    two = screening.traffic(Layout(classes=49_152, hidden=576, k=144, items=2), 1024)
    assert two.screening == one.screening and two.rows == 2 * one.rows and two.full_macs == 2 * one.full_macs
    assert two.full == 49_154 * 37 * 64
    with pytest.raises(TypeError, match="Layout"):
        screening.traffic(None, 1)
