"""Compressed N:M matrices: there and back, bits, refusals."""

import numpy as np
import pytest

from golden.figs.compressed import CompressedMatrix
from golden.figs.patterns import Pattern
from tests.figs.matrices import KINDS, RATIOS, matrix


def test_by_hand():
    found = CompressedMatrix.of(np.array([[0, 5, 0, -3, 0, 0, 0, 7], [0, 0, 0, 0, 1, 2, 0, 0]]), Pattern(2, 4))
    np.testing.assert_array_equal(found.values, [[[5, -3], [0, 7]], [[0, 0], [1, 2]]])
    np.testing.assert_array_equal(found.indices, [[[1, 3], [0, 3]], [[0, 1], [0, 1]]])
    assert found.words(8)[0].tolist() == [[5 << 2 | 1, 0xfd << 2 | 3], [0, 7 << 2 | 3]] and found.bits(8) == 8 * 10


@pytest.mark.parametrize("pattern", RATIOS, ids=str)
def test_there_and_back(pattern):
    rng = np.random.default_rng([pattern.n, pattern.m])
    for kind in KINDS:
        weights = matrix(rng, 7, int(rng.integers(1, 70)), pattern, kind)
        found = CompressedMatrix.of(weights, pattern)
        assert found.values.shape == (7, -(-weights.shape[1] // pattern.m), pattern.n)
        assert (np.diff(found.indices, axis=-1) > 0).all()
        np.testing.assert_array_equal(found.dense(), weights)
        again = CompressedMatrix.from_words(found.words(8), pattern, weights.shape[1], 8)
        np.testing.assert_array_equal(again.dense(), weights)


@pytest.mark.parametrize("weights, error, message", [
    ([[0, 0, 0, 0], [0, 0, 1, 1]], ValueError,
     r"row 1, group 1 \(inputs 2 to 3\) have 2 non-zeros: the pattern 1:2 allows 1"),
    ([[1.0]], TypeError, "integer"), ([1, 0], ValueError, "shape")])
def test_refuses(weights, error, message):
    with pytest.raises(error, match=message):
        CompressedMatrix.of(np.array(weights), Pattern(1, 2))


def test_refuses_values_that_do_not_fit():
    with pytest.raises(ValueError, match="values holds 128"):
        CompressedMatrix.of(np.array([[128]]), Pattern(1, 1)).words(8)
