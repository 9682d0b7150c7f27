"""Convolutions in integers: against the golden blocks and the float layer, budgets, a whole reader."""

import dataclasses

import numpy as np
import pytest

from golden.duet import networks
from golden.duet.calibrate import convolution_rows
from golden.duet.quantizer import quantize
from golden.workloads.layers import Convolution, dense_convolution, max_pool
from golden.workloads.lines import render, rendered_lines
from tests.workloads.models import crnn


class Toy:
    """Three convolutions with random weights that see random images."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        sizes = ((1, 6, 3, 1, (2, 2)), (6, 10, 3, 1, (1, 1)), (10, 7, 2, 0, (2, 1)))
        self.convolutions = [
            Convolution(f"conv{number}", rng.normal(size=(outputs, channels, k, k)) / np.sqrt(channels),
                        rng.normal(size=outputs) - 0.5, padding, pool)
            for number, (channels, outputs, k, padding, pool) in enumerate(sizes)]

    def features(self, image, convolution=dense_convolution):
        x = image[None]
        for layer in self.convolutions:
            x = max_pool(convolution(layer, x), layer.pool)
        return x

    @staticmethod
    def images(count, seed):
        return np.random.default_rng(seed).normal(size=(count, 12, 20))


@pytest.fixture(scope="module")
def toy():
    model = Toy()
    return model, networks.calibrate_convolutions(model, model.images(6, 1), cols=4, trees=4, budget=0.1, clipping=1)


def test_the_first_layer_is_computed_and_the_others_are_speculated(toy):
    _, layers = toy
    assert layers["conv0"].speculation is None and layers["conv0"].at_budget(0.5) is layers["conv0"]
    assert layers["conv1"].speculation.weight.shape == (10, 2 * 16)  # 2 groups, k_group near 0.45 * 36
    assert layers["conv2"].speculation.weight.shape == (7, 3 * 8)


def test_rows_of_the_projection():
    assert networks.projection_rows(144, 4, 16) == 64 and networks.projection_rows(144, 16, 16) == 32
    assert networks.projection_rows(64, 16, 16, 0.25) == 16 and networks.projection_rows(9, 64, 16) == 16


def test_map_and_results_are_those_of_the_golden_blocks(toy):
    model, layers = toy
    duet, x = layers["conv1"], max_pool(dense_convolution(model.convolutions[0], model.images(1, 2)[:1]), (2, 2))
    x16 = duet.quantize(x)
    results, mask = duet.run(x16)
    pre = duet.speculation.pre(convolution_rows(quantize(x16), (3, 3), 1, 4))
    assert np.array_equal(mask, (pre >= duet.speculation.threshold).T.reshape(mask.shape))
    weights = duet.execution.layer.weights.reshape(10, 6, 3, 3)
    padded = np.pad(x16, ((0, 0), (1, 1), (1, 1)))
    for o, y, c in ((0, 0, 0), (9, 5, 9), (4, 3, 2)):
        total = (weights[o] * padded[:, y:y + 3, c:c + 3]).sum() + (duet.execution.layer.bias[o]
                                                                    << duet.execution.layer.bias_shift)
        half = 1 << duet.execution.layer.shift - 1
        expected = min(max((total + half) >> duet.execution.layer.shift, 0), 32767) if mask[o, y, c] else 0
        assert results[o, y, c] == expected
    dense, everything = duet.run(x16, mask=True)
    assert everything.all() and np.array_equal(np.where(mask, dense, 0), results)


def test_strides():
    """Results and maps are those of the layer with stride 1 where the stride comes by; calibration is its own."""
    model = Toy()
    model.convolutions[1] = dataclasses.replace(model.convolutions[1], stride=(2, 1))
    model.convolutions[2] = dataclasses.replace(model.convolutions[2], pool=(1, 1))
    layers = networks.calibrate_convolutions(model, model.images(6, 1), cols=4, trees=4, budget=0.1, clipping=1)
    x = model.images(1, 2)[:1]
    for name, layer in zip(layers, model.convolutions):
        duet, exact = layers[name], dense_convolution(layer, x)
        results, mask = duet.run(duet.quantize(x))
        every, everywhere = dataclasses.replace(duet, stride=(1, 1)).run(duet.quantize(x))
        assert results.shape == mask.shape == exact.shape == layer.output_shape(x)
        assert np.array_equal(results, every[:, ::duet.stride[0], ::duet.stride[1]])
        assert np.array_equal(mask, everywhere[:, ::duet.stride[0], ::duet.stride[1]])
        assert np.abs(duet.run(duet.quantize(x), True)[0] * duet.execution.out_step - exact).max() < 0.02 * exact.max()
        x = max_pool(exact, layer.pool)
    assert layers["conv1"].stride == (2, 1)


def test_integers_are_near_the_float_network(toy):
    model, layers = toy
    dense = {name: dataclasses.replace(layer, speculation=None) for name, layer in layers.items()}
    seen = []
    for image in model.images(3, 3):
        exact = model.features(image)
        near = model.features(image, networks.convolution_function(dense, lambda *call: seen.append(call)))
        assert np.linalg.norm(near - exact) < 3e-3 * np.linalg.norm(exact)
    assert [name for name, _, _ in seen[:3]] == ["conv0", "conv1", "conv2"] and seen[0][1].all()


def test_a_greater_budget_skips_more_and_loses_more(toy):
    model, layers = toy
    images, skipped, errors = model.images(6, 4), [], []
    for budget in (0, 0.05, 0.2, 0.5):
        share = []
        hook = networks.convolution_function({name: layer.at_budget(budget) for name, layer in layers.items()},
                                             lambda name, mask, _: share.append((name, 1 - mask.mean())))
        got = np.concatenate([model.features(image, hook).ravel() for image in images])
        exact = np.concatenate([model.features(image).ravel() for image in images])
        skipped.append(np.mean([value for name, value in share if name != "conv0"]))
        errors.append(np.linalg.norm(got - exact) / np.linalg.norm(exact))
    assert skipped == sorted(skipped) and errors == sorted(errors) and skipped[2] > 0.2 and errors[1] < 0.2


def test_clipping_saturates_inputs(toy):
    model, _ = toy
    layers = networks.calibrate_convolutions(model, model.images(4, 1), cols=4, trees=4, clipping=0.25)
    x = max_pool(dense_convolution(model.convolutions[0], model.images(1, 1)[:1]), (2, 2))
    assert layers["conv1"].quantize(x).max() == 32767


def test_the_reader_reads_with_half_of_the_outputs_skipped():
    model, image, skipped = crnn(), render("Sparse accelerators"), {}
    layers = networks.calibrate_convolutions(model, [image for image, _ in rendered_lines("calibration", 3)],
                                             samples=3000)

    def record(name, mask, results):
        skipped[name] = 1 - mask.mean()
        assert not results[~mask].any()

    assert model.read(image, networks.convolution_function(layers, record)) == "Sparse accelerators"
    assert skipped.pop("conv0") == 0 and np.mean(list(skipped.values())) > 0.5 and min(skipped.values()) > 0.3
