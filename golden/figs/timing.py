"""Clock cycles of the engine for passes one after another: equal to the RTL's where nothing stalls it."""

import dataclasses

import numpy as np

__all__ = ["EngineTiming"]


@dataclasses.dataclass(frozen=True)
class EngineTiming:
    """When an engine of ``sizes`` (golden/figs/sizes.py) does what, in cycles after the transfer of the first command.

    Commands, activations and the receiver of the sums are always ready.
    """

    sizes: object

    @property
    def way_out(self):
        """Cycles from a pass' last schedule cycle to its first word of sums."""
        return self.sizes.columns + 2 + (self.sizes.array != "dense")

    @property
    def long(self):
        """Schedule cycles of a pass that does not wait for the one before to leave until its last cycle."""
        return self.sizes.columns + 4

    def ends(self, cycles):
        """When the last schedule cycle of each pass is done; ``cycles``: schedule cycles of the passes, in order."""
        ends, free, start = [], 0, 3
        for count in map(int, cycles):
            if count < 1:
                raise ValueError(f"cycles = {count} is not allowed: a pass has at least one")
            if count < self.long:
                start = max(start, free)
            end = max(start + count - 1, free)
            free, start = end + self.way_out + self.sizes.rows, end + 1
            ends.append(end)
        return np.array(ends, np.int64)

    def words(self, cycles):
        """When each word of sums leaves, int64 (passes, rows)."""
        return self.ends(cycles)[:, None] + self.way_out + np.arange(self.sizes.rows)

    def total(self, cycles):
        """Cycles from the first command to the last word of sums; 0 for no pass."""
        return int(self.words(cycles)[-1, -1]) if len(cycles) else 0
