"""Quantized parameters of a layer: error of the results against float, ranges, refusals."""

import numpy as np
import pytest

from golden.arith.fixed import requantize
from golden.duet.layer_parameters import quantize_layer


@pytest.mark.parametrize("in_scale, out_scale, size", [(2**-12, 2**-11, 0.3), (1e-4, 3e-3, 2.0), (0.7, 0.01, 1e-3)])
def test_results_are_near_float(in_scale, out_scale, size):
    """Half an LSB of the result from its rounding, and half of a weight's and of the bias' LSB for each product."""
    rng = np.random.default_rng(13)
    weights, bias = size * rng.standard_normal((8, 3, 3, 3)), size * rng.standard_normal(8)
    layer = quantize_layer(weights, bias, in_scale, out_scale)
    assert 2**14 <= np.abs(layer.weights).max() < 2**15
    x = rng.integers(-300, 300, 27)
    got = requantize(layer.weights.reshape(8, -1) @ x + (layer.bias << layer.bias_shift), layer.shift, 16)
    exact = (weights.reshape(8, -1) @ x * in_scale + bias) / out_scale
    assert np.abs(exact).max() < 32767
    bound = 0.5 + (0.5 * np.abs(x).sum() + 0.5 * 2**layer.bias_shift) / 2**layer.shift
    assert np.abs(got - exact).max() <= bound + 1e-9


def test_great_bias_is_shifted():
    layer = quantize_layer(np.array([[1e-6]]), np.array([30000.0]), 1.0, 1.0)
    assert layer.bias_shift > 0 and layer.weights.max() < 1 << 15
    assert abs((int(layer.bias[0]) << layer.bias_shift) / 2**layer.shift - 30000) < 2**layer.bias_shift / 2**layer.shift


def test_sums_stay_inside_the_partial_sum():
    layer = quantize_layer(np.full((2, 20000), 0.5), np.zeros(2), 1e-3, 1e-3)
    assert layer.weights.max() * 20000 * 32768 < 1 << 43
    wide = quantize_layer(np.full((2, 20000), 0.5), np.zeros(2), 1e-3, 1e-3, acc_bits=48)
    assert wide.shift == layer.shift + 1


def test_no_weights_at_all():
    layer = quantize_layer(np.zeros((2, 3)), np.zeros(2), 1.0, 1.0)
    assert not layer.weights.any() and not layer.bias.any()


@pytest.mark.parametrize("weights, bias, scales, message", [
    (np.ones((2, 3)), np.ones(3), (1, 1), "bias has shape"), (np.ones((2, 3)), np.ones(2), (0, 1), "must be above 0"),
    (np.full((2, 3), 1e9), np.ones(2), (1, 1), "out_scale must be greater"),
])
def test_refuses(weights, bias, scales, message):
    with pytest.raises(ValueError, match=message):
        quantize_layer(weights, bias, *scales)
