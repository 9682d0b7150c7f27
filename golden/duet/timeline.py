"""What the Executor does in each cycle of a program, and what its engines wait for: recorded by the cycle model."""

import numpy as np

__all__ = ["Timeline"]


class Timeline:
    """Filled by :class:`golden.duet.cycles.CycleModel`, whose cycle 0 is cycle 0 here.

    ``begins``: for each engine the cycles in which its commands began; ``waits``: for each engine (giver, first, end)
    of the cycles first .. end - 1 in which a command waited for the giver's token; ``starved``: (first, end) of those
    in which the engine could take a command and there was none in its queue.
    """

    def __init__(self, engines):
        self.begins, self.waits, self.starved = ([[] for _ in range(engines)] for _ in range(3))
        self._changes, self._drains = np.zeros(1 << 12, np.int32), []

    def issue(self, starts, counts):
        """Elements issue ``counts`` instructions each, from cycles ``starts`` on (or one for all)."""
        starts, counts = np.broadcast_to(starts, counts.shape)[counts > 0], counts[counts > 0]
        ends = starts + counts
        if len(ends) and ends.max() >= len(self._changes):
            self._changes = np.pad(self._changes, (0, int(ends.max())))
        np.add.at(self._changes, starts, 1)
        np.add.at(self._changes, ends, -1)

    def drain(self, first, last):
        """A step's sums are added up in the cycles ``first`` to ``last``."""
        self._drains.append((first, last))

    def issuing(self, cycles):
        """In which of the first ``cycles`` cycles an element issues an instruction: bool."""
        changes = np.pad(self._changes, (0, max(0, cycles - len(self._changes))))[:cycles]
        return np.cumsum(changes, dtype=np.int64) > 0

    def draining(self, cycles):
        """In which of the first ``cycles`` cycles a step's sums are added up and nothing is issued: bool."""
        return _covered([(first, last + 1) for first, last in self._drains], cycles) & ~self.issuing(cycles)

    def waiting(self, engine, giver, cycles):
        """In which of the first ``cycles`` cycles the engine waits for a token of the giver: bool."""
        return _covered([(first, end) for source, first, end in self.waits[engine] if source == giver], cycles)

    def idle(self, engine, cycles):
        """In which of the first ``cycles`` cycles the engine has no command that it could take: bool."""
        return _covered(self.starved[engine], cycles)


def _covered(spans, cycles):
    """Which of the first ``cycles`` cycles are in one of the spans (first, end): bool."""
    changes = np.zeros(cycles + 1, np.int64)
    for place, change in ((0, 1), (1, -1)):
        np.add.at(changes, np.minimum([span[place] for span in spans], cycles).astype(np.int64), change)
    return np.cumsum(changes[:cycles]) > 0
