"""A convolution with its taps as channels has the same outputs, and is refused nothing that it is not."""

import numpy as np
import pytest

from golden.duet.layer import ConvLayer
from golden.duet.unfold import unfold_image, unfold_layer, unfolds


def outputs(image, weights, stride, padding):
    """The sums of a convolution, one by one."""
    image = np.pad(image, ((0, 0), *((p, p) for p in padding)))
    high, wide = ((size - kernel) // step + 1 for size, kernel, step
                  in zip(image.shape[1:], weights.shape[2:], stride))
    return np.array([[[(image[:, y * stride[0]:y * stride[0] + weights.shape[2],
                              x * stride[1]:x * stride[1] + weights.shape[3]] * filter_).sum()
                       for x in range(wide)] for y in range(high)] for filter_ in weights])


@pytest.mark.parametrize("channels, kernel, stride, padding", [
    (1, (3, 3), (1, 1), (1, 1)), (3, (2, 2), (2, 2), (0, 0)), (2, (3, 1), (2, 1), (2, 0)), (1, (5, 3), (1, 2), (0, 1))])
def test_same_outputs(channels, kernel, stride, padding):
    rng = np.random.default_rng(1)
    layer = ConvLayer(in_channels=channels, out_channels=4, height=9, width=8, kernel=kernel, stride=stride,
                      padding=padding)
    image, weights = rng.integers(-9, 10, (channels, 9, 8)), rng.integers(-9, 10, (4, channels, *kernel))
    flat = unfold_layer(layer)
    found = outputs(unfold_image(layer, image), weights.reshape(4, -1, 1, 1), (1, 1), (0, 0))
    assert np.array_equal(found, outputs(image, weights, stride, padding))
    assert (flat.in_channels, flat.conv_size, flat.taps) == (channels * layer.taps, layer.conv_size, 1)


def test_what_unfolds():
    layer = ConvLayer(in_channels=2, out_channels=4, height=9, width=8, kernel=(2, 2))
    assert unfolds(layer, 8) and not unfolds(layer, 7)
    assert not unfolds(ConvLayer(in_channels=2, out_channels=4, height=9, width=8, kernel=(1, 1)), 16)


def test_wrong_image():
    layer = ConvLayer(in_channels=2, out_channels=4, height=9, width=8)
    with pytest.raises(ValueError, match=r"image has shape \(2, 8, 9\): it must be \(2, 9, 8\)"):
        unfold_image(layer, np.zeros((2, 8, 9)))
