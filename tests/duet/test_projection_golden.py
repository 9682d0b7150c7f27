"""The Projection's golden model: worked examples, sums over passes, refusals."""

import numpy as np
import pytest

from golden.duet import projection as golden


def test_examples():
    x = np.array([[7, -8, 3, 0], [1, 1, 1, 1]])
    p = np.array([[1, -1, 0, 1], [0, 0, 0, 0], [-1, -1, -1, -1]])
    np.testing.assert_array_equal(golden.project_sum(x, p), [[15, 0, -2], [1, 0, -4]])
    np.testing.assert_array_equal(golden.project(x, p, 0), [[7, 0, -2], [1, 0, -4]])
    np.testing.assert_array_equal(golden.project(x, p, 1), [[7, 0, -1], [1, 0, -2]])
    np.testing.assert_array_equal(golden.project(x, p, 2), [[4, 0, 0], [0, 0, -1]])


def test_corners():
    """The greatest and the least sum of the paper's 4096 inputs, saturated to INT4 on both sides."""
    x = np.full(4096, -8)
    p = np.array([np.ones(4096, int), -np.ones(4096, int)])
    np.testing.assert_array_equal(golden.project_sum(x, p), [-32768, 32768])
    np.testing.assert_array_equal(golden.project(x, p, 0), [-8, 7])
    np.testing.assert_array_equal(golden.project(x, p, 13), [-4, 4])


@pytest.mark.parametrize("shift", [0, 1, 4, 7])
def test_rounding_error_over_all_sums(shift):
    """Every sum that 64 inputs reach, -512 to 512: within half an LSB where it is not saturated, halves up."""
    sums = np.arange(-512, 513)
    x = np.where(np.arange(64) < np.abs(sums)[:, None] // 8, -8, 0)
    x[:, -1] -= np.abs(sums) % 8
    p = np.array([[1], [-1]]).repeat(64, axis=1)
    np.testing.assert_array_equal(golden.project_sum(x, p)[:, 0], -np.abs(sums))
    got = np.where(sums < 0, *golden.project(x, p, shift).T)
    exact = sums / 2 ** shift
    np.testing.assert_array_equal(got, np.clip(np.floor(exact + 0.5), -8, 7))
    inside = (exact >= -8.5) & (exact < 7.5)
    assert np.abs(got - exact)[inside].max() == (0.5 if shift else 0)


def test_passes_add_up():
    rng = np.random.default_rng(1)
    x, p = rng.integers(-8, 8, (5, 48)), rng.integers(-1, 2, (6, 48))
    parts = [golden.project_sum(x[:, at:at + 16], p[:, at:at + 16]) for at in (0, 16, 32)]
    np.testing.assert_array_equal(sum(parts), golden.project_sum(x, p))


def test_fields():
    p = np.array([0, 1, -1])
    np.testing.assert_array_equal(golden.encode_ternary(p), [0, 1, 3])
    np.testing.assert_array_equal(golden.decode_ternary(golden.encode_ternary(p)), p)
    with pytest.raises(ValueError, match="binary 10"):
        golden.decode_ternary([0, 2])


@pytest.mark.parametrize("x, p, message", [
    ([8], [[1]], "x holds 8, outside -8 to 7"), ([0], [[-2]], "an entry of P must be"), ([0], [[2]], "p holds 2"),
    ([0, 0], [[1]], "must be"), ([0], [1], "must be"),
])
def test_refuses(x, p, message):
    with pytest.raises(ValueError, match=message):
        golden.project(np.array(x), np.array(p), 0)
