"""What the benches of blocks with one input and one output stream share."""

from sim.bench import start
from sim.context import context
from sim.scoreboard import Scoreboard
from sim.stream import StallProfile
from sim.timed import TimedDriver, TimedMonitor

__all__ = ["PROFILES", "StreamHarness", "stalls"]

_PROFILES = {
    "none": (lambda rng: None, lambda rng: None),
    "slow input": (lambda rng: StallProfile.random(0.7, rng), lambda rng: None),
    "slow output": (lambda rng: None, lambda rng: StallProfile.random(0.7, rng)),
    "bursts": (lambda rng: StallProfile.bursts(rng), lambda rng: StallProfile.bursts(rng)),
    "after offer": (lambda rng: StallProfile.random(0.2, rng), lambda rng: StallProfile.after_offer(1)),
    "adversarial": (StallProfile.adversarial, StallProfile.adversarial),
}
#: Names of the pairs of stall profiles.
PROFILES = list(_PROFILES)


def stalls(profile, rng):
    """The stall profiles of input and output that have this name in :data:`PROFILES`."""
    return tuple(make(rng) for make in _PROFILES[profile])


class StreamHarness:
    """A block with one input and one output stream, whose every item is compared with what the board expects.

    A block's harness names its streams in ``source`` and ``sink``; ``timeout`` is the watchdog's, in cycles.
    Attributes after :meth:`start`: ``bench``, ``board``, ``driver``; ``monitor`` after :meth:`watch`.
    """

    source = sink = None
    timeout = 1000

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng = self.ctx.rng
        self.corrupt = self.ctx.options.get("corrupt", False)

    def board_lanes(self):
        """Lanes of the output's fields, as :class:`~sim.scoreboard.Scoreboard` takes them."""
        return None

    async def start(self, drive=None, take=None, watch=True):
        """Clock, reset, driver and scoreboard; a monitor too, unless ``watch`` is false."""
        self.bench = await start(self.dut, timeout=self.timeout)
        self.board = Scoreboard(self.sink, lanes=self.board_lanes(), bench=self.bench)
        self.driver = TimedDriver(self.dut, self.source, stall=drive, layout=self._layout(self.source))
        if watch:
            self.watch(take)

    def watch(self, take=None):
        """Take items from the output and compare them."""
        self.monitor = TimedMonitor(self.dut, self.sink, stall=take, layout=self._layout(self.sink),
                                    callback=self.board.check)

    def _layout(self, name):
        """The fields of a stream's payload, or ``None`` when it has none."""
        return self.ctx.layout(name) if name in self.ctx.layouts else None

    async def settle(self):
        """Wait for every expected item; a hang ends the wait."""
        while self.board.pending():
            await self.bench.cycles(1)

    async def finish(self):
        """Wait for every expected item, then check that nothing is left over."""
        await self.settle()
        await self.bench.finish()
