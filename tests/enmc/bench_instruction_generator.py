"""What the InstructionGenerator's tests share: candidates in, steps back into groups, cover points."""

import collections
import dataclasses

from golden.enmc.instruction_generator import (LAST_ADDRESS, CandidateOp, CandidateSettings, CandidateStep,
                                               InstructionGenerator, group_steps)
from hw.enmc.instruction_generator import InstructionGeneratorConfig
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage
from sim.timed import TimedDriver, TimedMonitor

POINTS = [
    *(f"group of {count}" for count in (1, 2, 3, 4)), *(f"item {item}" for item in range(4)), "row of one burst",
    "row of whole tiles", "ragged last tile", "longest row", "row address too high", "feature address too high",
    "range", "range beside candidates", "empty range", "queue full", "flush of nothing", "flush of all items",
    "items take turns", "reset in mid-work",
]
coverage = Coverage("instruction_generator", POINTS)

#: Fields that an op uses.
_USED = {CandidateOp.LOAD_FEATURE: ("address", "count", "slot", "last", "item", "classes"),
         CandidateOp.LOAD_ROW: ("address", "count", "slot")}


def seen(fields):
    """The :class:`CandidateStep` that a payload says, without the fields that its op does not use."""
    op = CandidateOp(fields["op"])
    classes = tuple(fields[f"classes.{index}"] for index in range(fields["slot"] + 1))
    values = {**fields, "last": bool(fields["last"]), "classes": classes}
    return CandidateStep(op, **{name: values[name] for name in _USED[op]})


class Harness:
    """Sends candidates and ranges; every group that comes out must be the next one of its item, with its steps."""

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng, self.config = self.ctx.rng, InstructionGeneratorConfig.from_dict(self.ctx.config)
        self.corrupt = self.ctx.options.get("corrupt", False)
        self.reset()

    def reset(self):
        self.model = InstructionGenerator()
        self.expected = [collections.deque() for _ in range(4)]
        self.steps, self.tile, self.order = [], None, []

    async def start(self, drive=None, ranges=None, take=None):
        self.bench = await start(self.dut, timeout=1000)
        self.candidates = TimedDriver(self.dut, "candidates", stall=drive, layout=self.ctx.layout("candidates"))
        self.ranges = TimedDriver(self.dut, "ranges", stall=ranges, layout=self.ctx.layout("ranges"))
        self.monitor = TimedMonitor(self.dut, "steps", stall=take, layout=self.ctx.layout("steps"),
                                    callback=self._check)

    def _check(self, fields):
        self.steps.append(seen(fields))
        last = self.steps[-1]
        if last.op is CandidateOp.LOAD_FEATURE:
            self.tile = last
        tile = self.tile
        if last is tile or not tile.last or last.slot != tile.slot:
            return
        assert self.expected[tile.item], f"a group of item {tile.item} that nobody expects: {tile}"
        group = self.expected[tile.item].popleft()
        steps = group_steps(group, self.settings, self.config.tile_words)
        for index, (got, wanted) in enumerate(zip(self.steps, steps)):
            assert got == wanted, f"step {index}: {got} instead of {wanted}"
        assert len(self.steps) == len(steps), f"{len(self.steps)} steps instead of {len(steps)}"
        self.steps = []
        self.order.append(group.item)
        coverage.hit(f"group of {len(group.classes)}")
        coverage.hit(f"item {group.item}")
        if len(self.order) > 3 and len(set(self.order[-4:])) == 4:
            coverage.hit("items take turns")

    def set_settings(self, **changes):
        """Random registers, with ``changes``; while everything is empty."""
        rng, tile = self.rng, self.config.tile_words
        values = dict(row_base=int(rng.integers(1 << 30)),
                      row_bursts=int(rng.choice([1, 2, tile, tile + 1, 2 * tile, 2 * tile + 3])),
                      feature_base=int(rng.integers(1 << 29))) | changes
        self.settings = CandidateSettings(**values)
        word = 0
        for name, (offset, _, _) in self.ctx.layout("settings").items():
            word |= dataclasses.asdict(self.settings)[name] << offset
        self.dut.settings.value = word
        self.hit("row of one burst", self.settings.row_bursts == 1)
        self.hit("row of whole tiles", self.settings.row_bursts % tile == 0)
        self.hit("ragged last tile", self.settings.row_bursts > tile and self.settings.row_bursts % tile)

    @staticmethod
    def hit(point, reached=True):
        if reached:
            coverage.hit(point)

    def _expect(self, groups):
        for group in groups:
            if self.corrupt:
                group = dataclasses.replace(group, classes=(group.classes[0] ^ 1, *group.classes[1:]))
            self.expected[group.item].append(group)
            top = max(step.address for step in group_steps(group, self.settings, self.config.tile_words))
            self.hit("row address too high", top == LAST_ADDRESS)
            self.hit("feature address too high", self.settings.feature_base + group.item * self.settings.row_bursts
                     + self.settings.row_bursts > 1 << 30)

    def put(self, item, class_index):
        self.candidates.put({"item": item, "class_index": class_index})
        group = self.model.put(item, class_index)
        self._expect([group] if group else [])

    def put_range(self, item, first_class, count):
        self.ranges.put({"item": item, "first_class": first_class, "count": count})
        self._expect(self.model.put_range(item, first_class, count))
        coverage.hit("range" if count else "empty range")

    def random_class(self):
        """A class whose row is below 2^30, or (rarely) any."""
        room = ((1 << 30) - self.settings.row_base) // self.settings.row_bursts
        return int(self.rng.integers(1 << 32 if self.rng.random() < 0.1 else max(1, min(room, 1 << 32))))

    async def settle(self):
        """Wait until nothing but remainders is inside."""
        while not (self.candidates.idle() and self.ranges.idle()) or any(self.expected) or self.steps:
            await self.bench.cycles(1)

    async def flush(self):
        """Flush as a BARRIER does, once all candidates are in; wait until it is empty."""
        while not (self.candidates.idle() and self.ranges.idle()):
            await self.bench.cycles(1)
        await self.bench.cycles(1)
        left = self.model.flush()
        self.hit("flush of nothing", not left)
        self.hit("flush of all items", len(left) == 4)
        self._expect(left)
        self.dut.flush.value = 1
        await self.bench.cycles(2)
        while not int(self.dut.empty.value):
            await self.bench.cycles(1)
        self.dut.flush.value = 0
        assert not any(self.expected) and not self.steps, "empty too early"

    async def finish(self):
        await self.flush()
        await self.bench.finish()
