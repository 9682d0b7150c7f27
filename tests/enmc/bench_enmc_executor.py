"""What the EnmcExecutor's tests share: a memory that answers its reads, candidates, instructions, cover points."""

import collections
import dataclasses

import numpy as np

from golden.enmc import enmc_executor as golden
from golden.enmc.enmc_executor import Buffer
from golden.enmc.enmc_executor_timing import ExecutorTiming
from golden.enmc.instruction_generator import (LAST_ADDRESS, CandidateOp, CandidateSettings, CandidateStep, Group,
                                               group_steps)
from hw.enmc.enmc_executor import EnmcExecutorConfig
from hw.enmc.enmc_types import ExecutorOp
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage
from sim.scoreboard import Scoreboard
from sim.stream import StallProfile, _reader as reader, unpack
from sim.timed import TimedDriver, TimedMonitor

from .clear import clear_unit

POINTS = [
    *(f"group of {count}" for count in (1, 2, 3, 4)), "row of one burst", "ragged last tile", "row of several tiles",
    "address beyond the last one", "no room for a word", "results held up", "reset in mid-work",
    "candidates between instructions",
    "buffers read as zero after candidates", "NaN result", "infinite result", "subnormal in a row", "clear",
    *(f"{op} of {first.name} and {second.name}" for op in ("ADD", "MUL") for first in Buffer for second in Buffer),
    "MUL_ADD", "SIGMOID", *(f"SOFTMAX phase {phase}, {what}" for phase in (0, 1) for what in (
        "no number", "part of a word", "whole words", "all")),
]
coverage = Coverage("enmc_executor", POINTS)

SPECIAL = np.array([0, 1 << 31, 1, 0x8000_0001, 0x7F_FFFF, 0x80_0000, 0x7F7F_FFFF, 0x7F80_0000, 0xFF80_0000,
                    0x7FC0_0000, 0x3F80_0000, 0xBF80_0000], np.uint32)


def packed(numbers):
    """The integer of a word: the first number in the low bits."""
    return int.from_bytes(np.ascontiguousarray(numbers, dtype="<u4").tobytes(), "little")


def unpacked(word):
    """The 16 patterns of a word."""
    return np.frombuffer(int(word).to_bytes(64, "little"), "<u4").astype(np.uint32)


class Memory:
    """Answers reads in order, each at least ``latency`` cycles after its request, at most one a cycle.

    ``stall``: a :class:`StallProfile` of pauses. ``arrivals``: the cycle of each burst. Words that were never written
    are made from their address.
    """

    def __init__(self, dut, bench, latency, stall=None):
        self.dut, self.bench, self.latency, self.stall = dut, bench, latency, stall or StallProfile.none()
        self.words, self.name = {}, "memory"
        self.reset()

    def reset(self):
        self.waiting, self.arrivals = collections.deque(), []
        self.dut.responses.value = 0

    def request(self, address):
        self.waiting.append((self.bench.cycle + self.latency, address))

    def tick(self, cycle):
        if not self.waiting or self.waiting[0][0] > cycle + 1 or self.stall.step(True):
            self.dut.responses.value = 0x5A5A << 1  # data without valid
            return False
        address = self.waiting.popleft()[1]
        self.dut.responses.value = self.words.get(address, address * 0x9E37_79B9) << 1 | 1
        self.arrivals.append(cycle + 1)
        return True

    async def drain(self):
        """Nothing to wait for."""

    def finish(self):
        assert not self.waiting, "reads are left"

    def status(self):
        return f"{len(self.waiting)} reads wait"


class Lockstep:
    """Every cycle, as long as there are no instructions: handshakes, addresses, results, ``busy`` must be the cycle
    model's. ``late``: the model has a stage more, for the test that the comparison fails."""

    name = "lockstep"

    def __init__(self, harness, late=False):
        self.h = harness
        self._late = late
        names = ("steps__valid", "steps__ready", "steps__payload", "responses", "requests__valid", "requests__ready",
                 "requests__payload", "results__valid", "results__ready", "results__payload", "busy")
        self._read = {name: reader(getattr(harness.dut, name)) for name in names}
        self._layouts = {name: harness.ctx.layout(name) for name in ("steps", "results")}
        self.reset()
        harness.bench.add(self)

    def reset(self):
        config = self.h.config
        self.model = ExecutorTiming(tile_words=config.tile_words, fma_stages=config.fma_stages + self._late)

    async def drain(self):
        """Nothing to wait for."""

    def finish(self):
        """Nothing to check."""

    def status(self):
        return "lockstep"

    def _item(self, name):
        if not self._read[f"{name}__valid"]():
            return None
        return unpack(self._layouts[name], self._read[f"{name}__payload"]())

    def tick(self, cycle):
        read, step, result = self._read, self._item("steps"), self._item("results")
        if step is not None:
            step = CandidateStep(CandidateOp(step["op"]), address=step["address"], count=step["count"],
                                 slot=step["slot"], last=bool(step["last"]), item=step["item"],
                                 classes=tuple(step[f"classes.{index}"] for index in range(4)))
        ready = step is not None and bool(read["steps__ready"]())
        request = read["requests__payload"]() if read["requests__valid"]() else None
        got = ready, request, result and (result["item"], result["class_index"]), bool(read["busy"]())
        taken = bool(read["requests__ready"]())
        shown = self.model.step(step, bool(read["responses"]() & 1), request=taken,
                                result=bool(read["results__ready"]()))
        assert got == shown[:4], f"cycle {self.model.cycle - 1} since reset: {got}, expected {shown}"
        # A micro-instruction whose next word is not asked for, although a request could be offered.
        self.h.hit("no room for a word", step is not None and self.model.request is None)
        return False


class Harness:
    """An EnmcExecutor between a memory, drivers of both kinds of work, and the golden model."""

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng, self.config = self.ctx.rng, EnmcExecutorConfig.from_dict(self.ctx.config)
        self.corrupt = self.ctx.options.get("corrupt", False)
        self.model = golden.EnmcExecutor()

    async def start(self, steps=None, take=None, ask=None, latency=3, pauses=None, lockstep=True):
        """``steps``, ``take``, ``ask``, ``pauses``: stalls of micro-instructions, results, requests, the memory, whose
        latency is ``latency``; ``lockstep``: there are no instructions."""
        self.bench = await start(self.dut, timeout=3000)
        self.board = Scoreboard("results", bench=self.bench)
        self.steps = TimedDriver(self.dut, "steps", stall=steps, layout=self.ctx.layout("steps"))
        self.jobs = TimedDriver(self.dut, "jobs", layout=self.ctx.layout("jobs"))
        self.memory = Memory(self.dut, self.bench, latency, pauses)
        self.requests = TimedMonitor(self.dut, "requests", stall=ask, callback=self.memory.request)
        self.results = TimedMonitor(self.dut, "results", stall=take, layout=self.ctx.layout("results"),
                                    callback=self._check)
        self.set_maximum([0] * 4)
        self.bench.add(self.memory)  # after the requests, so that it sees those of the same cycle
        if lockstep:
            Lockstep(self, self.ctx.options.get("late", False))

    def _check(self, result):
        self.board.check(result)
        size = result["value"] & 0x7FFF_FFFF
        self.hit("NaN result", size > 0x7F80_0000)
        self.hit("infinite result", size == 0x7F80_0000)

    @staticmethod
    def hit(point, reached=True):
        if reached:
            coverage.hit(point)

    def numbers(self, shape, special=0.0):
        """Random patterns: of moderate size, a share of special ones among them."""
        numbers = self.rng.standard_normal(shape).astype(np.float32)
        numbers *= np.float32(2.0) ** self.rng.integers(-6, 7, shape).astype(np.float32)
        corner = self.rng.random(shape) < special
        return np.where(corner, self.rng.choice(SPECIAL, shape), numbers.view(np.uint32)).astype(np.uint32)

    # -- candidates

    def put_group(self, count, row_bursts, special=0.0, beyond=False):
        """Queue the micro-instructions of a group, its data in the memory, and expect its results. ``beyond``: rows
        and features reach beyond the last address."""
        rng, tile = self.rng, self.config.tile_words
        settings = CandidateSettings(row_base=int(rng.integers(1 << 29)), row_bursts=row_bursts,
                                     feature_base=LAST_ADDRESS - 2 if beyond else int(rng.integers(1 << 29)))
        group = Group(int(rng.integers(4)), tuple(int(c) for c in rng.choice(1 << 20, count, replace=False)))
        if beyond:
            settings = dataclasses.replace(
                settings, row_base=LAST_ADDRESS - min(group.classes) * row_bursts - row_bursts // 2)
        bases = [settings.row_base + number * row_bursts for number in group.classes]
        bases.append(settings.feature_base + group.item * row_bursts)
        places = [[min(base + index, LAST_ADDRESS) for index in range(row_bursts)] for base in bases]
        fresh = self.numbers((count + 1, row_bursts, 16), special)
        for row, numbers in zip(places, fresh):
            self.memory.words.update(zip(row, map(packed, numbers)))
        data = np.array([[unpacked(self.memory.words[place]) for place in row] for row in places])
        rows = data[:count].reshape(count, -1)
        values = self.model.candidates(rows, data[count].ravel())
        # Whose results they are is said by the last LOAD_FEATURE alone.
        for step in group_steps(group, settings, tile):
            item, classes = int(rng.integers(4)), [int(c) for c in rng.integers(1 << 32, size=4)]
            if step.last:
                expected = item, classes
            fields = dataclasses.asdict(step) | {
                "op": step.op.value, "item": item,
                "last": int(step.last) if step.op == CandidateOp.LOAD_FEATURE else int(rng.integers(2))}
            del fields["classes"]
            self.steps.put(fields | {f"classes.{index}": number for index, number in enumerate(classes)})
        if self.corrupt:
            values[-1] ^= 1
        item, classes = expected
        self.board.expect_many({"item": item, "class_index": number, "value": int(value)}
                               for number, value in zip(classes, values))
        self.hit(f"group of {count}")
        self.hit("row of one burst", row_bursts == 1)
        self.hit("ragged last tile", row_bursts % tile and row_bursts > tile)
        self.hit("row of several tiles", row_bursts > tile)
        self.hit("address beyond the last one", beyond)
        self.hit("subnormal in a row", ((rows & 0x7F80_0000) == 0).any() and ((rows & 0x7F_FFFF) != 0).any())

    def random_group(self, special=0.0, beyond=False):
        tile = self.config.tile_words
        self.put_group(int(self.rng.integers(1, 5)),
                       int(self.rng.choice([1, 2, 3, tile - 1, tile, tile + 1, tile + 3, 2 * tile, 2 * tile + 3])),
                       special, beyond)

    def random_groups(self, count):
        for _ in range(count):
            self.random_group(float(self.rng.choice([0, 0, 0.02, 0.3])))

    # -- instructions

    async def settle(self):
        """Wait until everything queued is worked on; a hang ends the wait."""
        while not (self.steps.idle() and self.jobs.idle()):
            await self.bench.cycles(1)
        await self.bench.cycles(2)  # what was taken is seen as busy
        while int(self.dut.busy.value) or self.board.pending():
            await self.bench.cycles(1)

    async def write(self, buffer, index, numbers):
        self.model.write(buffer, index, numbers)
        dut = self.dut
        dut.access__write_enable.value = 1
        dut.access__write_buffer.value, dut.access__write_index.value = int(buffer), index
        dut.access__write_data.value = packed(numbers)
        await self.bench.cycles(1)
        dut.access__write_enable.value = 0
        dut.access__write_data.value = 0xDEAD

    async def fill(self, special=0.05, buffers=tuple(Buffer)):
        for buffer in buffers:
            for index in range(4):
                await self.write(buffer, index, self.numbers(16, special))

    async def check_buffers(self):
        """Read all words and SUM, and compare."""
        places = [(buffer, index) for buffer in Buffer for index in range(4)]
        for position in range(len(places) + 1):
            if position < len(places):
                buffer, index = places[position]
                self.dut.access__read_buffer.value, self.dut.access__read_index.value = int(buffer), index
            await self.bench.cycles(1)
            if position:
                expected = self.model.read(*places[position - 1])
                got = unpacked(self.dut.access__read_data.value)
                if self.corrupt and position == 1:
                    expected[3] ^= 1
                assert (got == expected).all(), (
                    f"{places[position - 1]}: lane {int(np.argmax(got != expected))}: {got} instead of {expected}")
        assert int(self.dut.sum.value) == self.model.sum, "SUM"

    def put_job(self, op, buf1=Buffer.FEATURE, buf2=Buffer.WEIGHT, phase=0, item=0, count=0):
        """Queue an instruction, and do the same to the model."""
        self.jobs.put(dict(op=ExecutorOp[op].value, buf1=int(buf1), buf2=int(buf2), phase=phase, item=item,
                           count=count))
        model = self.model
        if op == "ADD":
            model.add(buf1, buf2)
        elif op == "MUL":
            model.multiply(buf1, buf2)
        elif op == "MUL_ADD":
            model.multiply_add(buf1, buf2)
        elif op == "SIGMOID":
            model.sigmoid()
        elif phase:
            model.softmax_scale(self.maximum[item], count)
        else:
            model.softmax_sum(self.maximum[item], count)
        if op in ("ADD", "MUL"):
            coverage.hit(f"{op} of {Buffer(buf1).name} and {Buffer(buf2).name}")
        elif op == "SOFTMAX":
            what = "no number" if count == 0 else "all" if count == 64 else "part of a word" if count % 16 else \
                "whole words"
            coverage.hit(f"SOFTMAX phase {phase}, {what}")
        else:
            coverage.hit(op)

    def set_maximum(self, values):
        self.maximum = [int(value) for value in values]
        self.dut.maximum.value = sum(value << 32 * item for item, value in enumerate(self.maximum))

    async def set_sum(self, value):
        self.model.sum = int(value)
        self.dut.sum_write.value = int(value) << 1 | 1
        await self.bench.cycles(1)
        self.dut.sum_write.value = 0

    async def clear(self):
        await clear_unit(self)
        coverage.hit("clear")

    async def finish(self):
        await self.settle()
        await self.bench.finish()
