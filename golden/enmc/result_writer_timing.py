"""Cycle model of the ResultWriter: when it takes a result, when it offers which write."""

import collections

__all__ = ["ResultPlaces", "ResultWriterTiming"]

_RESULTS, _ENTRIES = 16, 8  # of a burst
_ITEMS = 4

#: Registers, in bursts: results, log (0: none), strides, and the range that may be written.
ResultPlaces = collections.namedtuple("ResultPlaces", "result_base result_stride log_base log_stride low high")


class ResultWriterTiming:
    """The ResultWriter from its reset on.

    Attributes, of the coming cycle: ``write``: burst address of the write that is offered, or ``None``; ``busy``.
    ``places``: the registers, a :class:`ResultPlaces`; ``counts``: results of each item.
    """

    __slots__ = ("places", "counts", "write", "busy", "_held", "_placed", "_logs")

    def __init__(self):
        self.places = ResultPlaces(0, 0, 0, 0, 0, 0)
        self.counts = [0] * _ITEMS
        self.write, self.busy = None, False
        self._held, self._placed, self._logs = None, None, False

    def ready(self, taken):
        """Whether a result is taken in this cycle when it is offered; ``taken``: the write is."""
        return self._held is None or (self._placed is None or self.write is None or taken) and (
            self._logs or not self.places.log_base)

    def step(self, result, taken):
        """One cycle: the ``result`` (item, class) that is taken, or ``None``; whether the write is ``taken``."""
        if not self.busy and result is None:
            return
        places, held, placed = self.places, self._held, self._placed
        free = self.write is None or taken
        if free:
            self.write = placed if placed is not None and places.low <= placed < places.high else None
        if placed is None or free:
            self._placed = None
            if held is not None:
                item, number, count = held
                self._placed = (places.log_base + item * places.log_stride + count // _ENTRIES if self._logs else
                                places.result_base + item * places.result_stride + number // _RESULTS)
                last = self._logs or not places.log_base
                self._logs = not last
                if last:
                    self._held = None
        if result is not None:
            item, number = result
            self._held = item, number, self.counts[item]
            self.counts[item] += 1
        self.busy = self._held is not None or self._placed is not None or self.write is not None
