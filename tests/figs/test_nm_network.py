"""N:M networks in integers: formats, ranges, the product, the export of trained networks."""

import dataclasses

import numpy as np
import pytest

from golden.figs.matmul import matmul
from golden.figs.nm_network import NmLayer, NmNetwork, export_layer, export_network, integer_product
from golden.figs.patterns import Pattern, is_pattern
from golden.figs.perceptron import Perceptron
from golden.figs.sizes import Sizes
from golden.figs.train import prune

WIDTHS = (32, 64, 32, 10)


def _network(activation="relu", pattern=Pattern(2, 8), seed=0):
    network = prune(Perceptron.initial(WIDTHS, activation, seed), pattern)
    rng = np.random.default_rng(seed + 1)
    for name in network.parameters:
        if name.startswith("b"):
            network.parameters[name] += rng.normal(0, 0.1, network.parameters[name].shape).astype(np.float32)
    return network, rng.normal(size=(50, WIDTHS[0])).astype(np.float32)


def _layer(**changes):
    weights = np.array([[0, -128, 0, 0, 127, 0, 0, 0], [3, 0, 0, 0, 0, 0, 0, -1]])
    return NmLayer(**({"weights": weights, "n": 1, "m": 4, "scales": np.array([0.5, 2.0]), "bias": np.array([1.0, 0.0]),
                       "input_scale": 0.25} | changes))


def test_one_layer_by_hand():
    layer = _layer()
    x = np.array([[10.0, 1, 0, 0, -2, 0, 0, 0.375], [1e9, -1e9, 0, 0, 0, 0, 0, 0.37]])
    integers = layer.quantize(x)
    assert integers.T.tolist() == [[40, 4, 0, 0, -8, 0, 0, 2], [127, -128, 0, 0, 0, 0, 0, 1]]
    sums = integer_product(layer, integers)
    assert sums.T.tolist() == [[-128 * 4 - 127 * 8, 120 - 2], [128 * 128, 381 - 1]]
    assert layer.dequantize(sums).tolist() == [[-1528 * 0.125 + 1, 118 * 0.5], [16384 * 0.125 + 1, 380 * 0.5]]
    assert layer.pattern == Pattern(1, 4)


def test_inputs_saturate_however_great_and_are_finite():
    greatest = np.finfo(np.float64).max
    x = np.array([[1e300, -1e300, greatest, -greatest, 31.8, -32.2, 0, -0.0]])
    assert _layer().quantize(x).T.tolist() == [[127, -128, 127, -128, 127, -128, 0, 0]]
    assert _layer(input_scale=1e-300).quantize(x).T.tolist() == [[127, -128] * 3 + [0, 0]]
    for value in (np.inf, -np.inf, np.nan):
        x[0, 3] = value
        with pytest.raises(ValueError, match=f"x holds {value}: it must be finite"):
            _layer().quantize(x)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("bits", [8, 16])
def test_integers_are_near_float(activation, bits):
    network, x = _network(activation)
    exported = export_network(network, Pattern(2, 8), x, bits)
    assert [str(layer.pattern) for layer in exported.layers] == ["2:8", "2:8", "1:1"]
    assert all(layer.bits == bits and is_pattern(layer.weights, layer.pattern) for layer in exported.layers)
    wanted = network.forward(x)
    assert np.square(exported.forward(x) - wanted).mean() < 1e-3 * np.square(wanted).mean()
    for layer, name in zip(exported.layers, ("w0", "w1", "w2")):
        assert np.abs(layer.weights * layer.scales[:, None] - network.parameters[name]).max() < 2.0 ** (3 - bits)
        assert not layer.weights[network.parameters[name] == 0].any()


def test_a_matmul_from_outside_gets_the_integers_and_its_sums_are_used():
    network, x = _network()
    exported, seen = export_network(network, Pattern(2, 8), x), []

    def engine(layer, integers):
        """Only the non-zeros, one by one, as an engine of compressed weights."""
        seen.append((layer, integers))
        assert np.abs(integers).max() <= 128 and integers.dtype.kind == "i"
        sums = np.zeros((len(layer.weights), integers.shape[1]), np.int32)
        for row, column in zip(*np.nonzero(layer.weights)):
            sums[row] += (layer.weights[row, column] * integers[column]).astype(np.int32)
        return sums

    assert np.array_equal(exported.forward(x, engine), exported.forward(x))
    assert [layer for layer, _ in seen] == list(exported.layers) and seen[0][1].shape == (32, 50)
    wrong = exported.forward(x, lambda layer, integers: engine(layer, integers) + 1)
    assert not np.array_equal(wrong, exported.forward(x))
    with pytest.raises(TypeError, match="sums must be of an integer type"):
        exported.forward(x, lambda layer, integers: engine(layer, integers) * 1.0)
    with pytest.raises(ValueError, match="sums holds"):
        exported.forward(x, lambda layer, integers: engine(layer, integers).astype(np.int64) + (1 << 31))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", [Pattern(1, 4), Pattern(8, 32)], ids=str)
def test_the_engines_model_multiplies_a_whole_network(bits, pattern):
    """Compiled weights on the model of the FiGS array, dense last layer included: the same outputs, bit for bit."""
    network, x = _network(pattern=pattern)
    exported = export_network(network, pattern, x, bits)
    sizes = Sizes.preset("small", weight_bits=bits, words=4096)
    engine = exported.forward(x[:8], lambda layer, integers: matmul(layer.weights, integers, sizes, layer.pattern))
    assert np.array_equal(engine, exported.forward(x[:8]))


def test_the_greatest_sums_fit():
    """Corners: all inputs -128 against the most negative weights of 16 bits, as many as fit in 32 bits."""
    weights = np.full((1, 511), -(1 << 15))
    layer = NmLayer(weights, 1, 1, np.ones(1), np.zeros(1), 1.0, 16)
    assert integer_product(layer, np.full((511, 1), -128))[0, 0] == 511 << 22
    with pytest.raises(ValueError, match="a sum can reach 2147483648.*32 bits"):
        NmLayer(np.full((1, 512), -(1 << 15)), 1, 1, np.ones(1), np.zeros(1), 1.0, 16)
    with pytest.raises(ValueError, match="x holds 128"):
        integer_product(layer, np.full((511, 1), 128))


@pytest.mark.parametrize("changes, reason", [
    ({"weights": np.array([[1, 1, 0, 0], [0, 0, 0, 0]])}, "obey 1:4"), ({"bits": 4}, "bits = 4"),
    ({"weights": np.full((2, 4), 0.5)}, "integer type"),
    ({"weights": np.array([[128, 0], [0, 0]])}, "weights holds 128"),
    ({"weights": np.zeros(4, int)}, "outputs, inputs"), ({"scales": np.ones(3)}, r"scales of shape \(3,\)"),
    ({"bias": np.ones(3)}, "bias of shape"), ({"input_scale": 0.0}, "input_scale = 0.0"), ({"m": 3}, "m = 3"),
    ({"input_scale": np.inf}, "input_scale = inf"), ({"input_scale": np.nan}, "input_scale = nan"),
    ({"scales": np.array([1.0, np.nan])}, "scales holds nan"),
    ({"scales": np.array([np.inf, 1.0])}, "scales holds inf"),
    ({"bias": np.array([0.0, -np.inf])}, "bias holds -inf")])
def test_bad_layers(changes, reason):
    with pytest.raises((ValueError, TypeError), match=reason):
        _layer(**changes)


def test_export_of_odd_layers():
    layer = export_layer(np.zeros((3, 4)), np.zeros(3), Pattern(1, 4), np.zeros((2, 4)))
    assert not layer.weights.any() and NmNetwork((layer,), "relu").forward(np.ones((2, 4))).tolist() == [[0.0] * 3] * 2
    with pytest.raises(ValueError, match="bits = 7"):
        export_layer(np.zeros((3, 4)), np.zeros(3), Pattern(1, 4), np.zeros((2, 4)), 7)
    with pytest.raises(ValueError, match="obey 1:4"):
        export_layer(np.ones((3, 4)), np.zeros(3), Pattern(1, 4), np.ones((2, 4)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        layer.n = 2
