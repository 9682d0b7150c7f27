"""The compiler of layers: whole layers through mapping and Executor equal plain integer arithmetic; refusals."""

import dataclasses

import numpy as np
import pytest

from golden.arith.fixed import requantize
from golden.duet.executor import run_step
from golden.duet.executor_pe import SLOTS
from golden.duet.layer import ConvLayer, GateLayer
from golden.duet.layer_parameters import QuantizedLayer
from golden.duet.layout import pack_vector, unpack_vector
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


def check_layer(rng, mapping):
    layer = mapping.layer
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
        check_layer(rng, map_conv(layer, sizes))


def test_random_layers():
    """Random descriptions on random machines: refused, or equal to the plain convolution."""
    rng = np.random.default_rng(9)
    ran = set()
    while len(ran) < 25:
        segment, pooling = int(rng.choice([4, 8, 16])), int(rng.integers(1, 3))
        sizes = Sizes(rows=int(rng.integers(1, 5)), cols=int(rng.integers(1, 4)), segment=segment,
                      weight_lines=int(rng.integers(1, 4)), lut_entries=int(rng.choice([36, 144, 400])))
        kernel = tuple(int(size) for size in rng.choice([1, 2, 3, 5], 2))
        try:
            layer = ConvLayer(
                in_channels=int(rng.integers(1, 9)), out_channels=int(rng.integers(1, 7)), kernel=kernel,
                height=int(rng.integers(1, 10)), width=int(rng.integers(1, 10)), stride=int(rng.integers(1, 3)),
                padding=tuple(int(rng.integers(0, min(3, size))) for size in kernel), pooling=pooling)
            height = 1 << int(rng.integers(0, segment.bit_length()))
            mapping = map_conv(layer, sizes, (height, segment // height))
        except ValueError as error:
            assert "not allowed" in str(error)
            continue
        check_layer(rng, mapping)
        ran.add((layer.kernel, layer.stride, layer.pooling, sizes))


def test_real_layers_on_the_papers_machine():
    """The recogniser's convolutions (kernel 3 and 2, pooled by 2 x 2 and 2 x 1), and one of each other kind."""
    def mapped(cin, cout, kernel=3, padding=1, pooling=1, stride=1):
        return map_conv(ConvLayer(in_channels=cin, out_channels=cout, height=16, width=20, kernel=kernel, stride=stride,
                                  padding=padding, pooling=pooling), PAPER)
    first = mapped(1, 32, pooling=2)
    assert (first.chunks, len(first.program), len(first.load_table), first.weight_lines) == (1, 144, 9, 1)
    deep = mapped(256, 256, pooling=(2, 1))
    assert (deep.chunks, len(deep.program), deep.tile, deep.tile_grid) == (16, 144, (4, 4), (4, 5))
    last = mapped(256, 256, kernel=2, padding=0)
    assert (last.chunks, len(last.program), len(last.load_table)) == (16, 64, 4)
    down = mapped(64, 64, stride=2)
    assert (down.tile, len(down.program), len(down.load_table)) == ((2, 2), 36, 4)
    point = mapped(64, 64, kernel=1, padding=0)
    assert (point.chunks, point.chunk_lines, len(point.program), point.weight_lines) == (1, 4, 64, 1)
    assert [entry.slot for entry in point.load_table] == [0, 1, 2, 3]


def test_example_of_a_load_table():
    """3 x 3, padding 1 on blocks of 2 x 2: a window of 4 x 4 from (-1, -1) on, a corner each of nine blocks."""
    layer = ConvLayer(in_channels=4, out_channels=4, height=6, width=6, padding=1)
    mapping = map_conv(layer, SMALL)
    got = {(entry.dy, entry.dx): (entry.line_offset, entry.slot, np.flatnonzero(entry.mask).tolist())
           for entry in mapping.load_table}
    assert got == {
        (-1, -1): (-8, 3, [3]), (-1, 0): (-6, 2, [2, 3]), (-1, 1): (-4, 3, [2]),
        (0, -1): (-2, 1, [1, 3]), (0, 0): (0, 0, [0, 1, 2, 3]), (0, 1): (2, 1, [0, 2]),
        (1, -1): (4, 3, [1]), (1, 0): (6, 2, [0, 1]), (1, 1): (8, 3, [0])}
    tiles = list(mapping.tiles())
    assert [line for line, _ in mapping.loads(tiles[0], 0)] == [None, None, None, None, 0, 2, None, 6, 8]
    assert [line for line, _ in mapping.loads(tiles[4], 1)] == [1, 3, 5, 7, 9, 11, 13, 15, 17]
    np.testing.assert_array_equal(mapping.program[:4], [[15, 0, 0], [10, 0, 1], [5, 0, 2], [0, 0, 3]])


def test_pooled_tiles_share_a_block():
    layer = ConvLayer(in_channels=1, out_channels=1, height=10, width=6, padding=1, pooling=(2, 1))
    mapping = map_conv(layer, PAPER)
    tiles = list(mapping.tiles())
    assert [(tile.out_block, tile.parity) for tile in tiles] == [
        ((0, 0), 0), ((0, 1), 1), ((0, 0), 2), ((0, 1), 3), ((1, 0), 0), ((1, 1), 1)]
    np.testing.assert_array_equal(mapping.place[0], [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7])
    np.testing.assert_array_equal(mapping.place[2], mapping.place[0] + 8)
    np.testing.assert_array_equal(mapping.place[1::2], mapping.place[::2])
    np.testing.assert_array_equal(mapping.owned.sum(axis=1), [16, 16, 8, 8])  # the first writes all of the block
    assert tiles[-1].valid.tolist() == [True, True, False, False] * 2 + [False] * 8  # rows 8, 9 and columns 4, 5


@pytest.mark.parametrize("sizes, inputs, neurons, chunk_lines", [
    (SMALL, 1, 1, 1), (SMALL, 8, 5, 1), (SMALL, 17, 9, 3), (SMALL, 33, 4, 1), (SMALL, 50, 6, 1), (SMALL, 70, 32, 3),
    (PAPER, 512, 20, 2), (PAPER, 700, 3, 1), (LONG, 60, 4, 4),
])
def test_gate_equals_plain_product(sizes, inputs, neurons, chunk_lines):
    rng = np.random.default_rng(10)
    mapping = map_gate(GateLayer(inputs=inputs, neurons=neurons), sizes)
    assert mapping.chunk_lines == chunk_lines
    parameters = random_parameters(rng, (neurons, inputs))
    weights, (tile,) = mapping.pack_weights(parameters.weights), mapping.tiles()
    for zeros, use_imap in ((0, False), (0.7, True)):
        vector = random_image(rng, (inputs,), zeros)
        lines = pack_vector(vector, sizes.line_words)
        selected = np.flatnonzero(rng.random(neurons) < 0.8)
        sums = parameters.weights @ vector + (parameters.bias << parameters.bias_shift)
        expected = requantize(sums, parameters.shift, 16)
        for at in range(0, len(selected), sizes.rows):
            rows = selected[at:at + sizes.rows]
            chunks = [(mapping.chunk_inputs(lines, tile, chunk), mapping.chunk_inputs(lines != 0, tile, chunk),
                       mapping.chunk_weights(weights, rows, chunk)) for chunk in range(mapping.chunks)]
            data, macs = run_step(mapping.configuration(parameters, use_imap=use_imap), chunks,
                                  np.tile(tile.valid, (len(rows), 1)), rows)
            np.testing.assert_array_equal(data[:, 0], expected[rows])
            assert not data[:, 1:].any()
            assert macs.sum() == len(rows) * (np.count_nonzero(vector) if use_imap else weights.size // neurons)
        np.testing.assert_array_equal(unpack_vector(lines, inputs), vector)


def broken(mapping, fault):
    """The mapping with something wrong in it."""
    if fault == "instruction":
        return dataclasses.replace(mapping, program=mapping.program[:-1])
    if fault == "mask":
        entry = mapping.load_table[0]
        entry = dataclasses.replace(entry, mask=entry.mask & (np.arange(len(entry.mask)) != entry.mask.argmax()))
        return dataclasses.replace(mapping, load_table=(entry, *mapping.load_table[1:]))
    if fault == "line":
        entry = dataclasses.replace(mapping.load_table[-1], line_offset=mapping.load_table[-1].line_offset - 1)
        return dataclasses.replace(mapping, load_table=(*mapping.load_table[:-1], entry))
    return dataclasses.replace(mapping, **{fault: getattr(mapping, fault)[::-1]})


@pytest.mark.parametrize("fault", ["instruction", "mask", "line", "place", "owned"])
def test_a_wrong_mapping_is_seen(fault):
    rng = np.random.default_rng(11)
    layer = ConvLayer(in_channels=5, out_channels=4, height=9, width=9, padding=1, pooling=2)
    with pytest.raises(AssertionError):
        check_layer(rng, broken(map_conv(layer, SMALL), fault))


def conv(**changes):
    return ConvLayer(**{**dict(in_channels=3, out_channels=4, height=8, width=8, padding=1), **changes})


@pytest.mark.parametrize("call, message", [
    (lambda: map_conv(conv(out_channels=33), SMALL), "out_channels = 33 is not allowed: .* must be at most 32"),
    (lambda: map_conv(conv(kernel=5), SMALL), r"kernel = \(5, 5\) is not allowed: it must have at most 12 weights"),
    (lambda: map_conv(conv(kernel=5), PAPER), "the program of the least tile has 400 instructions"),
    (lambda: map_conv(conv(kernel=(1, 7), padding=0), PAPER), "no width t of a tile"),
    (lambda: map_conv(conv(stride=2, pooling=2), PAPER), "no height t of a tile"),
    (lambda: map_conv(conv(pooling=2, activation=Function.NONE), PAPER), "activation = NONE is not allowed"),
    (lambda: map_conv(conv(), PAPER, (4, 8)), "block = .* must be two sizes with product 16"),
    (lambda: map_gate(GateLayer(inputs=4, neurons=33), SMALL), "neurons = 33 is not allowed: .* must be at most 32"),
    (lambda: map_gate(GateLayer(inputs=4, neurons=3), dataclasses.replace(SMALL, lut_entries=3)), "at least segment"),
    (lambda: map_conv(conv(), SMALL).pack_weights(np.zeros((4, 3, 3, 2), int)), "weights has shape"),
    (lambda: map_conv(conv(), SMALL).pack_weights(np.full((4, 3, 3, 3), 1 << 15)), "weights holds 32768"),
    (lambda: map_gate(GateLayer(inputs=4, neurons=3), SMALL).pack_weights(np.zeros((4, 3), int)), "weights has shape"),
    (lambda: map_conv(conv(), SMALL).configuration(
        QuantizedLayer(weights=None, bias=np.zeros(4, int), bias_shift=0, shift=60, weight_scale=1), use_imap=True),
     "shift = 60 is not allowed"),
])
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
