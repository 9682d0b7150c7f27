"""Layers against plain loops, and the functions that replace them."""

import numpy as np
import pytest

from golden.workloads.layers import (GATES, Cell, Convolution, activate, dense_convolution, dense_gate,
                                     fold_batch_norm, im2col, max_pool, run_cell, sigmoid)


@pytest.mark.parametrize("kernel, padding, stride", [((3, 3), 1, (1, 1)), ((2, 2), 0, (1, 1)), ((1, 3), 1, (2, 1)),
                                                     ((3, 3), 1, (2, 3))])
def test_convolution_equals_the_sum(kernel, padding, stride):
    rng = np.random.default_rng(0)
    x, bias = rng.normal(size=(3, 5, 7)), rng.normal(size=4)
    layer = Convolution("c", rng.normal(size=(4, 3, *kernel)), bias, padding, stride=stride)
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    shape = layer.output_shape(x)
    expected = np.zeros(shape)
    for o, y, c in np.ndindex(shape):
        top, left = y * stride[0], c * stride[1]
        expected[o, y, c] = (layer.weight[o] * padded[:, top:top + kernel[0], left:left + kernel[1]]).sum() + bias[o]
    assert np.allclose(layer.pre_activation(x), expected)
    assert np.allclose(dense_convolution(layer, x), expected.clip(0))
    assert im2col(x, kernel, padding, stride).shape == (shape[1] * shape[2], 3 * kernel[0] * kernel[1])


def test_folded_batch_norm():
    rng = np.random.default_rng(1)
    weight, x = rng.normal(size=(4, 6)), rng.normal(size=6)
    bias, gain, offset, mean, variance = rng.normal(size=(5, 4)) ** 2 + 0.1
    for b in (bias, None):
        folded, shift = fold_batch_norm(weight, b, gain, offset, mean, variance, 1e-5)
        before = weight @ x + (0 if b is None else b)
        assert np.allclose(folded @ x + shift, (before - mean) / np.sqrt(variance + 1e-5) * gain + offset)


def test_max_pool_drops_the_remainder():
    x = np.arange(2 * 5 * 5).reshape(2, 5, 5)
    assert max_pool(x, (2, 2))[0].tolist() == [[6, 8], [16, 18]]
    assert max_pool(x, (2, 1)).shape == (2, 2, 5) and np.array_equal(max_pool(x, (1, 1)), x)


def test_sigmoid_and_gates():
    assert np.allclose(sigmoid(np.array([-1000.0, 0, 2])), [0, 0.5, 1 / (1 + np.exp(-2))])
    assert all(np.array_equal(activate(name, 1.0), np.tanh(1.0)) == (name in "gn") for name in "ifgorzn")


def _cell(kind, width=3, inputs=2):
    rng = np.random.default_rng(2)
    rows = len(GATES[kind]) * width
    return Cell("cell", kind, rng.normal(size=(rows, inputs)), rng.normal(size=(rows, width)), rng.normal(size=rows),
                rng.normal(size=rows))


def test_lstm_equals_the_equations():
    cell, xs = _cell("lstm"), np.random.default_rng(3).normal(size=(4, 2))
    h = c = np.zeros(3)
    expected = []
    for x in xs:
        i, f, g, o = np.split(cell.input_weight @ x + cell.input_bias + cell.hidden_weight @ h + cell.hidden_bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        expected.append(h)
    outputs, (last, memory) = run_cell(cell, xs)
    assert np.allclose(outputs, expected) and np.allclose(last, h) and np.allclose(memory, c)


def test_gru_equals_the_equations():
    cell, xs = _cell("gru"), np.random.default_rng(4).normal(size=(4, 2))
    h = np.zeros(3)
    for x in xs:
        (ar, az, an), (br, bz, bn) = (np.split(part, 3) for part in (cell.input_weight @ x + cell.input_bias,
                                                                     cell.hidden_weight @ h + cell.hidden_bias))
        z = sigmoid(az + bz)
        h = (1 - z) * np.tanh(an + sigmoid(ar + br) * bn) + z * h
    assert np.allclose(run_cell(cell, xs)[1][0], h)


def test_a_gate_can_be_recorded_and_replaced():
    cell, xs, seen = _cell("gru"), np.ones((2, 2)), []

    def gate(cell, name, x, h, reset=None):
        seen.append((name, reset is not None))
        return np.zeros(3) if name == "n" else dense_gate(cell, name, x, h, reset)

    outputs, _ = run_cell(cell, xs, gate)
    assert seen == [("r", False), ("z", False), ("n", True)] * 2 and not outputs.any()
