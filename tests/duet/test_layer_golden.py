"""Descriptions of layers and machines: derived sizes, refusals."""

import pytest

from golden.duet.layer import ConvLayer, GateLayer
from golden.duet.sizes import Sizes
from golden.duet.speculator_mfu import Function


def conv(**changes):
    return ConvLayer(**{**dict(in_channels=3, out_channels=4, height=8, width=9), **changes})


def test_sizes_of_outputs():
    layer = conv(padding=1)
    assert (layer.kernel, layer.padding, layer.taps) == ((3, 3), (1, 1), 9)
    assert layer.conv_size == layer.out_size == (8, 9)
    layer = conv(kernel=(3, 5), stride=(1, 2), padding=[0, 2], pooling=(2, 1))
    assert (layer.taps, layer.conv_size, layer.out_size) == (15, (6, 5), (3, 5))
    assert conv(pooling=2).out_size == (3, 3)  # 6 x 7: the last column is dropped


@pytest.mark.parametrize("changes, message", [
    ({"in_channels": 0}, "in_channels = 0 is not allowed: in_channels must be an integer of at least 1"),
    ({"height": 2.5}, "height = 2.5"), ({"kernel": 0}, r"kernel = \(0, 0\) is not allowed"),
    ({"kernel": (1, 2, 3)}, "one or two integers"), ({"padding": 3}, r"padding must be less than kernel = \(3, 3\)"),
    ({"padding": -1}, "of at least 0"), ({"stride": 0}, "stride"), ({"pooling": 3}, "pooling must be of 1 and 2"),
    ({"activation": Function.TANH}, "activation must be NONE or RELU"), ({"height": 2}, "large enough for one output"),
    ({"height": 3, "pooling": 2}, "large enough for one output"),
])
def test_refuses_convolutions(changes, message):
    with pytest.raises(ValueError, match=message):
        conv(**changes)


@pytest.mark.parametrize("changes, message", [
    ({"inputs": 0}, "inputs = 0"), ({"neurons": "1"}, "neurons = 1"),
    ({"activation": 2}, "activation must be a Function"),
])
def test_refuses_gates(changes, message):
    with pytest.raises(ValueError, match=message):
        GateLayer(**{**dict(inputs=3, neurons=2), **changes})


def test_sizes_of_machines():
    assert Sizes.preset("paper") == Sizes() and Sizes().line_words == 256
    assert Sizes.preset("small").line_words == 8 and Sizes.preset("fpga").line_words == 64
    for call, message in ((lambda: Sizes(rows=0), "rows = 0 is not allowed: rows must be at least 1"),
                          (lambda: Sizes(segment=12), "segment must be a power of two"),
                          (lambda: Sizes.preset("huge"), "must be one of paper, small, fpga")):
        with pytest.raises(ValueError, match=message):
            call()
