"""Cycle model of the LoadStoreUnit: LDR, STR, MOVE."""

import collections

__all__ = ["LoadStoreTiming", "MemoryJob"]

_WORDS = 4

#: ``op`` LOAD, STORE, MOVE; ``address``, ``stride`` in bursts.
MemoryJob = collections.namedtuple("MemoryJob", "op address count width stride", defaults=(0, _WORDS, 1, 0))


class LoadStoreTiming:
    """The LoadStoreUnit from its reset on.

    Attributes, of the coming cycle: ``busy``; ``read``, ``write``: burst address that is asked for, or ``None``.
    ``low``, ``high``: the registers WRITE_LOW, WRITE_HIGH in bursts.
    """

    __slots__ = ("low", "high", "busy", "read", "write", "_job", "_index", "_asked", "_shown", "_dropped")

    def __init__(self):
        self.low = self.high = 0
        self.busy, self.read, self.write = False, None, None
        self._job, self._index, self._asked, self._shown, self._dropped = None, 0, 0, False, False

    def step(self, job, read_taken, response, write_taken):
        """One cycle: the ``job`` that is taken while not ``busy``, or ``None``; whether the read is, a ``response``
        comes, the write is taken."""
        if job is not None:
            self.busy, self._job = True, job
            self._index = self._asked = 0
            self._shown = False
        elif not self.busy:
            return
        else:
            self._asked += read_taken
            job = self._job
            done = response if job.op == "LOAD" else self._dropped or write_taken if job.op == "STORE" else self._shown
            if done:
                self._index += 1
                self.busy = self._index != job.count
            self._shown = not done
        self.read = self.write = None
        self._dropped = False
        if not self.busy:
            return
        if job.op == "LOAD":
            if self._asked != job.count:
                self.read = job.address + self._asked
        elif job.op == "STORE" and self._shown:
            row, column = divmod(self._index, job.width)
            place = job.address + row * job.stride + column
            if self.low <= place < self.high:
                self.write = place
            else:
                self._dropped = True
