"""Cycle model of the MemoryArbiter: reads and writes of the units into one order of requests."""

from golden.enmc.fifo_timing import FifoTiming

__all__ = ["EXECUTOR", "LOAD", "MemoryArbiterTiming", "READERS", "SCREENER"]

#: Readers, the tags of requests.
SCREENER, EXECUTOR, LOAD = READERS = range(3)
#: Writers.
_RESULTS, _STORES = range(2)


class MemoryArbiterTiming:
    """The MemoryArbiter from its reset on. Parameters: ``depth`` of the queue of writes; ``turn``: reads of one reader
    in a row while others wait.

    A cycle: :meth:`offer` gives what the DramController is asked, then :meth:`step` takes its answer. Reads are a list
    of burst addresses that are asked for, by their tags, writes those of results and of stores; ``None``: nothing.
    """

    def __init__(self, depth, turn):
        self._half, self._turn = depth // 2, turn
        self._read = None  # (write, address, tag) that is offered
        self._served = self._run = 0  # who was served last, how often in a row
        self._write, self._write_served = None, _STORES  # the address that the queue of writes is offered
        self._writes = FifoTiming(depth)
        self._drain = self._asked = self._given = self._sending = False
        self._stays = False  # a read that was offered and not taken

    def offer(self, loads):
        """The request (write, address, tag) of this cycle or ``None``, and whether write data are offered; ``loads``:
        a load asks for a burst."""
        head = self._writes.head
        self._drain = self._drain or head is not None and (
            self._read is None or loads or self._writes.level >= self._half)
        self._sending = self._drain and head is not None and not self._stays
        if self._sending:
            return (None if self._asked else (True, head, 0)), not self._given
        return self._read, False

    def busy(self, reads, writes):
        """Whether a request has not reached the DramController."""
        return (self._read is not None or self._write is not None or self._writes.level > 0
                or reads != [None, None, None] or writes != [None, None])

    def step(self, reads, writes, ready, data_ready):
        """One cycle; whether the DramController takes a request and write data. Gives the tag of the read that is
        taken, or ``None``, which of the writes is, or ``None``, and whether a write is sent."""
        sending, queue = self._sending, self._writes
        stored = self._write is not None or queue.level > 0
        leaves = sending and (self._asked or ready) and (self._given or data_ready)
        self._stays = self._read is not None and not ready and not sending
        self._asked = sending and not leaves and (self._asked or ready)
        self._given = sending and not leaves and (self._given or data_ready)
        read = write = None
        if self._read is None or ready and not sending:
            read = self._choose(reads, stored or writes[_STORES] is not None)
            self._read = None if read is None else (False, reads[read], read)
        put = self._write if queue.ready else None
        if self._write is None or put is not None:
            self._write = None
            for source in (1 - self._write_served, self._write_served):
                if writes[source] is not None:
                    write = self._write_served = source
                    self._write = writes[source]
                    break
        queue.clock(put, leaves)
        self._drain = self._drain and stored
        return read, write, leaves

    def _choose(self, reads, stored):
        """The reader that is served; a load waits for what is ``stored``."""
        served = self._served
        if reads[served] is not None and self._run != self._turn and not (stored and served == LOAD):
            self._run += 1
            return served
        for distance in READERS[1:]:
            tag = (served + distance) % len(READERS)
            if reads[tag] is not None and not (stored and tag == LOAD):
                self._served, self._run = tag, 1
                return tag
        if reads[served] is not None and not (stored and served == LOAD):
            self._run = 1
            return served
        return None
