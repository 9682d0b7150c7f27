"""A convolution in strips: rectangles of tiles, each with the blocks of the input that its windows touch.

A strip is a ``ConvMapping`` of its own, whose input begins with the first block that its first window touches: blocks
of the neighbours are there (the halo), and zeros come only from outside of the whole image.
"""

import dataclasses
import functools

import numpy as np

from golden.duet.mapping import ConvMapping

__all__ = ["Grid", "Strip", "grids", "line_runs"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Span:
    """A strip in one direction: ``tiles`` from ``tile`` on, results ``out_block`` to ``out_end`` - 1, input blocks
    ``in_block`` to ``in_end`` - 1; ``shift``: from the first input block to the first tile's own."""

    tile: int
    tiles: int
    out_block: int
    out_end: int
    in_block: int
    in_end: int
    shift: int


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Strip:
    """A rectangle of a layer's tiles.

    ``whole``: the layer's mapping; ``mapping``: the strip's, with all output channels; ``tile``, ``in_block``,
    ``out_block``: (y, x) of its first tile, input block and output block in the layer.
    """

    whole: ConvMapping
    mapping: ConvMapping
    tile: tuple[int, int]
    in_block: tuple[int, int]
    out_block: tuple[int, int]

    @property
    def tiles(self):
        """Their number."""
        return self.mapping.tile_grid[0] * self.mapping.tile_grid[1]

    def part(self, n):
        """The strip's mapping for ``n`` of the output channels."""
        return dataclasses.replace(
            self.mapping, layer=dataclasses.replace(self.mapping.layer, out_channels=n),
            out_map=dataclasses.replace(self.mapping.out_map, channels=n))

    def input_lines(self):
        """Lines of the layer's input that are the strip's, in their order: (rows of blocks, lines of a row)."""
        return _lines(self.whole.in_map, self.in_block, self.mapping.in_map.blocks, 0, self.whole.in_map.groups)

    def output_lines(self, first, n):
        """Lines of the layer's output for ``n`` channels from ``first`` on, in the order of :meth:`part`'s output."""
        cols = self.whole.sizes.cols
        return _lines(self.whole.out_map, self.out_block, self.mapping.out_map.blocks, first // cols, -(-n // cols))

    def omap_lines(self, first, n):
        """Lines of the layer's switching map, likewise; a line for each tile and group."""
        cols = self.whole.sizes.cols
        tiles = dataclasses.replace(self.whole.out_map, height=self.whole.tile_grid[0] * self.whole.out_map.block[0],
                                    width=self.whole.tile_grid[1] * self.whole.out_map.block[1])
        return _lines(tiles, self.tile, self.mapping.tile_grid, first // cols, -(-n // cols))

    def crop_input(self, image):
        """The strip's part of the layer's input (channels, height, width)."""
        corner = [block * size for block, size in zip(self.in_block, self.whole.in_map.block)]
        return _crop(image, corner, (self.mapping.in_map.height, self.mapping.in_map.width))

    def crop_outputs(self, outputs):
        """The strip's part of the outputs (channels, height, width) before pooling."""
        corner = [tile * size for tile, size in zip(self.tile, self.whole.tile)]
        return _crop(outputs, corner, [count * size for count, size in zip(self.mapping.tile_grid, self.whole.tile)])


class Grid:
    """A layer's tiles divided in ``counts`` = (vertical, horizontal) strips of about equal size, row by row."""

    def __init__(self, mapping, counts):
        self.mapping, self.counts = mapping, counts
        self._spans = [_spans(mapping, axis, count) for axis, count in enumerate(counts)]

    @property
    def whole(self):
        """Whether there is one strip, the layer."""
        return self.counts == (1, 1)

    @property
    def count(self):
        """Number of strips."""
        return self.counts[0] * self.counts[1]

    @functools.cached_property
    def sizes(self):
        """Of each strip (lines of the input, blocks of the output, tiles)."""
        groups = self.mapping.in_map.groups
        return [((y.in_end - y.in_block) * (x.in_end - x.in_block) * groups,
                 (y.out_end - y.out_block) * (x.out_end - x.out_block), y.tiles * x.tiles)
                for y in self._spans[0] for x in self._spans[1]]

    @property
    def loaded(self):
        """Lines of the input that are loaded for all strips."""
        rows, columns = (sum(span.in_end - span.in_block for span in spans) for spans in self._spans)
        return rows * columns * self.mapping.in_map.groups

    @property
    def largest(self):
        """Lines of the input and the output, and of the output's map, of the largest strip."""
        groups = self.mapping.out_map.groups
        return max(lines + (blocks + tiles) * groups for lines, blocks, tiles in self.sizes)

    @functools.cached_property
    def strips(self):
        """The :class:`Strip` of each."""
        if self.whole:
            return [Strip(whole=self.mapping, mapping=self.mapping, tile=(0, 0), in_block=(0, 0), out_block=(0, 0))]
        return [_strip(self.mapping, y, x) for y in self._spans[0] for x in self._spans[1]]


def grids(mapping):
    """Ways to divide a layer in strips: a :class:`Grid` each, the one that loads least first.

    Those that are not clearly smaller than one before are left out, so that strips follow the direction in which less
    is loaded twice: of a line of text, which is wide and low, columns.
    """
    counts = [(y, x) for y in range(1, mapping.out_map.blocks[0] + 1) for x in range(1, mapping.out_map.blocks[1] + 1)]
    ways = sorted((Grid(mapping, pair) for pair in counts), key=lambda grid: (grid.loaded, grid.count, grid.counts))
    found = []
    for grid in ways:
        if not found or grid.largest <= 0.95 * found[-1].largest:
            found.append(grid)
    if found[-1].largest > (least := min(ways, key=lambda grid: grid.largest)).largest:
        found.append(least)
    return found


def line_runs(*lines):
    """(first of each, count) of the runs in which the numbers in all ``lines`` (arrays of one shape) grow by one."""
    lines = np.stack([np.ravel(each) for each in lines])
    begins = np.flatnonzero(np.concatenate([[True], (np.diff(lines) != 1).any(axis=0)]))
    counts = np.diff([*begins, lines.shape[1]])
    return [(*(int(line) for line in lines[:, begin]), int(count)) for begin, count in zip(begins, counts)]


def _spans(mapping, axis, count):
    blocks, in_blocks = mapping.out_map.blocks[axis], mapping.in_map.blocks[axis]
    tile, stride, pooling = mapping.tile[axis], mapping.layer.stride[axis], mapping.layer.pooling[axis]
    per_block = mapping.out_map.block[axis] * pooling // tile
    step = tile * stride // mapping.in_map.block[axis]
    far = [(entry.dy, entry.dx)[axis] for entry in mapping.load_table]
    found = []
    for k in range(count):
        first, end = blocks * k // count, blocks * (k + 1) // count
        tiles = range(first * per_block, min(end * per_block, mapping.tile_grid[axis]))
        begin, last = (min(max(tiles[place] * step + offset, 0), in_blocks - 1)
                       for place, offset in ((0, min(far)), (-1, max(far))))
        found.append(_Span(tile=tiles[0], tiles=len(tiles), out_block=first, out_end=end, in_block=begin,
                           in_end=last + 1, shift=tiles[0] * step - begin))
    return found


def _strip(mapping, y, x):
    spans, layer = (y, x), mapping.layer
    wanted = [min(span.tiles * tile, size * pooling - span.tile * tile) for span, tile, size, pooling
              in zip(spans, mapping.tile, layer.out_size, layer.pooling)]
    # Of the strip's layer only the number of outputs matters: its padding is in the load table.
    height, width = ((count - 1) * stride + kernel for count, stride, kernel in zip(wanted, layer.stride, layer.kernel))
    block = mapping.in_map.block
    high, wide = (min(size, span.in_end * side) - span.in_block * side
                  for size, span, side in zip((mapping.in_map.height, mapping.in_map.width), spans, block))
    in_map = dataclasses.replace(mapping.in_map, height=high, width=wide)
    high, wide = (min(size, span.out_end * side) - span.out_block * side
                  for size, span, side in zip(layer.out_size, spans, block))
    small = dataclasses.replace(
        mapping, layer=dataclasses.replace(layer, height=height, width=width, padding=(0, 0)), in_map=in_map,
        out_map=dataclasses.replace(mapping.out_map, height=high, width=wide),
        tile_grid=tuple(span.tiles for span in spans),
        load_table=tuple(_moved(entry, mapping.in_map, in_map, y.shift, x.shift) for entry in mapping.load_table))
    return Strip(whole=mapping, mapping=small, tile=(y.tile, x.tile), in_block=(y.in_block, x.in_block),
                 out_block=(y.out_block, x.out_block))


def _moved(entry, whole, part, shift_y, shift_x):
    """An entry of the load table for a part of the input whose first block is ``shift`` before the own one."""
    group = entry.line_offset - (entry.dy * whole.blocks[1] + entry.dx) * whole.groups
    dy, dx = entry.dy + shift_y, entry.dx + shift_x
    return dataclasses.replace(entry, dy=dy, dx=dx, line_offset=(dy * part.blocks[1] + dx) * part.groups + group)


def _lines(layout, corner, blocks, group, groups):
    """Lines of a rectangle of blocks and some of their groups: (rows of blocks, lines of a row)."""
    rows, columns = (begin + np.arange(count) for begin, count in zip(corner, blocks))
    lines = layout.line(rows[:, None, None], columns[None, :, None], group + np.arange(groups))
    return lines.reshape(len(rows), -1)


def _crop(image, corner, shape):
    return image[:, corner[0]:corner[0] + shape[0], corner[1]:corner[1] + shape[1]]
