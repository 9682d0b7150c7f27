"""Lines of a memory for things that are there for a while."""

import dataclasses
import random

__all__ = ["Item", "allocate", "busiest"]

_TRIES = 60


@dataclasses.dataclass(frozen=True)
class Item:
    """``count`` lines named ``name``, in use from time ``first`` to time ``last``, both included."""

    name: str
    count: int
    first: int
    last: int


def allocate(items, lines, memory):
    """The first line of each item: name -> line. Items that are in use at the same time do not overlap.

    Each in its turn is put at the lowest place, the greatest first; then a number of other turns are tried. Raises
    ``ValueError`` where ``lines`` are not enough, with what is in use when most of them are needed; ``memory``: its
    name.
    """
    shuffle, turns = random.Random(0), sorted(items, key=lambda item: (-item.count, item.first, item.name))
    time, here = busiest(items)
    needed = sum(item.count for item in here)
    for _ in range(_TRIES if needed <= lines else 0):
        place = _place(turns)
        if max(place[item.name] + item.count for item in items) <= lines:
            return place
        shuffle.shuffle(turns)
    raise ValueError(f"{memory} has {lines} lines, too few: at time {time} it needs {needed} "
                     f"({', '.join(f'{item.name} {item.count}' for item in here)})")


def busiest(items):
    """(the first time when most lines are needed, the items that are in use then)."""
    times = sorted({item.first for item in items})
    here = {time: [item for item in items if item.first <= time <= item.last] for time in times}
    time = max(times, key=lambda time: (sum(item.count for item in here[time]), -time))
    return time, here[time]


def _place(items):
    placed = []
    for item in items:
        line = 0
        for other_line, other in sorted(placed, key=lambda place: place[0]):
            if other.last < item.first or item.last < other.first:
                continue
            if line + item.count <= other_line:
                break
            line = max(line, other_line + other.count)
        placed.append((line, item))
    return {item.name: line for line, item in placed}
