"""A convolution of few input channels as one of kernel 1 x 1 with a channel for each tap.

A line holds C channels whether they are there or not: a picture's one channel keeps one column of elements busy, its
taps as channels keep as many. The windows are laid out once, by the host that brings the picture.
"""

import dataclasses

import numpy as np

from golden.duet.layer import ConvLayer

__all__ = ["unfolds", "unfold_image", "unfold_layer", "unfold_weights"]


def unfolds(layer, cols):
    """Whether the taps of all channels of a ``ConvLayer`` fit in one group of ``cols``, and it has more than one."""
    return 1 < layer.taps and layer.in_channels * layer.taps <= cols


def unfold_layer(layer):
    """The ``ConvLayer`` with the same outputs for unfolded images: channel c, tap t is channel c * taps + t."""
    height, width = layer.conv_size
    return ConvLayer(in_channels=layer.in_channels * layer.taps, out_channels=layer.out_channels, height=height,
                     width=width, kernel=(1, 1), pooling=layer.pooling, activation=layer.activation)


def unfold_image(layer, image):
    """``image`` (channels, height, width) with a channel for each tap: (channels * taps, outputs high, wide)."""
    image = np.asarray(image)
    shape = layer.in_channels, layer.height, layer.width
    if image.shape != shape:
        raise ValueError(f"image has shape {image.shape}: it must be {shape}")
    padded = np.pad(image, ((0, 0), *((padding, padding) for padding in layer.padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, layer.kernel, (1, 2))
    windows = windows[:, ::layer.stride[0], ::layer.stride[1]]
    return windows.transpose(0, 3, 4, 1, 2).reshape(-1, *layer.conv_size)


def unfold_weights(parameters):
    """The ``QuantizedLayer`` of the unfolded layer, from weights (outputs, channels, kh, kw)."""
    weights = parameters.weights.reshape(len(parameters.weights), -1, 1, 1)
    return dataclasses.replace(parameters, weights=weights)
