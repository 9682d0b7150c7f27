"""The SpeculatorMfu's golden model: worked examples, errors over every pre-activation, refusals."""

import numpy as np
import pytest

from golden.duet import speculator_mfu as golden
from golden.duet.speculator_mfu import Function

FORMATS = [(8, 4), (8, 8), (8, 2), (6, 4), (10, 8)]


def all_pre(bits):
    return np.arange(-(1 << (bits - 1)), 1 << (bits - 1))


@pytest.mark.parametrize("acc, scale, bias, shift, pre", [
    (100, 3, 0, 2, 75), (101, 3, 0, 2, 76), (-101, 3, 0, 2, -76), (10, 1, 0, 2, 3), (-10, 1, 0, 2, -2),
    (100, 255, 2047, 0, 127), (-100, 255, -2048, 0, -128), (5, 0, -7, 0, -7),
    (1000, 1, -950, 0, 50), (-3000, 1, 2047, 0, -128), (-524288, 255, 0, 20, -127), (524287, 255, 0, 20, 127),
])
def test_pre_activation(acc, scale, bias, shift, pre):
    """The rounded product is not saturated before the bias: 1000 - 950 = 50."""
    assert golden.pre_activation(acc, scale, bias, shift) == pre


def test_pre_activation_broadcasts():
    acc = np.arange(-8, 8).reshape(4, 4)
    expected = [[golden.pre_activation(acc[i, j], 2 + j, j, 1) for j in range(4)] for i in range(4)]
    np.testing.assert_array_equal(golden.pre_activation(acc, np.arange(2, 6), np.arange(4), 1), expected)


def test_code_examples():
    pre = np.array([-128, -17, -16, -8, -1, 0, 1, 8, 16, 127])
    np.testing.assert_array_equal(golden.activate(pre, Function.NONE), [8, 14, 15, 15, 15, 0, 0, 0, 1, 7])
    np.testing.assert_array_equal(golden.activate(pre, Function.RELU), [0, 0, 0, 0, 0, 0, 0, 1, 2, 15])
    np.testing.assert_array_equal(golden.activate(pre, Function.SIGMOID), [0, 4, 4, 6, 7, 8, 8, 9, 11, 15])
    np.testing.assert_array_equal(golden.activate(pre, Function.TANH), [15, 14, 13, 11, 8, 0, 0, 3, 5, 7])


@pytest.mark.parametrize("pre_bits, code_bits", FORMATS)
def test_error_of_sigmoid_and_tanh(pre_bits, code_bits):
    """Within half an LSB of the code over every pre-activation; no value but sigmoid(0) is near a half."""
    pre = all_pre(pre_bits)
    y = pre / 2 ** (pre_bits - 4)
    top = 2 ** code_bits - 1
    exact = top / (1 + np.exp(-y))
    error = golden.activate(pre, Function.SIGMOID, pre_bits=pre_bits, code_bits=code_bits) - exact
    assert np.abs(error).max() == 0.5 == error[pre == 0]
    assert np.abs(error[pre != 0]).max() < 0.5 - 1e-6

    top = 2 ** (code_bits - 1) - 1
    code = golden.activate(pre, Function.TANH, pre_bits=pre_bits, code_bits=code_bits)
    np.testing.assert_array_equal(code >> (code_bits - 1), pre < 0)
    error = (code & top) - top * np.abs(np.tanh(y))
    assert np.abs(error).max() < 0.5 - 1e-6


@pytest.mark.parametrize("pre_bits, code_bits", FORMATS)
def test_error_of_relu(pre_bits, code_bits):
    pre = all_pre(pre_bits)
    code = golden.activate(pre, Function.RELU, pre_bits=pre_bits, code_bits=code_bits)
    error = code - np.maximum(pre, 0) / 2 ** (pre_bits - 1 - code_bits)
    assert error.max() == 0 and error.min() > -1
    assert code.max() < 2 ** code_bits


@pytest.mark.parametrize("call, message", [
    (lambda: golden.pre_activation(1 << 19, 0, 0, 0), "acc holds"),
    (lambda: golden.pre_activation(0, -1, 0, 0), "scale"),
    (lambda: golden.pre_activation(0, 256, 0, 0), "scale"), (lambda: golden.pre_activation(0, 0, 2048, 0), "bias"),
    (lambda: golden.pre_activation(0, 0, 0, -1), "shift = -1"),
    (lambda: golden.activate(128, Function.RELU), "pre holds"),
    (lambda: golden.activate(0, 4), "4 is not a valid Function"),
    (lambda: golden.activate(0, Function.TANH, code_bits=9), "code_bits = 9 is not allowed"),
    (lambda: golden.activate(0, Function.TANH, pre_bits=3), "pre_bits = 3 is not allowed"),
])
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
