"""In what order positions of x are fed to the FiGS array, with which exchanges, and each for how long."""

import dataclasses

import numpy as np

__all__ = ["Schedule", "feed_schedule"]

#: Orders that the search carries from position to position.
_WIDTH = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
    """Entries in the order they are fed: ``position``, ``exchange``, ``fed`` (cycles, at least 1); then ``tail``."""

    position: np.ndarray
    exchange: np.ndarray
    fed: np.ndarray
    tail: int

    @property
    def start(self):
        """The first cycle of each entry."""
        return np.cumsum(self.fed) - self.fed

    @property
    def cycles(self):
        return int(self.fed.sum()) + self.tail


def _feed(backlog, counts, depth):
    """Cycles that entries must be fed, and what is left then; ``counts`` (..., elements) jobs of the entry."""
    waiting = backlog + counts
    fed = np.maximum(waiting.max(-1) - (depth - 1), 1)
    return fed, np.maximum(waiting - fed[..., None], 0)


def _in_order(counts, depth):
    """Cycles of each entry and the tail, when there is nothing to choose; ``counts`` (entries, elements)."""
    backlog, fed = np.zeros(counts.shape[-1], np.int64), np.zeros(len(counts), np.int64)
    for entry, jobs in enumerate(counts):
        fed[entry], backlog = _feed(backlog, jobs, depth)
    return fed, int(backlog.max())


def _search(counts, wanted, depth):
    """(positions, exchanges) in the best order found.

    A beam search entry by entry: the orders so far with the fewest cycles live on; of equal ones those with the least
    backlog in the worst element, then in all. Of orders with the same backlog and the same left to feed one lives on.
    """
    backlog, total = np.zeros((1, counts.shape[-1]), np.int64), np.zeros(1, np.int64)
    steps = []
    for position, present in enumerate(wanted):
        left = np.repeat(present[None], len(total), 0)
        for _ in range(np.count_nonzero(present)):
            parent, exchange = np.nonzero(left)
            fed, after = _feed(backlog[parent], counts[position, exchange], depth)
            cycles, rest = total[parent] + fed, left[parent]
            rest[np.arange(len(parent)), exchange] = False
            best = np.lexsort((after.sum(-1), after.max(-1), cycles))
            if len(best) > 1:
                alike = np.concatenate([rest, after], 1)[best]
                _, first = np.unique(alike, axis=0, return_index=True)
                best = best[np.sort(first)[:_WIDTH]]
            backlog, total, left = after[best], cycles[best], rest[best]
            steps.append((position, exchange[best], parent[best]))
    state = int(np.argmin(total + backlog.max(-1)))
    path = []
    for position, exchange, parent in reversed(steps):
        path.append((position, exchange[state]))
        state = parent[state]
    return np.array(path[::-1]).T


def feed_schedule(counts, depth, reach):
    """The :class:`Schedule` of ``counts`` (positions, exchanges, elements): jobs of each element.

    Exchange h of ``counts`` is the exclusive or with h ``reach``. An entry without jobs is left out, but a position has
    one. With one exchange the schedule has the fewest cycles that there can be; with more, the order of a position's
    entries is searched for.
    """
    wanted = counts.any(-1)
    wanted[~wanted.any(-1), 0] = True
    if wanted.sum(-1).max() == 1:
        position, exchange = np.nonzero(wanted)
    else:
        position, exchange = _search(counts, wanted, depth)
    fed, tail = _in_order(counts[position, exchange], depth)
    return Schedule(position, exchange * reach, fed, tail)
