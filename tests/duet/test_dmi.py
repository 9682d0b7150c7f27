"""Dual-module inference: the equations of chapter 3, closed form against gradient descent, switching."""

import numpy as np
import pytest

from golden.duet import dmi
from golden.duet.speculator_mfu import Function


def _data(samples=400, k=12, n=5, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(1, 2, (samples, k)) @ (np.eye(k) + 0.2 * rng.normal(size=(k, k)))
    return z, z @ rng.normal(size=(k, n)) + rng.normal(size=n) + rng.normal(0, noise, (samples, n))


def test_dimension_equals_the_thesis_tables():
    assert [dmi.reduced_dimension(6000, epsilon) for epsilon in (0.3, 0.5, 0.7)] == [966, 417, 266]  # Table 3.4
    assert [dmi.reduced_dimension(n, 0.3) for n in (128, 256, 512)] == [539, 616, 693]  # Table A.1
    assert [dmi.reduced_dimension(n, 0.5) for n in (128, 256, 512)] == [232, 266, 299]
    for outputs, epsilon in ((1, 0.5), (10, 0), (10, 1)):
        with pytest.raises(ValueError, match="is not allowed"):
            dmi.reduced_dimension(outputs, epsilon)


def test_projection_is_ternary_and_keeps_lengths():
    p = dmi.random_projection(300, 600, seed=1)
    values, counts = np.unique(p, return_counts=True)
    assert np.allclose(values, np.sqrt(3 / 300) * np.array([-1, 0, 1]))
    assert np.allclose(counts / p.size, [1 / 6, 2 / 3, 1 / 6], atol=0.01)
    x = np.random.default_rng(2).normal(size=(50, 600))
    assert np.allclose(np.linalg.norm(x @ p.T, axis=1) / np.linalg.norm(x, axis=1), 1, atol=0.2)


def test_block_projection():
    p = dmi.block_projection([(4, 10), (6, 30)], seed=3)
    assert p.shape == (10, 40) and not p[:4, 10:].any() and not p[4:, :10].any()
    assert np.array_equal(p[4:, 10:], dmi.random_projection(6, 30, (3, 1)))


def test_regression_is_the_minimum():
    z, y = _data()
    regression = dmi.Regression(12, 5)
    for part in np.array_split(np.arange(400), 3):
        regression.add(z[part], y[part])
    weight, bias = regression.solve()
    error = np.square(z @ weight.T + bias - y).mean(0)
    assert np.allclose(regression.error(weight, bias), error) and error.max() < 0.02
    assert np.allclose(regression.covariance, np.cov(z.T, bias=True))
    rng = np.random.default_rng(1)
    for _ in range(20):
        other = np.square(z @ (weight + 1e-2 * rng.normal(size=weight.shape)).T + bias - y).mean(0)
        assert (other > error).all()


def test_gradient_descent_approaches_the_closed_form():
    z, y = _data(noise=1)
    regression = dmi.Regression(12, 5)
    regression.add(z, y)
    least = regression.error(*regression.solve())
    reached = [regression.error(*dmi.train_sgd(z, y, epochs=epochs)) for epochs in (5, 200)]
    assert (reached[1] < 1.1 * least).all() and reached[0].sum() > reached[1].sum() >= least.sum()


@pytest.mark.parametrize("bits, allowed", [(8, 0.01), (4, 0.2), (2, 0.9)])
def test_quantized_rows(bits, allowed):
    weight = np.random.default_rng(0).normal(size=(6, 200)) * np.arange(6)[:, None]
    integers, scale = dmi.quantize_rows(weight, bits)
    assert integers.min() >= -2 ** (bits - 1) and integers.max() <= 2 ** (bits - 1) - 1 and not integers[0].any()
    error = np.square(integers * scale[:, None] - weight).sum(1)
    assert (np.sqrt(error[1:]) < allowed * np.linalg.norm(weight[1:], axis=1)).all()
    unclipped = np.abs(weight).max(1, keepdims=True) / (2 ** (bits - 1) - 1)
    unclipped[0] = 1
    assert (error <= np.square(np.round(weight / unclipped) * unclipped - weight).sum(1) + 1e-9).all()


def test_quantization_for_the_product_is_better_for_the_product():
    rng = np.random.default_rng(5)
    z = rng.normal(size=(1000, 40)) * np.geomspace(10, 0.1, 40)
    weight, gram = rng.standard_t(2, size=(8, 40)), z.T @ z / 1000
    errors = []
    for given in (None, gram):
        integers, scale = dmi.quantize_rows(weight, 2, given)
        error = integers * scale[:, None] - weight
        errors.append((error @ gram * error).sum(1))
    assert (errors[1] <= errors[0] + 1e-9).all() and errors[1].sum() < errors[0].sum()


def test_little_module_imitates_the_layer_and_more_bits_are_better():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 20)) @ rng.normal(size=(20, 64)) + 0.3 * rng.normal(size=(2000, 64))
    y = x @ rng.normal(size=(64, 10)) + 3
    p = dmi.random_projection(32, 64)
    errors = [np.square(dmi.LittleModule.fit(p, x[:1500], y[:1500], weight_bits, input_bits)(x[1500:])
                        - y[1500:]).mean() / y.var()
              for weight_bits, input_bits in ((None, None), (8, 8), (4, 4), (2, 4))]
    assert errors[0] < 0.1 and errors[1] < 1.1 * errors[0] and errors[1] < errors[2] < errors[3] < 0.5
    module = dmi.LittleModule.fit(p, x, y, 4, 4)
    assert np.abs((module(x) - y).mean(0)).max() < 1e-9  # the bias fits the quantized weights


def test_switching_rules():
    y = np.array([[-3.0, -0.5, 0.0, 0.5, 3.0]])
    assert dmi.needed(y, Function.RELU, 0.0).tolist() == [[False, False, True, True, True]]
    assert dmi.needed(y, Function.TANH, 0.5).tolist() == [[False, True, True, True, False]]
    assert dmi.top_k_needed(y, Function.RELU, 2).tolist() == [[False, False, False, True, True]]
    assert dmi.top_k_needed(y, Function.SIGMOID, 2).tolist() == [[False, True, True, False, False]]
    assert dmi.insensitive_ratio(dmi.top_k_needed(y, Function.TANH, 2)) == pytest.approx(0.6)
    with pytest.raises(ValueError, match="count = 6"):
        dmi.top_k_needed(y, Function.RELU, 6)


def test_adaptive_threshold_keeps_the_promise_of_its_derivation():
    """An error delta moves the output by about theta at the threshold (Eq. 3.1 to 3.4)."""
    delta, theta = 0.2, 0.01
    for function, f in ((Function.TANH, np.tanh), (Function.SIGMOID, lambda x: 1 / (1 + np.exp(-x)))):
        threshold = dmi.adaptive_threshold(function, delta, theta)
        for x in (threshold + 0.5, -threshold - 0.5):
            assert abs(f(x + delta) - f(x)) < theta and abs(f(x - delta) - f(x)) < theta
        assert abs(f(threshold - 1 - delta) - f(threshold - 1)) > theta
    assert dmi.adaptive_threshold(Function.RELU, delta, theta) == pytest.approx(-0.19)
    assert dmi.adaptive_threshold(Function.TANH, 0.001, 0.1) == 0
    with pytest.raises(ValueError, match="error = 0"):
        dmi.adaptive_threshold(Function.RELU, 0, 0.1)


def test_algorithm_2():
    """Outputs of the little module where it is insensitive, the layer's elsewhere; the final ReLU output is near."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(500, 8)) @ rng.normal(size=(8, 40))
    weight, bias = rng.normal(size=(30, 40)), rng.normal(size=30) - 20
    y = x @ weight.T + bias
    approximate = dmi.LittleModule.fit(dmi.random_projection(20, 40), x, y)(x)
    mask = dmi.needed(approximate, Function.RELU, -1.0)
    result = np.maximum(dmi.assemble(y, approximate, mask), 0)
    assert dmi.insensitive_ratio(mask) > 0.5
    assert np.array_equal(result[mask], np.maximum(y, 0)[mask]) and not result[~mask].any()
    assert np.linalg.norm(result - np.maximum(y, 0)) < 0.1 * np.linalg.norm(np.maximum(y, 0))
