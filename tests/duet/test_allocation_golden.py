"""Places in a memory: items that are in use at the same time never overlap."""

import itertools

import numpy as np
import pytest

from golden.duet.allocation import Item, allocate, busiest


def test_random_items():
    rng = np.random.default_rng(1)
    for _ in range(50):
        items = []
        for name in range(12):
            first = int(rng.integers(0, 6))
            items.append(Item(str(name), int(rng.integers(0, 20)), first, first + int(rng.integers(0, 3))))
        place = allocate(items, 300, "memory")
        for item, other in itertools.combinations(items, 2):
            if item.first <= other.last and other.first <= item.last:
                begin, end = max(place[item.name], place[other.name]), min(
                    place[item.name] + item.count, place[other.name] + other.count)
                assert end <= begin or not item.count or not other.count
        assert all(0 <= place[item.name] <= 300 - item.count for item in items)


def test_lines_are_used_again():
    items = [Item("a", 6, 0, 0), Item("b", 6, 1, 1), Item("c", 4, 0, 1)]
    place = allocate(items, 10, "memory")
    assert place["a"] == place["b"] and place["c"] == 6
    with pytest.raises(ValueError, match=r"memory has 9 lines, too few: at time 0 it needs 10 \(a 6, c 4\)"):
        allocate(items, 9, "memory")


def test_turns():
    """Where the greatest first does not fit, another turn does."""
    items = [Item("a", 4, 0, 1), Item("b", 3, 1, 2), Item("c", 3, 0, 0), Item("d", 4, 2, 3), Item("e", 3, 3, 3)]
    assert max(place + next(item.count for item in items if item.name == name)
               for name, place in allocate(items, 7, "memory").items()) == 7


def test_busiest():
    items = [Item("a", 4, 0, 1), Item("b", 3, 1, 2), Item("c", 3, 0, 0)]
    assert busiest(items) == (0, [items[0], items[2]])
