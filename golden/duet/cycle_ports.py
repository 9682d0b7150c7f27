"""The bus and the ports of the GlobalBuffer in the cycle model: who is served in which cycle."""

import collections
import math

from golden.duet.cycle_rules import NEVER, Order
from golden.duet.event_kernel import Event

__all__ = ["Fetch", "Ports"]


class Fetch:
    """A fetch: who asks, from which cycle on, what it reads, and what becomes of it on the bus."""

    __slots__ = ("granted", "valid", "kind", "data", "map", "beats", "last", "taken", "extra")

    def __init__(self, valid, kind, data=False, map_=False, beats=1, last=False, extra=None):
        self.granted, self.taken = Event(), Event()
        self.valid, self.kind, self.data, self.map, self.beats, self.last, self.extra = (
            valid, kind, data, map_, beats, last, extra)


class Ports:
    """Fetches of SPEC and EXEC and their items on the bus, reads of the engines behind it, writes.

    ``loads``: (cycle in which it passes into the bus' register, fetch) of each item; ``load_waits``: event of the next.
    ``data_writes``, ``map_writes``: cycle -> who writes words, map bits.
    """

    def __init__(self, kernel):
        self._kernel = kernel
        self._requests, self._bus_free = [None, None], NEVER
        self._before = Event(NEVER)  # the taking of the item before
        self.data_writes, self.map_writes = {}, {}
        self._data_read = self._map_read = self._cell_read = NEVER  # last cycle in which the bus, CELL reads
        self._item = NEVER, Event(NEVER)  # grant and pass of the item that was fetched last
        self._register = collections.deque(maxlen=3)  # pass and taking of the last items in the bus' register
        self.loads, self.load_waits = [], Event()

    def fetch(self, source, fetch):
        """Ask for a fetch; goes on in the cycle of its grant, which it returns."""
        self._requests[source] = fetch
        self._kernel.start(self._grant(fetch.valid))
        return (yield fetch.granted)

    def _grant(self, at):
        """Grant what is asked for in cycle ``at``, if the bus is free then: the Speculator's first."""
        yield max(at, self._kernel.now), Order.BUS
        at = self._kernel.now
        source = next((k for k, fetch in enumerate(self._requests) if fetch is not None and fetch.valid <= at), None)
        if source is None or at < self._bus_free:
            return
        fetch, self._requests[source] = self._requests[source], None
        if fetch.data:
            self._data_read = at
        if fetch.map:
            self._map_read = at
        passes = Event()
        self._item, self._bus_free = (at, passes), math.inf
        self._kernel.set(fetch.granted, at)
        if fetch.kind == "own":
            passed = at + 1
        else:
            before, self._before = self._before, fetch.taken
            passed = max(at + 1, (yield before))
            self._register.append((passed, fetch.taken))
            self.loads.append((passed, fetch))
            self._kernel.set(self.load_waits, passed)
            self.load_waits = Event()
        self._kernel.set(passes, passed)
        self._bus_free = passed
        self._kernel.start(self._grant(passed))

    def register_empty(self, at):
        """Whether no item is in the bus' register in cycle ``at``."""
        return not any(passed < at and (taken.at is None or at <= taken.at) for passed, taken in self._register)

    def read(self, at, data, own):
        """The first cycle from ``at`` on in which a reader behind the bus is served; ``own``: its priority."""
        while True:
            yield at, own
            granted, passes = self._item
            held = granted < at and (passes.at is None or at < passes.at)
            if not held and (self._data_read if data else self._map_read) != at and (
                    own == Order.CELL_READ or self._cell_read != at or not data):
                if own == Order.CELL_READ:
                    self._cell_read = at
                return at
            at += 1

    def line(self, at, mapped):
        """A line of the DRAM is written in the first cycle from ``at`` on in which the memory is free."""
        yield at, Order.FILL
        while at in self.data_writes or mapped and at in self.map_writes:
            at += 1
            yield at, Order.FILL
        return at
