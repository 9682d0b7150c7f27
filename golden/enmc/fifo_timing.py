"""Cycle model of a queue (``hw/stream/fifo.py``), for the cycle models of blocks."""

import collections

__all__ = ["FifoTiming"]


class FifoTiming:
    """A queue of ``depth`` items, one :meth:`clock` a cycle.

    What a cycle shows: ``ready``: an item that is offered is taken; ``head``: the item offered, ``None`` when there is
    none. An item that enters an empty queue is the head 2 cycles later. Raises ``ValueError`` for a depth below 2.
    """

    def __init__(self, depth):
        if not isinstance(depth, int) or depth < 2:
            raise ValueError(f"depth = {depth!r} is not allowed: depth must be an integer, at least 2")
        self._rows, self._stored, self.head = depth - 1, collections.deque(), None

    @property
    def ready(self):
        return len(self._stored) < self._rows

    @property
    def level(self):
        """Items inside."""
        return len(self._stored) + (self.head is not None)

    def clock(self, put=None, take=False):
        """The end of a cycle in which ``put`` was taken (``None``: nothing; only when ``ready``), and the head when
        ``take``."""
        if put is not None and not self.ready:
            raise ValueError(f"put = {put!r} is not allowed: the queue is full")
        free = take or self.head is None
        if free:
            self.head = self._stored.popleft() if self._stored else None
        if put is not None:
            self._stored.append(put)
