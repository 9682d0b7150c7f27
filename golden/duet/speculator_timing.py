"""When the Speculator does what: cycles of every job, exact while nothing holds its outputs up.

Rules: docs/duet/speculator.md#timing.
"""

import dataclasses

__all__ = ["JobTimes", "SpeculatorTiming", "TimingSize"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimingSize:
    """What the cycles depend on.

    ``array_depth``: columns that the systolic array's output buffer holds; ``projection_latency``, ``array_latency``,
    ``result_latency`` (MFU and switching map together): of these parts, in cycles, as their configurations give them.
    """

    segment: int
    trees: int
    array_rows: int
    array_cols: int
    activation_rows: int
    input_rows: int
    array_depth: int
    projection_latency: int
    array_latency: int
    result_latency: int


@dataclasses.dataclass(frozen=True)
class JobTimes:
    """Cycles of a job.

    ``taken``: its transfer on ``jobs``. ``windows``: its first and last window enters the projection (``None`` without
    ``project``); ``released``: the room of its tile is given back. ``steps``: its first and last step of the array is
    issued. ``results``: for each channel, the cycle of its map on ``maps``, or in which it enters the QDR output buffer
    of gates (which offers a segment 2 cycles after its last neuron).
    """

    taken: int
    windows: tuple | None
    released: int | None
    steps: tuple
    results: list


class SpeculatorTiming:
    """The jobs of a layer one after another, from when each is offered and its tile is complete.

    ``size``: a :class:`TimingSize`; ``layer``: a :class:`golden.duet.speculator.Layer`. All streams of results are
    taken at once.
    """

    def __init__(self, size, layer):
        self.size, self.layer = size, layer
        self.positions = 1 if layer.gate else size.segment - layer.unused
        self.k = layer.k_rows * size.trees
        self.halves = 2 if 2 * layer.k_rows <= size.input_rows else 1
        self._half = self.halves - 1
        self._taken, self._array_taken, self._results_taken = [], [], []
        self._read = {0: -1, 1: -1}  # last cycle in which a job reads a half of the QDR input buffer
        self._complete = {}
        self._projected = -1  # last window
        self._last_step = self._last_go = self._free = -1  # of the systolic array
        self._columns = []  # cycle in which each column of its output buffer was taken
        self._given = 0  # columns of room given away
        self._joined, self._result_free = -1, -1

    @property
    def windows(self):
        """Windows of a tile, cycles of its projection."""
        return self.layer.groups * self.layer.group_rows * self.positions * self.layer.passes

    def steps(self, n):
        """Steps of the systolic array for ``n`` channels."""
        return len(self._tiles(n)) * self.k

    def _tiles(self, n):
        """Channels of each pass through the array."""
        cols, parts = self.size.array_cols, 1 if self.layer.gate else self.size.segment // self.size.array_rows
        return [min(cols, n - first) for first in range(0, n, cols) for _ in range(parts)]

    def job(self, n, offered, loaded=None):
        """Times of the next job, of ``n`` channels, offered from cycle ``offered`` on.

        ``loaded``: the cycle in which the last line of its tile was taken; ``None`` for a job without ``project``.
        """
        size = self.size
        taken = max([offered, *(queue[-1] + 1 for queue in [self._taken] if queue),
                     *(queue[-2] + 1 for queue in (self._array_taken, self._results_taken) if len(queue) > 1)])
        windows = released = None
        if loaded is not None:
            self._half = (self._half + 1) % self.halves
            taken = max(taken, self._projected, self._read[self._half] + 1)
            first = max(taken + 1, loaded + 2)
            windows = first, first + self.windows - 1
            self._projected, released = windows[1], windows[1] + 2
            self._complete[self._half] = windows[1] + 5 + size.projection_latency
        self._taken.append(taken)

        array_taken = max(taken + 1, self._last_step)
        self._array_taken.append(array_taken)
        first = issue = max(array_taken + 1, self._complete[self._half])
        results_taken = max(taken + 1, self._result_free)
        self._results_taken.append(results_taken)
        entry, results = results_taken + 3, []
        for channels in self._tiles(n):
            # The second step waits until the last step of the tile before has gone.
            self._last_step = max(issue + 1, self._last_go) + self.k - 2
            go = max(self._last_step + 2, self._last_go + size.array_cols, self._room())
            self._last_go, issue = go, self._last_step + 1
            for column in range(size.array_cols):
                leaves = max(go - 2 + size.array_latency + column, self._joined)
                self._columns.append(leaves)
                self._joined = max(leaves + 1, entry)
                entry = self._joined + 1
                if column < channels:
                    results.append(self._joined + size.result_latency + 1)
        steps = first, self._last_step
        self._read[self._half] = self._last_step
        parts = 1 if self.layer.gate else size.segment // size.array_rows
        self._result_free = max(results[-1], self._joined) + 1
        return JobTimes(taken, windows, released, steps, self._whole(n, results, parts))

    def _room(self):
        """The first cycle with room for all columns of a tile in the array's output buffer."""
        size = self.size
        self._given += size.array_cols
        needed = self._given - size.array_depth  # columns that must have left
        return self._columns[needed - 1] + 1 if needed > 0 else -1

    def _whole(self, n, results, parts):
        """Of the results of each tile of channels those of the last part, when its map is whole."""
        whole, cols = [], self.size.array_cols
        for first in range(0, n, cols):
            channels = min(cols, n - first)
            end = first * parts + channels * parts
            whole += results[end - channels:end]
        return whole
