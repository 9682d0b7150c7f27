"""The compiler of layers: whole layers through mapping and Executor equal plain integer arithmetic; refusals."""

import dataclasses
import itertools

import numpy as np
import pytest

from golden.arith.fixed import requantize
from golden.duet.executor import run_step
from golden.duet.executor_pe import SLOTS
from golden.duet.layer import ConvLayer, GateLayer
from golden.duet.layer_parameters import QuantizedLayer
from golden.duet.layout import unpack_vector, pack_vector
from golden.duet.mapping import map_conv, map_gate
from golden.duet.sizes import Sizes
from golden.duet.speculator_mfu import Function

SMALL, PAPER = Sizes.preset("small"), Sizes.preset("paper")
WIDE = Sizes(rows=5, cols=3, segment=16, weight_lines=2, lut_entries=400)  # 5 x 5 kernels with whole tiles
LONG = Sizes(rows=3, cols=2, segment=8, weight_lines=4, lut_entries=96)    # blocks that are not square


def plain_convolution(layer, parameters, image, computed):
    """The results, from sliding windows of the padded image; ``computed`` (out, conv height, width) bool."""
    (kh, kw), (sy, sx), (py, px), (ph, pw) = layer.kernel, layer.stride, layer.padding, layer.pooling
    padded = np.pad(image, [(0, 0), (py, py), (px, px)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(1, 2))[:, ::sy, ::sx]
    sums = np.einsum("nckl,cyxkl->nyx", parameters.weights, windows)
    x = requantize(sums + (parameters.bias << parameters.bias_shift)[:, None, None], parameters.shift, 16)
    x = np.where(computed, np.maximum(x, 0) if layer.activation == Function.RELU else x, 0)
    (height, width), channels = layer.out_size, layer.out_channels
    return x[:, :height * ph, :width * pw].reshape(channels, height, ph, width, pw).max(axis=(2, 4))


def random_parameters(rng, shape):
    """Weights and bias such that results neither vanish nor all saturate."""
    terms = int(np.prod(shape[1:]))
    return QuantizedLayer(weights=rng.integers(-32768, 32768, shape), bias_shift=int(rng.integers(16)),
                          bias=rng.integers(-1000, 1000, shape[0]), weight_scale=1.0,
                          shift=15 + int(np.log2(terms + 1) / 2))


def random_image(rng, shape, zeros):
    return rng.integers(-32768, 32768, shape) * (rng.random(shape) >= zeros)


def run_layer(rng, mapping, parameters, lines, omaps, *, use_imap):
    """Output lines and map lines, a tile and R channels in random order after another; stale words are garbage."""
    sizes = mapping.sizes
    configuration = mapping.configuration(parameters, use_imap=use_imap)
    weights = mapping.pack_weights(parameters.weights)
    (by, bx), (th, tw) = mapping.out_map.blocks, mapping.out_map.block
    whole = dataclasses.replace(mapping.out_map, height=by * th, width=bx * tw)
    out = whole.pack(rng.integers(1, 99, (mapping.outputs, by * th, bx * tw)))  # none of it may stay
    maps = lines != 0
    for tile in mapping.tiles():
        garbage = rng.integers(-32768, 32768, (sizes.cols, SLOTS * sizes.segment))
        inputs = [(mapping.chunk_inputs(lines, tile, chunk, garbage),
                   mapping.chunk_inputs(maps, tile, chunk, garbage > 0)) for chunk in range(mapping.chunks)]
        order = rng.permutation(mapping.outputs)
        for at in range(0, len(order), sizes.rows):
            rows = order[at:at + sizes.rows]
            chunks = [(*inputs[chunk], mapping.chunk_weights(weights, rows, chunk)) for chunk in range(mapping.chunks)]
            data, macs = run_step(configuration, chunks, omaps[rows, tile.y, tile.x] & tile.valid, rows, tile.parity,
                                  acc_bits=sizes.acc_bits)
            assert macs.max() <= len(mapping.program) <= sizes.lut_entries
            for row, channel in enumerate(rows):
                mapping.store(out, tile, channel, data[row], mapping.owned[tile.parity])
    return out


def tile_maps(mapping, computed):
    """A map (out, conv height, width) as maps of tiles (out, tiles y, tiles x, S)."""
    (ty, tx), (ny, nx), channels = mapping.tile, mapping.tile_grid, mapping.outputs
    height, width = computed.shape[1:]
    padded = np.zeros((channels, max(ny * ty, height), max(nx * tx, width)), dtype=bool)
    padded[:, :height, :width] = computed
    tiles = padded[:, :ny * ty, :nx * tx].reshape(channels, ny, ty, nx, tx).transpose(0, 1, 3, 2, 4)
    tiles = tiles.reshape(channels, ny, nx, ty * tx)
    return np.pad(tiles, [(0, 0)] * 3 + [(0, mapping.sizes.segment - ty * tx)], constant_values=True)


def check_layer(rng, layer, sizes, block=None):
    mapping = map_conv(layer, sizes, block)
    parameters = random_parameters(rng, (layer.out_channels, layer.in_channels, *layer.kernel))
    shape = (layer.out_channels, *layer.conv_size)
    for zeros, needed, use_imap in ((0.1, 1, False), (0.6, 0.5, False), (0.6, 0.5, True)):
        image = random_image(rng, (layer.in_channels, layer.height, layer.width), zeros)
        computed = rng.random(shape) < needed
        out = run_layer(rng, mapping, parameters, mapping.in_map.pack(image), tile_maps(mapping, computed),
                        use_imap=use_imap)
        expected = plain_convolution(layer, parameters, image, computed)
        np.testing.assert_array_equal(mapping.out_map.unpack(out), expected)
        np.testing.assert_array_equal(out, mapping.out_map.pack(expected))  # zero outside of the image, too
    return mapping


LAYERS = [
    # sizes, kernel, stride, padding, pooling: what the small machine, the wide one and the paper's one are able to run
    (SMALL, 3, 1, 1, 1), (SMALL, 3, 1, 0, 2), (SMALL, 3, 1, 2, 1), (SMALL, 3, 2, 1, 1), (SMALL, 2, 1, 0, 1),
    (SMALL, 2, 2, 1, 1), (SMALL, 1, 1, 0, 1), (SMALL, 1, 1, 0, 2), (SMALL, 1, 2, 0, 1),
    (SMALL, (3, 1), 1, (1, 0), (1, 2)), (SMALL, 2, 1, 1, (2, 1)), (WIDE, 5, 1, 2, 1), (WIDE, 5, 1, 1, 2),
    (WIDE, 5, 2, 2, 1), (WIDE, 3, 2, 1, 1),
    (WIDE, 2, 2, 0, 2), (WIDE, 1, 2, 0, 1), (WIDE, (1, 5), 1, (0, 2), (2, 1)), (LONG, 3, 1, 1, 1), (LONG, 1, 1, 0, 1),
    (LONG, 2, 1, 1, 2), (LONG, (2, 3), (1, 2), 1, 1), (LONG, (1, 3), (1, 2), (0, 2), (2, 1)),
]


@pytest.mark.parametrize("sizes, kernel, stride, padding, pooling", LAYERS)
def test_layer_equals_plain_convolution(sizes, kernel, stride, padding, pooling):
    rng = np.random.default_rng(6)
    for ragged in (0, 1, 3):
        function = Function.RELU if ragged or pooling != 1 else Function.NONE
        layer = ConvLayer(in_channels=sizes.cols + ragged, out_channels=sizes.rows + ragged, kernel=kernel,
                          height=int(rng.integers(5, 11)), width=int(rng.integers(5, 11)), stride=stride,
                          padding=padding, pooling=pooling, activation=function)
        check_layer(rng, layer, sizes)
