"""The SystolicArray's golden model: worked examples, carried sums, extremes, refusals."""

import numpy as np
import pytest

from golden.duet import systolic_array as golden


def test_examples():
    a, b = np.array([[1, 2], [-8, 7]]), np.array([[1, 0, -1], [3, -8, 7]])
    np.testing.assert_array_equal(golden.matmul(a, b), [[7, -16, 13], [13, -56, 57]])
    np.testing.assert_array_equal(golden.matmul(a, b, np.full((2, 3), 10)), [[17, -6, 23], [23, -46, 67]])


def test_sums_are_carried_between_tiles():
    rng = np.random.default_rng(2)
    a, b = rng.integers(-8, 8, (4, 100)), rng.integers(-8, 8, (100, 8))
    sums = None
    for at in range(0, 100, 7):
        sums = golden.matmul(a[:, at:at + 7], b[at:at + 7], sums)
    np.testing.assert_array_equal(sums, golden.matmul(a, b))


@pytest.mark.parametrize("max_k, bits, width", [(4096, 4, 20), (4095, 4, 19), (1, 4, 8), (64, 4, 14), (64, 8, 22)])
def test_greatest_sum_fits(max_k, bits, width):
    assert golden.sum_bits(max_k, bits) == width
    low = np.full((1, max_k), -(1 << (bits - 1)))
    assert golden.matmul(low, low.T, bits=bits, acc_bits=width) == max_k << (2 * bits - 2)
    with pytest.raises(ValueError, match="a sum holds"):
        golden.matmul(low, low.T, bits=bits, acc_bits=width - 1)


@pytest.mark.parametrize("a, b, initial, message", [
    ([[8]], [[0]], None, "a holds 8"), ([[0]], [[-9]], None, "b holds -9"), ([[0, 0]], [[0]], None, "must be"),
    ([0], [[0]], None, "must be"), ([[0]], [[0]], [0], "initial has shape"),
])
def test_refuses(a, b, initial, message):
    with pytest.raises(ValueError, match=message):
        golden.matmul(np.array(a), np.array(b), initial)
