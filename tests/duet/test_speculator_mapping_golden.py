"""A layer on the Speculator: taps and passes, packing, parts of the channels, what is refused."""

import dataclasses

import numpy as np
import pytest

from golden.duet.accelerator_sizes import AcceleratorSizes
from golden.duet.calibrate import convolution_rows
from golden.duet.layer import ConvLayer
from golden.duet.mapping import map_conv
from golden.duet.projection import decode_ternary
from golden.duet.sizes import Sizes
from golden.duet.speculator import Job, Speculator
from golden.duet.speculator_mapping import layer_words, map_gate_speculation, map_speculation, pack_fields
from golden.duet.speculator_mfu import Function
from tests.duet.accelerator_programs import random_speculation

SMALL, PAPER = AcceleratorSizes.preset("small"), AcceleratorSizes.preset("paper")
WIDE = dataclasses.replace(PAPER, executor=Sizes(lut_entries=400))  # 5 x 5 kernels with whole tiles


def mapped(sizes, rng, **fields):
    layer = ConvLayer(**dict(in_channels=2 * sizes.cols, out_channels=sizes.speculator.array_cols + 3, height=8,
                             width=9, kernel=3, padding=1) | fields)
    mapping = map_conv(layer, sizes.executor)
    integers = random_speculation(rng, layer.out_channels, mapping.in_map.groups, sizes.speculator.trees,
                                  layer.taps * sizes.cols, Function.RELU, sizes)
    return mapping, integers, map_speculation(mapping, integers, sizes, keep_order=False)


def unpacked(lines, bits):
    flat = (lines.ravel()[:, None] >> np.arange(16) & 1).ravel()
    return flat[:len(flat) // bits * bits].reshape(-1, bits) @ (1 << np.arange(bits))


def test_pack_fields():
    fields = np.arange(11) * 3 % 16
    lines = pack_fields(fields, 4, 2)
    assert lines.shape == (2, 2) and (unpacked(lines, 4)[:11] == fields).all() and not unpacked(lines, 4)[11:].any()
    with pytest.raises(ValueError, match="fields holds 16"):
        pack_fields([16], 4, 2)


@pytest.mark.parametrize("sizes, kernel, padding, passes", [
    (SMALL, 3, 1, 4), (SMALL, 2, 0, 1), (SMALL, (1, 3), (0, 1), 2), (SMALL, 1, 0, 1), (PAPER, 3, 1, 1), (WIDE, 5, 2, 4),
])
def test_tiles(sizes, kernel, padding, passes):
    """The maps of every tile are those that calibration's rows give: taps are where the Speculator looks for them."""
    rng = np.random.default_rng(1)
    mapping, integers, speculation = mapped(sizes, rng, kernel=kernel, padding=padding)
    layer = mapping.layer
    assert speculation.layer.passes == passes and len(speculation.layer.taps) == passes
    image = rng.integers(-32768, 32768, (layer.in_channels, layer.height, layer.width))
    lines = mapping.in_map.pack(image)
    speculator = Speculator(sizes.speculator)
    for buffer, content in zip(Speculator.BUFFERS, (speculation.projection, speculation.weights, speculation.table)):
        for address, line in enumerate(content):
            speculator.fill(buffer, address, line)
    speculator.configure(speculation.layer)
    part = speculation.part(0, layer.out_channels)
    # Calibration knows padding on all sides only: pad here.
    (py, px), (th, tw) = layer.padding, mapping.tile
    rows = convolution_rows(np.pad(image, ((0, 0), (py, py), (px, px))) >> 12, layer.kernel, 0, sizes.cols)
    expected = integers.mask(integers.pre(rows)).T.reshape(layer.out_channels, *layer.conv_size)
    for tile in mapping.tiles():
        own = mapping.in_map.line(*tile.own_block, 0)
        for group in range(speculation.layer.groups):
            for k, entry in enumerate(speculation.load_table):
                block = [at + offset for at, offset in zip(tile.own_block, (entry.dy, entry.dx))]
                inside = all(0 <= at < count for at, count in zip(block, mapping.in_map.blocks))
                line = lines[own + entry.line_offset + group] if inside else np.zeros(sizes.line_words, int)
                last = group == speculation.layer.groups - 1 and k == len(speculation.load_table) - 1
                speculator.activation(4 * group + entry.slot, line, entry.mask, last)
        result = speculator.run(Job(n=part.n, threshold=part.threshold, q_shift=part.q_shift, valid=tile.valid))
        here = expected[:, tile.y * th:(tile.y + 1) * th, tile.x * tw:(tile.x + 1) * tw]
        map_ = result.map.reshape(-1, th, tw)[:, :here.shape[1], :here.shape[2]]
        assert (map_ == here).all() and result.map.sum() == here.sum()


def test_parts():
    """A part begins with the row and entry of its first channel."""
    _, integers, speculation = mapped(SMALL, np.random.default_rng(2), out_channels=19)
    k = integers.weight.shape[1]
    part = speculation.part(8, 11)
    assert (part.n, part.weight_base, part.table_base, part.function) == (11, k, 8, Function.RELU)
    weights = unpacked(speculation.weights, 4).reshape(-1, 8)[part.weight_base:part.weight_base + 2 * k]
    columns = weights.reshape(2, k, 8).swapaxes(1, 2).reshape(16, k)[:11]
    assert (columns == integers.weight[8:] & 15).all()
    with pytest.raises(ValueError, match="first = 4 is not allowed: first must be a multiple of 8"):
        speculation.part(4, 4)


def test_gate():
    """Gates share P; each has rows and entries of its own."""
    rng = np.random.default_rng(3)
    first = random_speculation(rng, 9, 1, 8, 24, Function.SIGMOID, SMALL)
    second = random_speculation(rng, 3, 1, 8, 24, Function.TANH, SMALL, projection=first.projection)
    speculation = map_gate_speculation([first, second], SMALL)
    assert [(part.n, part.weight_base, part.table_base) for part in speculation.gates] == [(9, 0, 0), (3, 16, 9)]
    p = decode_ternary(unpacked(speculation.projection, 2))[:3 * 8 * 8].reshape(3, 8, 8)  # line, k, lane
    assert (p.swapaxes(0, 1).reshape(8, 24) == first.projection[0]).all()
    assert layer_words(speculation.layer, 4) == [(0, 1), (1, 1), (2, 3), (3, 2), (4, 2), (5, 2)]


@pytest.mark.parametrize("changes, match", [
    (dict(formats=dict(pre_bits=9)), "pre_bits = 9"), (dict(formats=dict(input_shift=11)), "input_shift = 11"),
    (dict(formats=dict(input_bits=5)), "input_bits = 5"), (dict(weight=np.full((9, 8), 8)), "weight holds 8"),
    (dict(weight=np.zeros((9, 9), int)), r"weight has shape \(9, 9\)"),
    (dict(scale=np.full(9, 256)), "scale holds 256"),
    (dict(projection=np.zeros((1, 8, 23), int)), "projection has shape"),
    (dict(projection=np.zeros((1, 7, 24), int)), "k_group = 7"),
    (dict(projection=np.zeros((1, 8, 72), int)), "passes = 9"),
    (dict(weight=np.zeros((9, 136), int), projection=np.zeros((1, 136, 8), int)), "k_rows = 34"),
])
def test_refuses(changes, match):
    integers = random_speculation(np.random.default_rng(4), 9, 1, 8, 24, Function.SIGMOID, SMALL)
    formats = dataclasses.replace(integers.formats, **changes.pop("formats", {}))
    integers = dataclasses.replace(integers, formats=formats, **changes)
    with pytest.raises(ValueError, match=match):
        map_gate_speculation([integers], SMALL)


def test_refuses_what_does_not_fit():
    rng = np.random.default_rng(5)
    integers = random_speculation(rng, 32, 1, 64, 8, Function.SIGMOID, SMALL)
    with pytest.raises(ValueError, match="768 weight rows are not allowed: the Speculator has 512"):
        map_gate_speculation([integers] * 3, SMALL)
    with pytest.raises(ValueError, match="160 table entries"):
        map_gate_speculation([random_speculation(rng, 32, 1, 4, 8, Function.SIGMOID, SMALL)] * 5, SMALL)
    mapping, integers, _ = mapped(SMALL, rng)
    for layer, match in ((dict(weight=integers.weight[1:]), "10 channels and 2 blocks"),
                         (dict(projection=integers.projection[:, :, :16]), "16 inputs a block")):
        with pytest.raises(ValueError, match=match):
            map_speculation(mapping, dataclasses.replace(integers, **layer), SMALL, keep_order=True)
