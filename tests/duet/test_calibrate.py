"""Calibration to the hardware's integers: equal to the golden blocks, in range, near the float layer."""

import numpy as np
import pytest

from golden.arith.fixed import requantize
from golden.duet import calibrate as cal
from golden.duet.accelerator_sizes import AcceleratorSizes
from golden.duet.projection import project
from golden.duet.quantizer import quantize
from golden.duet.speculator_mfu import Function, pre_activation
from golden.duet.systolic_array import matmul
from hw.duet.speculator_mfu import SpeculatorMfuConfig
from hw.duet.speculator_types import SpeculatorConfig
from hw.duet.systolic_array import SystolicArrayConfig


def _layer(function, blocks=3, lanes=32, n=10, samples=1500, seed=0, formats=cal.SpeculatorFormat()):
    """INT16 rows of correlated positive or signed numbers, true pre-activations, and the speculation."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, 12)) @ rng.normal(size=(12, blocks * lanes)) + 0.3 * rng.normal(size=blocks * lanes)
    if function == Function.RELU:
        x = np.maximum(x, 0)
    x16 = np.clip(np.round(x / np.abs(x).max() * 32767 / 0.6), -32768, 32767).astype(np.int64)
    y = x @ rng.normal(size=(blocks * lanes, n)) / 8
    y = y - y.mean(0) - (0.5 if function == Function.RELU else 0)
    rows = x16.reshape(samples, blocks, lanes)
    small = quantize(rows)
    return rows, small, y, cal.calibrate_speculation(small, y, function, 16, formats=formats)


@pytest.mark.parametrize("function", [Function.RELU, Function.SIGMOID, Function.TANH])
def test_pre_activations_are_those_of_the_golden_blocks(function):
    rows, small, _, spec = _layer(function)
    x = quantize(rows[:200])
    z = np.concatenate([project(x[:, block], spec.projection[block], spec.p_shift) for block in range(3)], 1)
    sums = matmul(z, spec.weight.T)
    expected = pre_activation(sums, spec.scale, spec.bias, spec.q_shift)
    assert np.array_equal(spec.pre(small[:200].astype(np.float32)), expected)
    assert np.array_equal(spec.pre(small[:200]), expected)


@pytest.mark.parametrize("function", [Function.RELU, Function.SIGMOID, Function.TANH])
def test_integers_are_in_range_and_the_estimate_is_good(function):
    _, small, y, spec = _layer(function)
    assert set(np.unique(spec.projection)) <= {-1, 0, 1} and -8 <= spec.weight.min() <= spec.weight.max() <= 7
    assert 0 <= spec.scale.min() and 128 <= spec.scale.max() <= 255 and np.abs(spec.bias).max() <= 2047
    estimate, y = spec.pre(small) * spec.pre_step, np.clip(y, -8, 8)
    inside = np.abs(spec.pre(small)) < 127
    assert np.square((estimate - y)[inside]).mean() < 0.2 * y.var()
    assert (np.abs((estimate - y)[inside].mean()) < 0.1 * y.std())


def test_relu_steps_are_fractions_of_each_channels_error():
    _, small, y, spec = _layer(Function.RELU)
    pre = spec.pre(small)
    for channel in range(y.shape[1]):
        inside = np.abs(pre[:, channel]) < 127
        error = (pre[:, channel] * spec.pre_step[channel] - y[:, channel])[inside]
        assert 12 < np.sqrt(np.square(error).mean()) / spec.pre_step[channel] < 20


@pytest.mark.parametrize("pre_bits, code_bits", [(6, 4), (8, 8), (12, 6)])
def test_other_widths(pre_bits, code_bits):
    formats = cal.SpeculatorFormat(pre_bits=pre_bits, code_bits=code_bits, bias_bits=16)
    _, small, _, spec = _layer(Function.TANH, formats=formats)
    pre = spec.pre(small[:100])
    assert -2 ** (pre_bits - 1) <= pre.min() < pre.max() <= 2 ** (pre_bits - 1) - 1
    approximation = spec.approximation(pre) / 32768
    exact = np.tanh(pre * spec.pre_step)
    assert np.abs(approximation - exact).max() < 0.6 / (2 ** (code_bits - 1) - 1) + 0.01


def test_convolution_rows_are_the_lanes_of_the_hardware():
    rng = np.random.default_rng(0)
    x = rng.integers(-8, 8, (5, 4, 6))
    rows = cal.convolution_rows(x, (3, 2), 1, 4)
    assert rows.shape == (4 * 7, 2, 6 * 4)
    padded = np.pad(x, ((0, 3), (1, 1), (1, 1)))
    for position, block, tap, channel in ((0, 0, 0, 0), (9, 1, 3, 0), (20, 0, 5, 2), (27, 1, 4, 1)):
        row, column = divmod(position, 7)
        expected = padded[4 * block + channel, row + tap // 2, column + tap % 2]
        assert rows[position, block, 4 * tap + channel] == expected
    assert not rows.reshape(28, 2, 6, 4)[:, 1, :, 1:].any()
    assert np.array_equal(cal.convolution_rows(x, (3, 2), 1, 4, [27, 3]), rows[[27, 3]])
    strided = cal.convolution_rows(x, (3, 2), 1, 4, [5, 1], (2, 3))  # outputs 2 x 3
    assert np.array_equal(strided, rows.reshape(4, 7, 2, -1)[::2, ::3].reshape(6, 2, -1)[[5, 1]])


def test_vector_rows_are_the_lanes_of_the_hardware():
    rows = cal.vector_rows(np.arange(1, 15).reshape(2, 7), 2, 2)
    assert rows.tolist() == [[[1, 3, 2, 4, 5, 7, 6, 0]], [[8, 10, 9, 11, 12, 14, 13, 0]]]


def test_projection_buffer():
    p = np.arange(2 * 3 * 5).reshape(2, 3, 5)
    rows = cal.buffer_projection(p, 4)
    assert rows.shape == (2, 2, 3, 4) and rows[1, 0].tolist() == p[1, :, :4].tolist()
    assert rows[0, 1].tolist() == [[4, 0, 0, 0], [9, 0, 0, 0], [14, 0, 0, 0]]


@pytest.mark.parametrize("relu", [True, False])
def test_execution_is_exact_integer_arithmetic_near_the_float_layer(relu):
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(size=(6, 50)), 100 * rng.normal(size=6)
    steps = np.concatenate([np.full(30, 1 / 1000), np.full(20, 1 / 32768)])
    x = np.clip(np.round(rng.normal(size=(40, 50)) * 5000), -32768, 32767).astype(np.int64)
    real = (x * steps) @ weight.T + bias
    out_step = np.abs(real).max() / 32000
    execution = cal.calibrate_execution(weight, bias, steps, out_step, relu)
    layer = execution.layer
    assert 16000 < np.abs(layer.weights).max() <= 32767
    sums = x @ layer.weights.T + (layer.bias << layer.bias_shift)
    exact = requantize(sums, layer.shift, 16)
    assert np.array_equal(execution.outputs(x), np.maximum(exact, 0) if relu else exact)
    assert np.abs(execution.outputs(x) * out_step - (np.maximum(real, 0) if relu else real)).max() < 2 * out_step
    with pytest.raises(ValueError, match="out_scale must be greater"):
        cal.calibrate_execution(weight, bias, steps, out_step * 1e-9, relu)


def test_relu_threshold_keeps_its_budget_and_no_greater_one_does():
    rng = np.random.default_rng(2)
    y = rng.normal(size=(300, 8))
    pre = np.clip(np.round((y + 0.3 * rng.normal(size=y.shape)) * 30), -128, 127).astype(np.int64)
    losses = cal.relu_losses(pre, y)

    def lost(threshold):
        return np.linalg.norm(np.maximum(y, 0)[pre < threshold]) / np.linalg.norm(np.maximum(y, 0))

    for budget in (0, 0.03, 0.1, 0.5):
        threshold = cal.relu_threshold(losses, budget)
        assert -128 <= threshold <= 127 and lost(threshold) <= budget + 1e-12 < lost(threshold + 1)
    assert cal.relu_threshold(losses, 2) == 127 and cal.relu_threshold(losses[:16], 0) <= 7


def test_ratio_threshold():
    pre = np.arange(-128, 128)
    for ratio in (0.3, 0.5, 0.7):
        assert abs((np.abs(pre) > cal.ratio_threshold(pre, ratio)).mean() - ratio) < 0.01
    assert cal.ratio_threshold(np.zeros(4, np.int64), 0.5) == 0


def test_bad_input_is_refused():
    rows, y = np.zeros((5, 1, 4)), np.zeros((5, 2))
    for bad in ((rows[:4], y), (rows[0], y), (rows, y[:, 0])):
        with pytest.raises(ValueError, match="rows has shape"):
            cal.calibrate_speculation(*bad, Function.RELU, 4)
    with pytest.raises(ValueError, match="function = NONE"):
        cal.calibrate_speculation(rows, y, Function.NONE, 4)
    with pytest.raises(ValueError, match="rows from 0.0 to 8.0"):
        _layer(Function.RELU)[3].pre(np.full((1, 3, 32), [*[0.0] * 31, 8.0]))


def test_a_channel_that_cannot_be_estimated_keeps_its_mean():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 8, (600, 1, 16))
    y = np.stack([small.sum((1, 2)) / 16.0, np.full(600, 2.0)], 1)
    spec = cal.calibrate_speculation(small, y, Function.SIGMOID, 16)
    assert np.abs(spec.pre(small)[:, 1] / 16 - 2).max() < 0.1


def test_inputs_are_the_quantizers_and_a_lesser_shift_saturates():
    x = np.array([-32768, -2049, -1, 0, 4095, 4096, 14335, 16384, 32767])
    assert np.array_equal(cal.quantized_inputs(x, cal.SpeculatorFormat()), quantize(x))
    assert cal.quantized_inputs(x, cal.SpeculatorFormat(input_shift=11)).tolist() == [-8, -2, -1, 0, 1, 2, 6, 7, 7]


def test_the_limit_of_the_shift_is_the_hardwares():
    for preset in ("paper", "small", "fpga"):
        config = SpeculatorConfig.preset(preset)
        array = SystolicArrayConfig(rows=config.array_rows, cols=config.array_cols, max_k=config.max_k)
        mfu = SpeculatorMfuConfig(lanes=config.array_rows, acc_bits=array.acc_bits)
        assert cal.SpeculatorFormat(max_k=config.max_k).max_shift == mfu.max_shift
        assert AcceleratorSizes.preset(preset).speculator.max_shift == mfu.max_shift
    assert cal.SpeculatorFormat().max_shift == 17 and cal.SpeculatorFormat(max_k=128, pre_bits=10).max_shift == 13


@pytest.mark.parametrize("max_k", [512, 128])
def test_small_gains_keep_within_the_limit_of_the_shift(max_k):
    """Pre-activations that hardly change: their scale would need a greater shift than the hardware has."""
    formats = cal.SpeculatorFormat(max_k=max_k)
    _, small, y, _ = _layer(Function.SIGMOID)
    spec = cal.calibrate_speculation(small, y * 2e-4 + 2, Function.SIGMOID, 16, formats=formats)
    assert spec.q_shift == formats.max_shift and spec.scale.max() < 128
    assert np.abs(spec.pre(small) / 16 - 2).max() <= 0.1


def test_scales_are_the_nearest_ones_within_the_limit():
    factors = np.array([0.9, 0.001, 0]) * 2.0 ** -12
    for max_shift, shift, scale in ((30, 20, [230, 0, 0]), (20, 20, [230, 0, 0]), (19, 19, [115, 0, 0]),
                                    (12, 12, [1, 0, 0])):
        found, at = cal._scales(factors, 8, max_shift)
        assert (at, found.tolist()) == (shift, scale)
    assert cal._scales(np.array([255.7]), 8, 17)[1] == 0 and cal._scales(np.array([0.0]), 8, 17)[0].tolist() == [0]
