"""Lines of a memory for things that are there for a while."""

import dataclasses
import random

__all__ = ["Item", "allocate", "busiest"]

_TRIES = 60


@dataclasses.dataclass(frozen=True)
class Item:
    """``count`` lines named ``name``, in use from time ``first`` to time ``last``, both included.

    ``high``: as far up in the memory as can be. Things that follow each other, two at a time, leave no gaps where every
    second one is high.
    """

    name: str
    count: int
    first: int
    last: int
    high: bool = False


def allocate(items, lines, memory):
    """The first line of each item: name -> line. Items that are in use at the same time do not overlap.

    Each in its turn is put at the lowest place, the greatest first, or those that stay long; then a number of other
    turns are tried. Raises ``ValueError`` where ``lines`` are not enough, with what is in use when most of them are
    needed; ``memory``: its name.
    """
    time, here = busiest(items)
    needed = sum(item.count for item in here)
    for turns in _turns(items) if needed <= lines else ():
        place = _place(turns, lines)
        if place is not None:
            return place
    raise ValueError(f"{memory} has {lines} lines, too few: at time {time} it needs {needed} "
                     f"({', '.join(f'{item.name} {item.count}' for item in here)})")


def busiest(items):
    """(the first time when most lines are needed, the items that are in use then)."""
    times = sorted({item.first for item in items})
    here = {time: [item for item in items if item.first <= time <= item.last] for time in times}
    time = max(times, key=lambda time: (sum(item.count for item in here[time]), -time))
    return time, here[time]


def _turns(items):
    great = sorted(items, key=lambda item: (-item.count, item.first, item.name))
    yield great
    yield sorted(great, key=lambda item: item.first - item.last)
    shuffle = random.Random(0)
    for _ in range(_TRIES):
        shuffle.shuffle(great)
        yield great


def _place(items, lines):
    """The first line of each item; None where they do not fit in this turn."""
    placed = []
    for item in items:
        others = sorted((line, line + other.count) for line, other in placed
                        if other.first <= item.last and item.first <= other.last)
        gaps, end = [], 0
        for first, after in [*others, (lines, lines)]:
            if first - end >= item.count:
                gaps.append((end, first))
            end = max(end, after)
        if not gaps:
            return None
        placed.append((gaps[-1][1] - item.count if item.high else gaps[0][0], item))
    return {item.name: line for line, item in placed}
