"""Strips of a layer: the windows of their tiles are those of the whole layer, every output is in one strip."""

import dataclasses

import numpy as np
import pytest

from golden.duet.layer import ConvLayer
from golden.duet.mapping import map_conv
from golden.duet.sizes import Sizes
from golden.duet.strips import Grid, grids, line_runs

SMALL, PAPER = Sizes.preset("small"), Sizes.preset("paper")
CASES = [
    (SMALL, dict(height=13, width=9, padding=1)),
    (SMALL, dict(height=9, width=14, padding=1, pooling=2)),
    (SMALL, dict(height=11, width=7, padding=1, pooling=(2, 1))),
    (SMALL, dict(height=8, width=12, kernel=2)),
    (SMALL, dict(height=7, width=9, kernel=(1, 3), padding=(0, 2))),
    (SMALL, dict(height=9, width=7, kernel=1)),
    (PAPER, dict(height=18, width=31, padding=1, pooling=2)),
    (PAPER, dict(height=21, width=13, padding=2)),
]


def mapped(sizes, fields):
    return map_conv(ConvLayer(in_channels=sizes.cols + 1, out_channels=2 * sizes.cols + 1, **fields), sizes)


def all_grids(mapping):
    rng = np.random.default_rng(1)
    counts = [(1, 1), mapping.out_map.blocks, (1, mapping.out_map.blocks[1]), (mapping.out_map.blocks[0], 1)]
    counts += [tuple(int(rng.integers(1, blocks + 1)) for blocks in mapping.out_map.blocks) for _ in range(4)]
    return [Grid(mapping, pair) for pair in counts]


@pytest.mark.parametrize("sizes, fields", CASES)
def test_windows_are_those_of_the_whole(sizes, fields):
    mapping = mapped(sizes, fields)
    layer, rng = mapping.layer, np.random.default_rng(2)
    image = rng.integers(-99, 100, (layer.in_channels, layer.height, layer.width))
    lines, tiles = mapping.in_map.pack(image), {(tile.y, tile.x): tile for tile in mapping.tiles()}
    for grid in all_grids(mapping):
        seen = []
        for strip in grid.strips:
            own = strip.mapping.in_map.pack(strip.crop_input(image))
            assert (lines[strip.input_lines()].reshape(own.shape) == own).all()
            for tile in strip.mapping.tiles():
                at = tile.y + strip.tile[0], tile.x + strip.tile[1]
                seen.append(at)
                whole = tiles[at]
                assert (tile.valid == whole.valid).all()
                for table in (mapping.place, mapping.owned):
                    assert (table[tile.parity] == table[whole.parity]).all()
                assert tuple(np.add(tile.out_block, strip.out_block)) == whole.out_block
                for chunk in range(mapping.chunks):
                    assert (strip.mapping.chunk_inputs(own, tile, chunk)
                            == mapping.chunk_inputs(lines, whole, chunk)).all()
        assert sorted(seen) == sorted(tiles)


@pytest.mark.parametrize("sizes, fields", CASES)
def test_every_line_is_written_once(sizes, fields):
    mapping = mapped(sizes, fields)
    groups, cols = mapping.out_map.groups, sizes.cols
    for grid in all_grids(mapping):
        for parts in ([(0, mapping.outputs)], [(0, cols), (cols, mapping.outputs - cols)]):
            jobs = [(strip, first, n) for strip in grid.strips for first, n in parts]
            lines = np.concatenate([strip.output_lines(first, n).ravel() for strip, first, n in jobs])
            assert (np.sort(lines) == np.arange(mapping.out_map.lines)).all()
            maps = np.concatenate([strip.omap_lines(first, n).ravel() for strip, first, n in jobs])
            assert (np.sort(maps) == np.arange(groups * np.prod(mapping.tile_grid))).all()
            for strip, first, n in jobs:
                assert strip.output_lines(first, n).size == strip.part(n).out_map.lines
        outputs = np.arange(mapping.layer.out_channels * np.prod(mapping.tile_grid) * np.prod(mapping.tile)).reshape(
            mapping.layer.out_channels, *(np.array(mapping.tile_grid) * mapping.tile))
        parts = [strip.crop_outputs(outputs).ravel() for strip in grid.strips]
        assert (np.sort(np.concatenate(parts)) == outputs.ravel()).all()
        for strip, (lines, blocks, tiles) in zip(grid.strips, grid.sizes, strict=True):
            assert (strip.mapping.in_map.lines, tiles) == (lines, strip.tiles)
            assert strip.mapping.out_map.lines == blocks * groups
        assert grid.loaded == sum(strip.mapping.in_map.lines for strip in grid.strips) or grid.whole


def test_grids():
    """The whole first, then smaller strips that load more; of a wide and low map columns, of a high one rows."""
    ways = grids(mapped(PAPER, dict(height=16, width=304, padding=1)))
    assert ways[0].whole
    assert all(way.counts[0] == 1 for way in ways if way.count < 20)
    for before, way in zip(ways, ways[1:]):
        assert way.largest < before.largest and way.loaded >= before.loaded
    assert ways[-1].largest == min(way.largest for way in ways)
    assert grids(mapped(PAPER, dict(height=304, width=16, padding=1)))[1].counts == (2, 1)


def test_halo_is_counted():
    """Three strips of 8 columns and a kernel of 3 x 3: a block more on each side, but at the image's border."""
    mapping = map_conv(ConvLayer(in_channels=1, out_channels=1, height=4, width=24, kernel=3, padding=1), PAPER)
    assert [lines for lines, _, _ in Grid(mapping, (1, 3)).sizes] == [3, 4, 3]
    assert Grid(mapping, (1, 3)).loaded == 10


def test_wrong_halo_is_found():
    """The first test can fail: a strip that begins a block later has other windows."""
    mapping = mapped(*CASES[0])
    strip = Grid(mapping, (2, 1)).strips[1]
    wrong = dataclasses.replace(strip, in_block=(strip.in_block[0] - 1, strip.in_block[1]))
    image = np.random.default_rng(3).integers(-99, 100, (mapping.layer.in_channels, 13, 9))
    assert not (wrong.crop_input(image) == strip.crop_input(image)).all()


def test_runs():
    assert line_runs(np.array([[3, 4], [5, 9]])) == [(3, 3), (9, 1)]
    assert line_runs([3, 4, 5, 6], [7, 8, 1, 2]) == [(3, 7, 2), (5, 1, 2)]
