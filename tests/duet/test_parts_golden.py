"""Ways to divide a layer: whole units, few parts first, and none that saves nothing."""

import pytest

from golden.duet.parts import divisions


def room(parts):
    """(channels of two parts in turn, of the first or last part), at most."""
    sizes = [n for _, n in parts]
    return max(map(sum, zip(sizes, [*sizes[1:], 0]))), max(sizes[0], sizes[-1])


@pytest.mark.parametrize("outputs, unit", [(256, 32), (100, 32), (9, 4), (32, 32), (7, 8)])
def test_divisions(outputs, unit):
    ways = divisions(outputs, unit)
    assert ways[0] == [(0, outputs)] and [len(way) for way in ways] == sorted(len(way) for way in ways)
    for way in ways:
        assert [first for first, _ in way] == [sum(n for _, n in way[:k]) for k in range(len(way))]
        assert sum(n for _, n in way) == outputs and all(first % unit == 0 for first, _ in way)
    for k, way in enumerate(ways):
        for other in ways[:k]:
            assert any(mine < theirs for mine, theirs in zip(room(way), room(other)))
    assert max(n for _, n in ways[-1]) <= unit


def test_sizes_in_turn():
    sizes = [[n for _, n in way] for way in divisions(256, 32)]
    assert [64, 32, 64, 32, 64] in sizes and [32, 64, 32, 64, 32, 32] in sizes and [96, 64, 96] in sizes
    assert sizes[-1] == [32] * 8
