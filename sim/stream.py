"""Drivers and monitors of valid/ready streams, with stalls.

A stream ``s`` of an Amaranth component is three ports: ``s__payload``, ``s__valid``, ``s__ready``. A payload with
fields is one flattened port; give ``layout`` (see :meth:`sim.context.Context.layout`) to send and receive dicts of
fields. Without a layout items are integers.
"""

import collections

from cocotb.triggers import Event

from . import bench as benches

__all__ = ["ProtocolError", "StallProfile", "StreamDriver", "StreamMonitor", "Surplus", "pack", "unpack"]


class ProtocolError(AssertionError):
    """A stream broke a rule: payload changed or valid fell before the transfer, or a control line was unknown."""


class Surplus(AssertionError):
    """A monitor received items that nobody asked for."""


def pack(layout, item):
    """The integer of a dict of fields; every field must be there and in range (``ValueError``)."""
    if item.keys() != layout.keys():
        raise ValueError(f"item = {item!r} is not allowed: it must have exactly the fields " + ", ".join(layout))
    word = 0
    for name, (offset, width, signed) in layout.items():
        value = int(item[name])
        low, high = (-(1 << width - 1), (1 << width - 1) - 1) if signed and width else (0, (1 << width) - 1)
        if not low <= value <= high:
            raise ValueError(f"{name} = {value} is not allowed: {name} must be from {low} to {high}")
        word |= (value & (1 << width) - 1) << offset
    return word


def unpack(layout, word):
    """The dict of fields of an integer."""
    item = {}
    for name, (offset, width, signed) in layout.items():
        value = word >> offset & (1 << width) - 1
        item[name] = value - (1 << width) if signed and value >> width - 1 else value
    return item


def _complete(layout):
    """A layout with the signed flag filled in: fields may be given as (offset, width)."""
    if layout is None:
        return None
    return {name: (*place, False) if len(place) == 2 else tuple(place) for name, place in layout.items()}


class StallProfile:
    """When one side of a stream pauses. Make one with the class methods; a profile serves one stream only.

    ``rng`` is a ``random.Random`` (:attr:`sim.context.Context.random`) or a numpy Generator.
    """

    def __init__(self, stalls):
        self._stalls = stalls
        next(stalls)

    def step(self, offered):
        """Whether to pause in the next cycle; ``offered`` tells whether the other side is offering now."""
        return self._stalls.send(offered)

    @classmethod
    def none(cls):
        """Never pause."""
        return cls(_never())

    @classmethod
    def random(cls, duty, rng):
        """Pause in each cycle with probability ``duty``, from 0 up to, not including, 1."""
        if not 0 <= duty < 1:
            raise ValueError(f"duty = {duty!r} is not allowed: duty must be from 0 up to, not including, 1")
        return cls(_random(duty, rng))

    @classmethod
    def bursts(cls, rng, run=20, pause=40):
        """Full rate for 1 to ``run`` cycles, then a complete pause for 1 to ``pause`` cycles, and again."""
        return cls(_bursts(rng, run, pause))

    @classmethod
    def toggle(cls):
        """Pause every other cycle."""
        return cls(_toggle())

    @classmethod
    def after_offer(cls, delay=0):
        """Be ready for one cycle, ``delay`` cycles after the other side offered. For monitors only.

        A driver that waited for ready would break the rules of a stream, so drivers see a constant offer.
        """
        return cls(_after_offer(delay))

    @classmethod
    def adversarial(cls, rng):
        """All of the above in turn, each for a random time."""
        return cls(_adversarial(rng))


def _never():
    while True:
        yield False


def _random(duty, rng):
    draw = rng.random
    while True:
        yield draw() < duty


def _upto(rng, limit):
    return 1 + int(rng.random() * limit)


def _bursts(rng, run, pause):
    while True:
        for _ in range(_upto(rng, run)):
            yield False
        for _ in range(_upto(rng, pause)):
            yield True


def _toggle():
    while True:
        yield True
        yield False


def _after_offer(delay):
    offered = yield True
    while True:
        while not offered:
            offered = yield True
        for _ in range(delay):
            yield True
        yield False
        # The item just offered is taken in the cycle that was not a pause; look again from the next one.
        offered = yield True


def _adversarial(rng):
    while True:
        kinds = (_never(), _random(0.5, rng), _random(0.9, rng), _bursts(rng, 8, 30), _toggle(),
                 _after_offer(_upto(rng, 4) - 1))
        stalls = kinds[_upto(rng, len(kinds)) - 1]
        next(stalls)
        offered = False
        for _ in range(_upto(rng, 60)):
            offered = yield stalls.send(offered)


def _handles(dut, name):
    """Handles of a stream's ports, ``None`` for a port that does not exist (always valid or ready, empty payload)."""
    valid = getattr(dut, f"{name}__valid", None)
    ready = getattr(dut, f"{name}__ready", None)
    if valid is None and ready is None:
        raise ValueError(f"name = {name!r} is not a stream of {dut._name}")
    return getattr(dut, f"{name}__payload", None), valid, ready


def _reader(handle):
    """A function that reads a handle as an integer; the text of an unknown value raises ``ValueError``."""
    read = handle._handle.get_signal_val_binstr
    return lambda: int(read(), 2)


class _Stream:
    """What drivers and monitors have in common."""

    def __init__(self, dut, name, clock, stall, layout):
        self.name = name
        self.bench = benches.find(clock if clock is not None else dut.clk)
        self.stall = stall or StallProfile.none()
        self.layout = _complete(layout)
        self.count = 0
        self._since = self.bench.cycle
        self.bench.add(self)


class StreamDriver(_Stream):
    """Sends items into an input stream of the design.

    Parameters
    ----------
    dut, name: the design and the stream's name
    clock: the clock's handle; ``dut.clk`` when ``None``. :func:`sim.bench.start` must have been called.
    stall: a :class:`StallProfile`: when the driver offers nothing although it has items
    layout: field -> (offset, width[, signed]) for items that are dicts

    An offered item stays until it is taken. While nothing is offered the payload is the complement of the last one,
    so that a design that looks at it without valid is caught.

    Attributes: ``count``, the items taken so far.
    """

    def __init__(self, dut, name, *, clock=None, stall=None, layout=None):
        super().__init__(dut, name, clock, stall, layout)
        self._payload, self._valid, self._ready = _handles(dut, name)
        self._mask = (1 << len(self._payload)) - 1 if self._payload is not None else 0
        self._read_ready = (lambda: 1) if self._ready is None else _reader(self._ready)
        self._queue = collections.deque()
        self._offered = None
        self._idle = Event()
        self._idle.set()
        self.reset()

    def _pack(self, item):
        return pack(self.layout, item) if self.layout is not None else int(item)

    def put(self, item):
        """Queue an item and return at once."""
        self._queue.append((self._pack(item), None))
        self._idle.clear()

    def put_many(self, items):
        """Queue items and return at once."""
        for item in items:
            self.put(item)

    async def send(self, item):
        """Queue an item and wait until it is taken."""
        await self.send_many([item])

    async def send_many(self, items):
        """Queue items and wait until the last one is taken."""
        words = [self._pack(item) for item in items]
        if not words:
            return
        taken = Event()
        self._queue.extend((word, None) for word in words[:-1])
        self._queue.append((words[-1], taken))
        self._idle.clear()
        await taken.wait()

    def idle(self):
        """Whether nothing is queued or offered."""
        return self._offered is None and not self._queue

    async def drain(self):
        """Wait until everything queued was taken."""
        await self._idle.wait()

    def reset(self):
        """Drop what is queued and offered."""
        for item in [self._offered, *self._queue]:
            if item is not None and item[1] is not None:
                item[1].set()
        self._queue.clear()
        self._offered = None
        self._idle.set()
        if self._valid is not None:
            self._valid.value = 0

    def finish(self):
        """End of test: nothing to check on a driver."""

    def status(self):
        if self._offered is None:
            return f"driver, idle, {len(self._queue)} items queued, {self.count} sent"
        return f"driver, valid without ready since cycle {self._since}, item {self.count} = {self._offered[0]:#x}"

    def tick(self, cycle):
        offered = self._offered
        moved = False
        if offered is not None:
            try:
                moved = self._read_ready() == 1
            except ValueError:
                raise ProtocolError(f"{self.name}: ready is unknown at cycle {cycle}") from None
            if not moved:
                return False
            self.count += 1
            if offered[1] is not None:
                offered[1].set()
            self._offered = None
        elif not self._queue:
            return False
        if self._queue and not self.stall.step(True):
            self._offered = item = self._queue.popleft()
            if self._payload is not None:
                self._payload.value = item[0]
            if not moved:
                self._valid.value = 1
            self._since = cycle
        elif moved:
            self._valid.value = 0
            if self._payload is not None:
                self._payload.value = ~offered[0] & self._mask
            if not self._queue:
                self._idle.set()
        return moved


class StreamMonitor(_Stream):
    """Receives items from an output stream of the design, and checks the stream's rules.

    Parameters
    ----------
    dut, name, clock, layout: as for :class:`StreamDriver`
    stall: when the monitor is not ready
    callback: a function called with each item, for instance ``Scoreboard.check``; without one, items are queued for
        :meth:`recv`

    Raises (in the running test) :class:`ProtocolError` when the payload changes or valid falls before the transfer.

    Attributes: ``count``, the items received so far.
    """

    def __init__(self, dut, name, *, clock=None, stall=None, layout=None, callback=None):
        super().__init__(dut, name, clock, stall, layout)
        payload, valid, self._ready = _handles(dut, name)
        self._read_valid = _reader(valid)
        self._read_payload = (lambda: 0) if payload is None else _reader(payload)
        self._callback = callback
        self._queue = collections.deque()
        self._arrived = Event()
        self._held = None
        self._driven = None
        self.reset()

    async def recv(self):
        """Wait for the next item and return it."""
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()
        return self._queue.popleft()

    async def recv_many(self, count):
        """Wait for ``count`` items and return them as a list."""
        return [await self.recv() for _ in range(count)]

    async def drain(self):
        """Nothing to wait for on a monitor."""

    def reset(self):
        """Forget received items and what was offered."""
        self._queue.clear()
        self._held = None
        self._drive(0)

    def finish(self):
        """End of test: fail when items came that nobody received (:class:`Surplus`)."""
        if self._queue:
            raise Surplus(f"{self.name}: {len(self._queue)} more items came than expected, first {self._queue[0]!r}")

    def status(self):
        if self._held is not None:
            return f"monitor, valid without ready since cycle {self._since}, item {self.count} = {self._held:#x}"
        return f"monitor, ready without valid since cycle {self._since}, {self.count} received"

    def _drive(self, ready):
        if ready != self._driven and self._ready is not None:
            self._driven = ready
            self._ready.value = ready

    def tick(self, cycle):
        moved = False
        try:
            valid = self._read_valid()
        except ValueError:
            raise ProtocolError(f"{self.name}: valid is unknown at cycle {cycle}") from None
        if valid:
            try:
                word = self._read_payload()
            except ValueError:
                raise ProtocolError(f"{self.name}: payload is unknown while valid at cycle {cycle}") from None
            if self._held is not None and self._held != word:
                raise ProtocolError(f"{self.name}: payload changed before the transfer, at cycle {cycle}: "
                                    f"{self._held:#x} became {word:#x}")
            if self._driven or self._ready is None:
                moved = True
                self._held = None
                self._since = cycle
                self.count += 1
                item = word if self.layout is None else unpack(self.layout, word)
                if self._callback is not None:
                    self._callback(item)
                else:
                    self._queue.append(item)
                    self._arrived.set()
            elif self._held is None:
                self._held = word
                self._since = cycle
        elif self._held is not None:
            raise ProtocolError(f"{self.name}: valid fell before the transfer, at cycle {cycle}")
        self._drive(0 if self.stall.step(valid == 1 and not moved) else 1)
        return moved
