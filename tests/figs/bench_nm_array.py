"""What the tests of the three arrays share: a harness that skews passes over the columns and compares their sums."""

import collections
import dataclasses
import functools
from types import SimpleNamespace

import numpy as np

from golden.figs import dense_array, figs_array, figs_pe, mux_array
from golden.figs.errors import Error
from golden.figs.program import Program
from golden.figs.sizes import Sizes
from resilin.registry import find
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage
from sim.scoreboard import Scoreboard
from sim.stream import pack
from sim.timed import TimedMonitor
from sim.lanes import pack_lanes

GOLDEN = {"figs_array": figs_array, "dense_array": dense_array, "mux_array": mux_array}
POINTS = ["pass of one cycle", "pass longer than the way out", "passes without a cycle between them",
          "a cycle between passes", "go stalled in a pass", "a pass waits for the one before", "sums not taken",
          "a value held", "first value of a pass from before it", "greatest products", "least products",
          "a sum that wraps", "reset in mid-work", "reset while sums leave"]
ONLY_FIGS = ["error SELECT", "error STALE", "SELECT and STALE in one cycle", "wrong select without use",
             "every tap", "fewer rows in a group than there are entries"]
ONLY_MUX = ["every index"]


def points(block):
    """The cover points of an array."""
    return POINTS + {"figs_array": ONLY_FIGS, "mux_array": ONLY_MUX}.get(block, [])


@functools.cache
def coverage_of(block):
    """The coverage of this run, which is of one block."""
    return Coverage(block, points(block))


def signed(rng, bits, shape):
    """Integers of ``bits`` bits: over the full range, or corners."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    if rng.random() < 0.3:
        return rng.choice([low, -1, 0, 1, high], shape)
    return rng.integers(low, high + 1, shape)


@dataclasses.dataclass(frozen=True)
class Cycle:
    """A schedule cycle: ``load`` and ``feed``, a word; for each column its ``control`` and ``errors``.

    ``active``: 0 for a cycle between passes, which has no control.
    """

    load: int
    feed: int
    active: int = 0
    first: int = 0
    last: int = 0
    control: tuple = ()
    errors: tuple = ()


class Harness:
    """Gives each column its schedule cycles at its time, and compares sums, ``errors`` and ``drained``.

    ``stall``: how likely ``go`` is 0; ``take``: stall profile of ``results``; ``wait``: whether the last cycle of a
    pass waits for ``drained`` of the pass before, as the array asks for.
    Sits on the bench like a stream's driver.
    """

    name = "schedule"

    def __init__(self, dut, stall=0.0, take=None, wait=True):
        self.dut, self.ctx = dut, context()
        self.rng, self.random = self.ctx.rng, self.ctx.random
        block = find(self.ctx.block)
        self.config = block.config_class.from_dict(self.ctx.config)
        self.figs, self.golden = block.name == "figs_array", GOLDEN[block.name]
        self.sizes = Sizes.of(SimpleNamespace(array=block.name.removesuffix("_array"), **self.config.to_dict()))
        self.lag, self.coverage = block.component_class.entry_lag, coverage_of(block.name)
        self.corrupt = self.ctx.options.get("corrupt", 0)
        self.stall, self.take, self.wait = stall, take, wait
        self.reached = set()

    async def start(self):
        self.bench = await start(self.dut, timeout=1000)
        self.layout = self.ctx.layout("control")
        self.board = Scoreboard("results", lanes=self.config.sum_bits, bench=self.bench)
        self.monitor = TimedMonitor(self.dut, "results", stall=self.take, callback=self.board.check)
        self.bench.add(self)
        self.reset()

    # ---- work ----------------------------------------------------------------------------------------------------

    def program(self, cycles, wrong=0.0):
        """A random :class:`~golden.figs.program.Program`; ``wrong``: how likely a select is anything at all."""
        rng, sizes = self.rng, self.sizes
        group = 1 << int(rng.integers(sizes.slots.bit_length()))
        shape = (cycles, group, sizes.columns)
        advance = rng.random(cycles) < rng.choice([0.5, 1.0])
        weights = signed(rng, sizes.weight_bits, (*shape, sizes.beta))
        if sizes.array == "dense":
            return Program(group, advance, weights)
        if sizes.array == "mux":
            return Program(group, advance, weights, index=rng.integers(sizes.window, size=weights.shape))
        back = rng.integers(np.minimum(np.arange(cycles) + 1, sizes.depth)[:, None, None], size=shape)
        select = back * sizes.reach + rng.integers(sizes.reach, size=shape)
        anything = rng.random(shape) < wrong
        select[anything] = rng.integers(1 << sizes.select_bits, size=shape)[anything]
        return Program(group, advance, weights, use=rng.random(shape) < 0.8, select=select)

    def put(self, program, beats=None, pause=None):
        """Queue a pass after ``pause`` empty cycles: at least so many that its ``last`` comes a row of columns later.

        ``beats`` (cycles, values of a beat); one where ``advance`` is 0 is not taken.
        """
        rng, sizes, cycles = self.rng, self.sizes, program.cycles
        beats = signed(rng, sizes.activation_bits, (cycles, sizes.beat_values)) if beats is None else beats
        if self.fed is None:
            program.advance[0] = True
        self.hit("a value held", not program.advance[1:].all())
        self.hit("first value of a pass from before it", not program.advance[0])
        pause = int(rng.integers(3)) if pause is None else pause
        pause = max(pause, sizes.columns - cycles)
        self.hit("passes without a cycle between them", not pause)
        self.hit("a cycle between passes", pause)
        for _ in range(pause):
            load, beat = self.fed is None or rng.integers(2), signed(rng, sizes.activation_bits, sizes.beat_values)
            self.fed = beat if load else self.fed
            self.queue.append(Cycle(int(load), pack_lanes(beat, sizes.activation_bits)))
        fed = []
        for load, beat in zip(program.advance, beats):
            self.fed = beat if load else self.fed
            fed.append(self.fed)
        sums, errors = self.golden.run(sizes, np.array(fed), program)
        cycle_errors = self.errors_of(program)
        assert errors == functools.reduce(lambda one, other: one | other, cycle_errors.ravel().tolist(), Error(0))
        for n, beat in enumerate(beats):
            control = tuple({"active": 1, "first": int(n == 0), "last": int(n == cycles - 1),
                             "age": min(n, self.config.depth - 1) if self.figs else 0,
                             "entries": self.entries(program, n, column)} for column in range(sizes.columns))
            self.queue.append(Cycle(int(program.advance[n]), pack_lanes(beat, sizes.activation_bits), active=1,
                                    first=int(n == 0), last=int(n == cycles - 1), control=control,
                                    errors=tuple(cycle_errors[n])))
        words = sums[::-1].reshape(sizes.rows, -1).copy()
        words[-1, -1] += self.corrupt
        self.board.expect_many(pack_lanes(word, sizes.sum_bits) for word in words)
        self.cover(program, errors, cycle_errors)
        return sums

    def cover(self, program, errors, cycle_errors):
        sizes = self.sizes
        self.hit("pass of one cycle", program.cycles == 1)
        self.hit("pass longer than the way out", program.cycles > sizes.rows + sizes.columns)
        if sizes.array == "figs":
            for error in errors:
                self.hit(f"error {error.name}")
            self.hit("SELECT and STALE in one cycle", (cycle_errors == Error.SELECT | Error.STALE).any())
            self.hit("wrong select without use", (~program.use & (program.select >= sizes.taps)).any())
            self.hit("fewer rows in a group than there are entries", program.group < sizes.slots)
            self.reached |= set(program.select[program.use].tolist())
            self.hit("every tap", self.reached >= set(range(sizes.taps)))
        if sizes.array == "mux":
            self.reached |= set(program.index.ravel().tolist())
            self.hit("every index", len(self.reached) == sizes.window)

    def errors_of(self, program):
        """The :class:`Error` of each cycle and column."""
        found = np.full((program.cycles, self.sizes.columns), Error(0), object)
        if self.figs:
            unseen = np.zeros(self.sizes.taps, np.int64)
            for n, column in np.ndindex(found.shape):
                found[n, column] = figs_pe.operands(self.sizes, unseen, program.use[n, :, column],
                                                    program.select[n, :, column], n)[1]
        return found

    def entries(self, program, n, column):
        """The entries of a column in a cycle, a word."""
        sizes = self.sizes
        weights = program.weights[n, :, column].tolist()
        if sizes.array == "dense":
            return pack_lanes(weights[0], sizes.weight_bits)
        if sizes.array == "mux":
            lanes = zip(program.index[n, 0, column].tolist(), weights[0])
            mask = (1 << sizes.weight_bits) - 1
            return pack_lanes([index | (weight & mask) << sizes.index_bits for index, weight in lanes],
                              sizes.index_bits + sizes.weight_bits)
        words = [int(program.use[n, row, column]) | int(program.select[n, row, column]) << 1 |
                 pack_lanes(weights[row], sizes.weight_bits) << 1 + sizes.select_bits for row in range(program.group)]
        return pack_lanes([words[row % program.group] for row in range(sizes.slots)], sizes.entry_bits)

    # ---- on the bench --------------------------------------------------------------------------------------------

    def reset(self):
        """Forget the work that is queued and under way; nothing goes in the reset."""
        self.queue, self.fed = collections.deque(), None
        self.under_way = collections.deque([Cycle(0, 0)] * (self.lag + self.config.columns))
        self.busy, self.left, self.feeds = False, self.config.rows, 0
        self.shown = self.coming = Error(0)
        self.times = []
        self.dut.go.value = 0

    def tick(self, cycle):
        """Check what is to be seen besides the sums, then set the inputs of the next cycle."""
        dut, columns = self.dut, self.config.columns
        left = int(dut.results__valid.value) and int(dut.results__ready.value)
        self.hit("sums not taken", int(dut.results__valid.value) and not left)
        self.left -= left
        drained = int(dut.drained.value)
        assert drained == (self.left == 0), f"drained = {drained} with {self.left} words of a pass to come"
        if drained:
            self.busy, self.left = False, self.config.rows
        if self.figs:
            got = Error(int(dut.errors.value))
            assert got == self.shown, f"errors: expected {self.shown!r}, got {got!r} in cycle {cycle}"
            self.shown, self.coming = self.coming, Error(0)
        following = self.queue[0] if self.queue else Cycle(0, self.random.getrandbits(len(dut.feed)))
        coming = [following, *self.under_way]
        waits = self.wait and self.busy and coming[self.lag].last
        self.hit("a pass waits for the one before", waits)
        go = not waits and self.random.random() >= self.stall
        dut.go.value = int(go)
        if not go:
            self.hit("go stalled in a pass", coming[self.lag].active and not coming[self.lag].first)
            dut.load.value, dut.feed.value = self.random.getrandbits(1), self.random.getrandbits(len(dut.feed))
            dut.control.value = self.random.getrandbits(len(dut.control))
            return False
        if self.queue:
            self.queue.popleft()
        self.under_way.appendleft(following)
        self.under_way.pop()
        dut.load.value, dut.feed.value = following.load, following.feed
        moved, word = False, {}
        for column in range(columns):
            now = self.under_way[self.lag + column]
            if now.active:
                moved = True
                word |= {f"{column}.{name}": value for name, value in now.control[column].items()}
                self.coming |= now.errors[column]
            else:
                word |= {f"{column}.{name}": self.random.getrandbits(width) if name != "active" and width else 0
                         for name, width in self.widths.items()}
        self.busy |= bool(self.under_way[self.lag].last)
        if self.under_way[self.lag + columns - 1].last:
            self.times.append(cycle + 1)
        dut.control.value = pack(self.layout, word)
        return moved

    @functools.cached_property
    def widths(self):
        """Widths of the fields of a column's control."""
        return {name.removeprefix("0."): width for name, (_, width, _) in self.layout.items() if name.startswith("0.")}

    async def drain(self):
        """Wait until every pass has ended."""
        while self.queue or any(cycle.active for cycle in self.under_way):
            await self.bench.cycles(1)

    def finish(self):
        """End of test: the board looks whether sums are missing."""

    def status(self):
        return f"{len(self.queue)} schedule cycles to come, " + ("waiting for drained" if self.busy else "not waiting")

    async def settle(self):
        """Wait for all sums."""
        while self.board.pending():
            await self.bench.cycles(1)

    async def end(self):
        await self.settle()
        await self.bench.finish()

    def hit(self, point, reached=True):
        if reached:
            self.coverage.hit(point)
