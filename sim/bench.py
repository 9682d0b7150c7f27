"""Clock, reset and watchdog of a test bench, and the one place that wakes up each clock cycle.

All drivers and monitors of a clock are plain objects with a ``tick`` method that the bench calls once a cycle: one
simulator call-back a cycle however many streams there are, which is what makes wide benches fast.
"""

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import Event, RisingEdge

from .context import context
from .record import recorder

__all__ = ["Bench", "Hang", "start"]

_benches = {}


class Hang(AssertionError):
    """No stream moved for too long; the message names the stalled streams."""


class Bench:
    """A running clock with the drivers and monitors on it; made by :func:`start`.

    Attributes
    ----------
    cycle: rising edges seen since the bench was started
    """

    def __init__(self, dut, clock, reset, period, timeout):
        self.dut = dut
        self.clock = clock
        self.cycle = 0
        self.period = period
        self.timeout = timeout
        self._reset = reset
        self._streams = []
        self._boards = []
        self._moved = 0
        self._waiters = {}
        self._resetting = False
        self._edge = RisingEdge(clock)
        self._recorder = recorder(dut)

    def add(self, stream):
        """Have ``stream.tick(cycle)`` called each cycle; it returns whether an item moved."""
        self._streams.append(stream)

    def add_board(self, board):
        """Have ``board.finish()`` called by :meth:`finish`."""
        self._boards.append(board)

    def kick(self):
        """Tell the watchdog that there is progress that no stream shows."""
        self._moved = self.cycle

    async def cycles(self, count=1):
        """Wait for ``count`` rising edges."""
        if count < 1:
            return
        event = Event()
        self._waiters.setdefault(self.cycle + count, []).append(event)
        await event.wait()

    async def reset(self, cycles=2):
        """Hold reset for ``cycles`` rising edges. Items in flight and queued in drivers and monitors are dropped."""
        if self._reset is None:
            raise ValueError("reset = None: this bench was started without a reset")
        for stream in self._streams:
            stream.reset()
        self._resetting = True
        self._reset.value = 1
        await self.cycles(cycles)
        self._resetting = False
        for stream in self._streams:
            stream.reset()
        self._reset.value = 0
        self.kick()

    async def finish(self, cycles=30):
        """End a test: wait until drivers are empty, then ``cycles`` more, then check that nothing is left over.

        Fails when a monitor holds items nobody asked for (surplus output) or a scoreboard still expects items.
        """
        for stream in self._streams:
            await stream.drain()
        await self.cycles(cycles)
        for stream in [*self._streams, *self._boards]:
            stream.finish()

    async def _run(self):
        streams, waiters, edge, record = self._streams, self._waiters, self._edge, self._recorder
        while True:
            await edge
            if record is not None:
                record.sample()
            self.cycle = cycle = self.cycle + 1
            if not self._resetting:
                for stream in streams:
                    if stream.tick(cycle):
                        self._moved = cycle
            if waiters:
                for event in waiters.pop(cycle, ()):
                    event.set()
            if self.timeout is not None and cycle - self._moved > self.timeout:
                raise Hang(self._describe_hang())

    def _describe_hang(self):
        lines = [f"no stream moved for {self.timeout} cycles (cycle {self.cycle}, last move at {self._moved})"]
        lines += [f"  {stream.name}: {stream.status()}" for stream in self._streams]
        return "\n".join(lines)


def find(clock):
    """The bench that runs on ``clock``."""
    try:
        return _benches[clock._path]
    except KeyError:
        raise ValueError(f"clock = {clock._path} has no bench: call sim.bench.start() first") from None


async def start(dut, *, clock="clk", reset="rst", period=10, timeout=10000, reset_cycles=2):
    """Start clock and watchdog, drive every input to zero, reset; return the :class:`Bench`.

    Parameters: ``clock`` and ``reset`` the ports' names (``reset=None`` when there is none), ``period`` in
    nanoseconds, ``timeout`` the cycles without any transfer after which the test fails as hung (``None``: never),
    ``reset_cycles`` the rising edges reset is held for.
    """
    clock = getattr(dut, clock)
    # The simulator drops a port that nothing in the design reads.
    reset = getattr(dut, reset, None) if reset is not None else None
    for name in context().inputs:
        port = getattr(dut, name, None)
        if port is not None:
            port.value = 0
    if "mutant" in context().options:  # a netlist of mutants, see resilin/jobs/mutate.py
        dut.mutant.value = context().options["mutant"]
    bench = Bench(dut, clock, reset, period, timeout)
    _benches[clock._path] = bench
    dut._log.info("seed %d", context().seed)
    Clock(clock, period, unit="ns").start(start_high=False)
    cocotb.start_soon(bench._run())
    if reset is not None:
        await bench.reset(reset_cycles)
    return bench
