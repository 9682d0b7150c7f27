"""Switching rule and dequantizer: worked examples, errors over every code, refusals."""

import numpy as np
import pytest

from golden.duet import switching_map as golden
from golden.duet.speculator_mfu import Function, activate

PRE = np.array([-128, -21, -20, 0, 20, 21, 127])


@pytest.mark.parametrize("function", [Function.SIGMOID, Function.TANH, Function.NONE])
def test_rule_of_saturating_functions(function):
    np.testing.assert_array_equal(golden.switching_map(PRE, function, 20), [0, 0, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(golden.switching_map(PRE, function, 127), [0, 1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(golden.switching_map(PRE, function, 0), [0, 0, 0, 1, 0, 0, 0])
    assert not golden.switching_map(PRE, function, -1).any() and not golden.switching_map(PRE, function, -128).any()


def test_rule_of_relu():
    np.testing.assert_array_equal(golden.switching_map(PRE, Function.RELU, 20), [0, 0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(golden.switching_map(PRE, Function.RELU, -20), [0, 0, 1, 1, 1, 1, 1])
    assert golden.switching_map(PRE, Function.RELU, -128).all()
    valid = np.array([1, 0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(golden.switching_map(PRE, Function.RELU, -128, valid), valid)


def test_dequantize_examples():
    code = np.array([0, 1, 7, 8, 9, 15])
    np.testing.assert_array_equal(golden.dequantize(code, Function.NONE), [0, 4096, 28672, -32768, -28672, -4096])
    np.testing.assert_array_equal(golden.dequantize(code, Function.RELU), code << 11)
    sigmoid = [0, 0b000100010001000, 0b011101110111011, 0b100010001000100, 0b100110011001100, 32767]
    np.testing.assert_array_equal(golden.dequantize(code, Function.SIGMOID), sigmoid)
    np.testing.assert_array_equal(golden.dequantize(code, Function.TANH),
                                  [0, 0b001001001001001, 32767, 0, -0b001001001001001, -32767])
    np.testing.assert_array_equal(golden.dequantize(code, Function.SIGMOID, code > 7), [0, 0, 0, 17476, 19660, 32767])


@pytest.mark.parametrize("function, bits, lsb, reference", [
    (Function.SIGMOID, 4, 2 ** 15 / 15, lambda y: 1 / (1 + np.exp(-y))), (Function.TANH, 4, 2 ** 15 / 7, np.tanh),
    (Function.SIGMOID, 8, 2 ** 15 / 255, lambda y: 1 / (1 + np.exp(-y))), (Function.TANH, 8, 2 ** 15 / 127, np.tanh),
])
def test_error_from_pre_activation_to_int16(function, bits, lsb, reference):
    """Half an LSB of the code, and 1.2 LSB of INT16, over every pre-activation."""
    pre = np.arange(-128, 128)
    z = golden.dequantize(activate(pre, function, code_bits=bits), function, code_bits=bits)
    assert np.abs(z - 2 ** 15 * reference(pre / 16)).max() <= lsb / 2 + 1.2


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8])
def test_ends_of_the_scale(bits):
    top = (1 << bits) - 1
    assert golden.dequantize(top, Function.SIGMOID, code_bits=bits) == 32767
    assert golden.dequantize(top, Function.TANH, code_bits=bits) == -32767
    assert golden.dequantize(top >> 1, Function.TANH, code_bits=bits) == 32767
    assert golden.dequantize(1 << (bits - 1), Function.TANH, code_bits=bits) == 0


def test_assemble():
    np.testing.assert_array_equal(golden.assemble([1, 2, 3], [-4, -5, -6], [1, 0, 1]), [1, -5, 3])


@pytest.mark.parametrize("call, message", [
    (lambda: golden.switching_map([128], Function.RELU, 0), "pre holds 128"),
    (lambda: golden.switching_map([0], Function.RELU, 128), "threshold holds 128"),
    (lambda: golden.switching_map([0], 9, 0), "9 is not a valid Function"),
    (lambda: golden.dequantize([16], Function.RELU), "code holds 16"),
    (lambda: golden.dequantize([-1], Function.TANH), "code holds -1"),
    (lambda: golden.dequantize([0], Function.TANH, code_bits=1), "code_bits = 1 is not allowed"),
    (lambda: golden.assemble([0], [0], [2]), "m holds 2"),
    (lambda: golden.assemble([0, 1], [0], [1, 0]), r"y_approx \(1,\): they must be equal"),
    (lambda: golden.switching_map([0, 1], Function.RELU, 0, [1]), r"valid has shape \(1,\): it must be \(2,\)"),
    (lambda: golden.switching_map([0], Function.RELU, 0, [2]), "valid holds 2"),
    (lambda: golden.dequantize([0, 1], Function.RELU, np.ones((2, 2), bool)), "valid has shape"),
    (lambda: golden.assemble([1 << 15], [0], [1]), "y_acc holds 32768"),
])
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
