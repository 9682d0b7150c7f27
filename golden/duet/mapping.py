"""The compiler of a layer: from its description and the sizes of a machine to tiles, program and tables.

"The configuration bits are generated offline based on the layer structure and hardware constraints" (thesis 5.2.1).
Formats: docs/duet/machine.md, docs/duet/executor.md. What does not fit a machine is refused with a ``ValueError`` that
names the field, its value and what is allowed. Lines are arrays (lines, C S), see ``golden/duet/layout.py``.
"""

import dataclasses
import itertools

import numpy as np

from golden.arith.fixed import check_range
from golden.duet.executor_config import PARITIES, Configuration
from golden.duet.executor_pe import SLOTS
from golden.duet.layer import ConvLayer, GateLayer
from golden.duet.layout import FeatureMap, block_shape, pack_vector, vector_lines
from golden.duet.sizes import Sizes

__all__ = ["ConvMapping", "GateMapping", "LoadEntry", "Mapping", "Tile", "map_conv", "map_gate"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LoadEntry:
    """A line that a chunk loads into the input buffers: line ``first + chunk * chunk_lines + line_offset``.

    ``first`` is the first line of the tile's own block. ``dy``, ``dx``: from that block to the one that is loaded,
    which gives zeros where it is outside of the image. ``slot`` of the buffer; ``mask`` (S,) bool, words that
    are written.
    """

    line_offset: int
    dy: int
    dx: int
    slot: int
    mask: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """The block of outputs of a step.

    ``y``, ``x`` in tiles; ``own_block`` of the input (outside of the image where the padding is wide); ``out_block`` of
    the output and ``parity``, 2 * (y % 2) + x % 2, the part of it; ``valid`` (S,) bool: outputs that are wanted
    (pooling drops an odd row or column).
    """

    y: int
    x: int
    own_block: tuple[int, int]
    out_block: tuple[int, int]
    parity: int
    valid: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Mapping:
    """What convolutions and gates have in common.

    ``chunks`` of a step; ``chunk_lines``: groups of channels, or lines of the vector, of a chunk, a slot each where
    they are several; ``weight_lines`` of a row and chunk; ``program`` (n, 3) of a chunk; ``load_table``; ``place`` and
    ``owned`` (4, S) as in :class:`golden.duet.executor_config.Configuration`.
    """

    layer: ConvLayer | GateLayer
    sizes: Sizes
    chunks: int
    chunk_lines: int
    weight_lines: int
    program: np.ndarray
    load_table: tuple[LoadEntry, ...]
    place: np.ndarray
    owned: np.ndarray

    def configuration(self, parameters, *, use_imap):
        """The Executor's configuration with the ``parameters`` of a ``QuantizedLayer``; ``use_imap``: IOS and DUET."""
        configuration = Configuration(
            program=self.program, function=self.layer.activation, pool=self.pools, use_imap=use_imap,
            shift=parameters.shift, bias_shift=parameters.bias_shift, bias=parameters.bias, place=self.place,
            owned=self.owned)
        configuration.check(self.sizes)
        return configuration

    def weight_line(self, output, chunk, line=0):
        """The line with weight segment ``line`` of an output and chunk, counted from the layer's first."""
        return (output * self.chunks + chunk) * self.weight_lines + line

    def chunk_weights(self, lines, outputs, chunk):
        """Weight buffers of the rows that compute ``outputs``: (len(outputs), C, L S), zeros behind the last line."""
        at = self.weight_line(np.asarray(outputs)[:, None], chunk, np.arange(self.weight_lines))
        cols, segment = self.sizes.cols, self.sizes.segment
        segments = lines[at].reshape(len(outputs), self.weight_lines, cols, segment)
        segments = np.pad(segments, [(0, 0), (0, self.sizes.weight_lines - self.weight_lines), (0, 0), (0, 0)])
        return segments.transpose(0, 2, 1, 3).reshape(len(outputs), cols, -1)

    def loads(self, tile, chunk):
        """(line or None for a block outside of the image, entry) of each line that a chunk loads."""
        first = self._first_line(tile) + chunk * self.chunk_lines
        return [(first + entry.line_offset if self._inside(tile, entry) else None, entry) for entry in self.load_table]

    def chunk_inputs(self, lines, tile, chunk, before=None):
        """Input buffers (C, 4 S) once a chunk's lines are loaded: of activations or of map lines.

        ``before``: (C, 4 S), what the words hold that no line writes (zeros where not given).
        """
        cols, segment = self.sizes.cols, self.sizes.segment
        buffers = np.zeros((cols, SLOTS, segment), dtype=lines.dtype)
        if before is not None:
            buffers[:] = before.reshape(buffers.shape)
        for line, entry in self.loads(tile, chunk):
            words = 0 if line is None else lines[line].reshape(cols, segment)[:, entry.mask]
            buffers[:, entry.slot, entry.mask] = words
        return buffers.reshape(cols, -1)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ConvMapping(Mapping):
    """A mapped convolution.

    ``in_map``, ``out_map``: layouts; ``tile``: outputs of a step before pooling, (vertical, horizontal), output o at
    (o // tile[1], o % tile[1]); ``tile_grid``: their number.
    """

    in_map: FeatureMap
    out_map: FeatureMap
    tile: tuple[int, int]
    tile_grid: tuple[int, int]

    @property
    def outputs(self):
        """Output channels."""
        return self.layer.out_channels

    @property
    def pools(self):
        """Whether results are pooled."""
        return self.layer.pooling != (1, 1)

    def tiles(self):
        """The tiles, in the order in which they are computed: row by row, all channels of one before the next."""
        per_block = _tiles_per_block(self.in_map.block, self.tile, self.layer.pooling)
        step = [tile * stride // block for tile, stride, block in zip(self.tile, self.layer.stride, self.in_map.block)]
        wanted = [size * pooling for size, pooling in zip(self.layer.out_size, self.layer.pooling)]
        for y, x in itertools.product(*map(range, self.tile_grid)):
            rows = y * self.tile[0] + np.arange(self.tile[0]) < wanted[0]
            columns = x * self.tile[1] + np.arange(self.tile[1]) < wanted[1]
            valid = np.zeros(self.sizes.segment, dtype=bool)
            valid[:self.tile[0] * self.tile[1]] = np.outer(rows, columns).ravel()
            yield Tile(y=y, x=x, own_block=(y * step[0], x * step[1]), parity=2 * (y % 2) + x % 2, valid=valid,
                       out_block=(y // per_block[0], x // per_block[1]))

    def pack_weights(self, weights):
        """Lines of the filters, INT16 (out_channels, in_channels, kh, kw)."""
        layer, sizes = self.layer, self.sizes
        weights = check_range("weights", weights, 16)
        shape = (layer.out_channels, layer.in_channels, *layer.kernel)
        if weights.shape != shape:
            raise ValueError(f"weights has shape {weights.shape}: it must be {shape}")
        channels = self.chunks * self.chunk_lines * sizes.cols
        padded = np.zeros((layer.out_channels, channels, layer.taps), dtype=np.int64)
        padded[:, :layer.in_channels] = weights.reshape(layer.out_channels, layer.in_channels, -1)
        # a chunk's segment of a column: the filters of its groups one after another
        filters = padded.reshape(layer.out_channels, self.chunks, self.chunk_lines, sizes.cols, layer.taps)
        filters = filters.transpose(0, 1, 3, 2, 4).reshape(layer.out_channels, self.chunks, sizes.cols, -1)
        missing = self.weight_lines * sizes.segment - filters.shape[-1]
        segments = np.pad(filters, [(0, 0)] * 3 + [(0, missing)])
        segments = segments.reshape(layer.out_channels, self.chunks, sizes.cols, self.weight_lines, sizes.segment)
        return segments.transpose(0, 1, 3, 2, 4).reshape(-1, sizes.line_words)

    def store(self, lines, tile, channel, data, mask):
        """Write a result segment ``data`` (S,) of a channel to the output's ``lines`` where ``mask`` is set."""
        line = self.out_map.line(*tile.out_block, channel // self.sizes.cols)
        segment = lines[line].reshape(self.sizes.cols, -1)[channel % self.sizes.cols]
        segment[mask] = data[mask]

    def _first_line(self, tile):
        return self.in_map.line(*tile.own_block, 0)

    def _inside(self, tile, entry):
        return all(0 <= own + offset < blocks for own, offset, blocks
                   in zip(tile.own_block, (entry.dy, entry.dx), self.in_map.blocks))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GateMapping(Mapping):
    """A mapped gate or fully connected layer: each row of the Executor computes a neuron, output 0 of its step."""

    @property
    def outputs(self):
        """Neurons."""
        return self.layer.neurons

    @property
    def pools(self):
        """Whether results are pooled: never."""
        return False

    def tiles(self):
        """The one tile; a neuron's map bit is bit 0 of the row's map."""
        yield Tile(y=0, x=0, own_block=(0, 0), out_block=(0, 0), parity=0, valid=np.arange(self.sizes.segment) == 0)

    def pack_weights(self, weights):
        """Lines of the weight matrix, INT16 (neurons, inputs)."""
        weights = check_range("weights", weights, 16)
        if weights.shape != (self.layer.neurons, self.layer.inputs):
            raise ValueError(f"weights has shape {weights.shape}: it must be {(self.layer.neurons, self.layer.inputs)}")
        return pack_vector(weights, self.sizes.line_words).reshape(-1, self.sizes.line_words)

    def _first_line(self, tile):
        return 0

    def _inside(self, tile, entry):
        return True


def map_conv(layer, sizes, block=None):
    """The :class:`ConvMapping` of a :class:`ConvLayer` on a machine of ``sizes``.

    ``block``: (th, tw) of the input's and the output's layout, powers of two with th * tw = S; by default as square as
    can be. The greatest tile that fits is taken. Raises ``ValueError`` for a layer that the machine cannot run.
    """
    block = block_shape(sizes.segment) if block is None else tuple(block)
    if len(block) != 2 or min(block) < 1 or block[0] * block[1] != sizes.segment:
        raise ValueError(f"block = {block} is not allowed: block must be two sizes with product {sizes.segment}")
    _check_layer(layer, sizes)
    tile = _choose_tile(layer, sizes, block)
    in_map = FeatureMap(channels=layer.in_channels, height=layer.height, width=layer.width, cols=sizes.cols,
                        block=block)
    out_map = FeatureMap(channels=layer.out_channels, height=layer.out_size[0], width=layer.out_size[1],
                         cols=sizes.cols, block=block)
    y, x, output = _inputs_of(layer, tile)
    one_slot = y.min() >= 0 and x.min() >= 0 and y.max() < block[0] and x.max() < block[1]
    outputs = tile[0] * tile[1]
    most = min(SLOTS, sizes.lut_entries // (outputs * layer.taps), sizes.weight_lines * sizes.segment // layer.taps)
    chunk_lines = _greatest_divisor(in_map.groups, most if one_slot else 1)
    program, load_table = [], []
    for group in range(chunk_lines):
        slot = 2 * (y // block[0] % 2) + x // block[1] % 2 + group
        word = y % block[0] * block[1] + x % block[1]
        tap = group * layer.taps + np.arange(layer.taps).repeat(outputs)
        program.append(np.stack([slot * sizes.segment + word, tap, output], axis=1))
        blocks = np.stack([y // block[0], x // block[1]], axis=1)
        for dy, dx in np.unique(blocks, axis=0).tolist():
            here = (blocks == (dy, dx)).all(axis=1)
            mask = np.zeros(sizes.segment, dtype=bool)
            mask[word[here]] = True
            load_table.append(LoadEntry(line_offset=(dy * in_map.blocks[1] + dx) * in_map.groups + group, dy=dy, dx=dx,
                                        slot=int(slot[here][0]), mask=mask))
    place, owned = _placement(block, tile, layer.pooling)
    return ConvMapping(
        layer=layer, sizes=sizes, chunks=in_map.groups // chunk_lines, chunk_lines=chunk_lines,
        weight_lines=-(-chunk_lines * layer.taps // sizes.segment), program=np.concatenate(program),
        load_table=tuple(load_table), place=place, owned=owned, in_map=in_map, out_map=out_map, tile=tile,
        tile_grid=tuple(-(-size * pooling // tile) for size, pooling, tile in zip(layer.out_size, layer.pooling, tile)))


def map_gate(layer, sizes):
    """The :class:`GateMapping` of a :class:`GateLayer` on a machine of ``sizes``.

    Raises ``ValueError`` for a layer that the machine cannot run.
    """
    if layer.neurons > sizes.max_channels:
        raise ValueError(f"neurons = {layer.neurons} is not allowed: neurons must be at most {sizes.max_channels}")
    segment, lines = sizes.segment, vector_lines(layer.inputs, sizes.line_words)
    most = min(SLOTS, sizes.weight_lines, sizes.lut_entries // segment)
    if most < 1:
        raise ValueError(f"lut_entries = {sizes.lut_entries} is not allowed for a gate: lut_entries must be at least "
                         f"segment = {segment}")
    chunk_lines = _greatest_divisor(lines, most)
    words = np.arange(chunk_lines * segment)
    everything = np.ones(segment, dtype=bool)
    return GateMapping(
        layer=layer, sizes=sizes, chunks=lines // chunk_lines, chunk_lines=chunk_lines, weight_lines=chunk_lines,
        program=np.stack([words, words, 0 * words], axis=1),
        load_table=tuple(LoadEntry(line_offset=line, dy=0, dx=0, slot=line, mask=everything)
                         for line in range(chunk_lines)),
        place=np.zeros((PARITIES, segment), dtype=np.int64), owned=np.arange(segment) == np.zeros((PARITIES, 1)))


def _check_layer(layer, sizes):
    if layer.out_channels > sizes.max_channels:
        raise ValueError(f"out_channels = {layer.out_channels} is not allowed: out_channels must be at most "
                         f"{sizes.max_channels}")
    if layer.taps > sizes.weight_lines * sizes.segment:
        raise ValueError(f"kernel = {layer.kernel} is not allowed: it must have at most "
                         f"{sizes.weight_lines * sizes.segment} weights, weight_lines * segment")
    if layer.pooling != (1, 1) and layer.activation.name != "RELU":
        raise ValueError(f"activation = {layer.activation.name} is not allowed with pooling = {layer.pooling}: it must "
                         "be RELU")


def _choose_tile(layer, sizes, block):
    """The greatest tile whose window fits in a torus of 2 x 2 blocks and whose program fits in the LUT."""
    axes = []
    for axis, name in enumerate(("height", "width")):
        size, stride, kernel, pooling = block[axis], layer.stride[axis], layer.kernel[axis], layer.pooling[axis]
        fits = [tile for tile in range(pooling, size + 1, pooling) if tile * stride % size == 0
                and (tile - 1) * stride + kernel <= 2 * size and size * pooling in (tile, 2 * tile)]
        if not fits:
            raise ValueError(
                f"kernel = {layer.kernel}, stride = {layer.stride}, pooling = {layer.pooling} are not allowed with "
                f"blocks of {block}: no {name} t of a tile has t * stride a multiple of {size}, (t - 1) * stride + "
                f"kernel at most {2 * size} and t / pooling equal to {size} or {size / 2:g}")
        axes.append(fits)
    tiles = [tile for tile in itertools.product(*axes) if tile[0] * tile[1] * layer.taps <= sizes.lut_entries]
    if not tiles:
        least = axes[0][0] * axes[1][0] * layer.taps
        raise ValueError(f"kernel = {layer.kernel} is not allowed: the program of the least tile has {least} "
                         f"instructions, and must have at most {sizes.lut_entries}, lut_entries")
    return max(tiles, key=lambda tile: (tile[0] * tile[1], tile))


def _inputs_of(layer, tile):
    """For each (tap, output), outputs innermost: y, x of the input from the own block's corner, and the output."""
    shape = (*layer.kernel, *tile)
    tap_y, tap_x, out_y, out_x = (index.ravel() for index in np.indices(shape))
    return (out_y * layer.stride[0] + tap_y - layer.padding[0], out_x * layer.stride[1] + tap_x - layer.padding[1],
            out_y * tile[1] + out_x)


def _tiles_per_block(block, tile, pooling):
    return [size * pool // outputs for size, outputs, pool in zip(block, tile, pooling)]


def _placement(block, tile, pooling):
    """``place`` and ``owned``: the first tile of an output block writes all of it, zeros where others follow.

    So parts of the block that no tile computes, past the image's end, are zero too.
    """
    segment, per_block = block[0] * block[1], _tiles_per_block(block, tile, pooling)
    place, owned = np.zeros((PARITIES, segment), dtype=np.int64), np.zeros((PARITIES, segment), dtype=bool)
    out_y, out_x = (index.ravel() for index in np.indices(tile))
    for parity in range(PARITIES):
        part = [bit % count for bit, count in zip((parity >> 1, parity & 1), per_block)]
        y = part[0] * (tile[0] // pooling[0]) + out_y // pooling[0]
        x = part[1] * (tile[1] // pooling[1]) + out_x // pooling[1]
        place[parity, :len(y)] = y * block[1] + x
        owned[parity, place[parity, :len(y)]] = True
        owned[parity] |= part == [0, 0]
    return place, owned


def _greatest_divisor(number, most):
    return max(divisor for divisor in range(1, most + 1) if number % divisor == 0)
