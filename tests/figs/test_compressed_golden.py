"""Compressed N:M matrices: there and back, bits, refusals."""

import numpy as np
import pytest

from golden.figs.compressed import CompressedMatrix
from golden.figs.patterns import RATIOS, Pattern
from tests.figs.matrices import KINDS, matrix


def test_by_hand():
    found = CompressedMatrix.of(np.array([[0, 5, 0, -3, 0, 0, 0, 7], [0, 0, 0, 0, 1, 2, 0, 0]]), Pattern(2, 4))
    np.testing.assert_array_equal(found.values, [[[5, -3], [0, 7]], [[0, 0], [1, 2]]])
    np.testing.assert_array_equal(found.indices, [[[1, 3], [0, 3]], [[0, 1], [0, 1]]])
    assert found.bits(8) == 8 * (8 + 2) and found.bits(16) == 8 * (16 + 2)


@pytest.mark.parametrize("pattern", RATIOS, ids=str)
def test_there_and_back(pattern):
    rng = np.random.default_rng([pattern.n, pattern.m])
    for kind in KINDS:
        weights = matrix(rng, 7, int(rng.integers(1, 70)), pattern, kind)
        found = CompressedMatrix.of(weights, pattern)
        assert found.values.shape == (7, -(-weights.shape[1] // pattern.m), pattern.n)
        assert (np.diff(found.indices, axis=-1) > 0).all()
        np.testing.assert_array_equal(found.dense(), weights)


@pytest.mark.parametrize("weights, error, message", [
    ([[0, 0, 0, 0], [0, 0, 1, 1]], ValueError,
     r"row 1, group 1 \(inputs 2 to 3\) have 2 non-zeros: the pattern 1:2 allows 1"),
    ([[1.0]], TypeError, "integer"), ([1, 0], ValueError, "shape")])
def test_refuses(weights, error, message):
    with pytest.raises(error, match=message):
        CompressedMatrix.of(np.array(weights), Pattern(1, 2))


@pytest.mark.parametrize("values, indices, width, message", [
    ([[[1, 2]]], [[[1, 1]]], 4, "must rise, from 0 to 3"), ([[[1, 2]]], [[[2, 1]]], 4, "must rise"),
    ([[[1, 2]]], [[[1, 4]]], 4, "from 0 to 3"), ([[[1, 2]]], [[[-1, 1]]], 4, "from 0 to 3"),
    ([[[1, 2]]], [[[0, 1]]], 99, r"99 inputs of 2:4 take \(rows, 25, 2\)"), ([[[1, 2]]], [[[0, 1]]], 0, "0 inputs"),
    ([[[1, 2]]], [[[0, 1]]], 4.0, "width = 4.0"), ([[[1, 2]]], [[[0, 1]]], -1, "width = -1"),
    ([[[1, 2]]], [[[0, 1]]], 5, "5 inputs"), ([[1, 2]], [[0, 1]], 4, "values of shape"),
    ([[[1]]], [[[0]]], 4, "values of shape"), ([[[1, 2]]], [[[0]]], 4, "indices of shape"),
    ([[[1, 2]]], [[[1, 3]]], 3, "width = 3 is not allowed: a value stands behind the last input")])
def test_refuses_what_would_lose_a_value(values, indices, width, message):
    with pytest.raises(ValueError, match=message):
        CompressedMatrix(np.array(values), np.array(indices), Pattern(2, 4), width)


def test_takes_what_the_refused_ones_nearly_are():
    found = CompressedMatrix(np.array([[[1, 2]]]), np.array([[[1, 2]]]), Pattern(2, 4), 3)
    assert found.dense().tolist() == [[0, 1, 2]]
    with pytest.raises(TypeError, match="indices must be of an integer type"):
        CompressedMatrix(found.values, found.indices * 1.0, Pattern(2, 4), 3)
