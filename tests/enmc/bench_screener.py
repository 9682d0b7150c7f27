"""What the Screener's tests share: memory, harness that runs jobs on design and model, random work, cover points."""

import collections

import numpy as np

from golden.enmc.layout import BURST_BYTES, GROUP_CLASSES
from golden.enmc.screener import Buffer, Screener, ScreenerSettings, item_entries
from hw.enmc.enmc_types import ScreenerOp
from hw.enmc.screener import ScreenerConfig
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage
from sim.scoreboard import Scoreboard
from sim.stream import StallProfile, StreamDriver, StreamMonitor, pack
from sim.timed import TimedMonitor

from .clear import clear_unit
from .lockstep_screener import Lockstep

POINTS = [
    *(f"SCREEN of {items} items" for items in range(1, 5)), "SCREEN of one group", "SCREEN of all groups",
    "SCREEN of one chunk", "SCREEN of 32 chunks", "SCREEN after SCREEN", "three SCREENs and FILTERs in a row",
    "score saturates high", "score saturates low", "one bit above 32", "bias saturates", "least and greatest sum",
    "scale 0", "shift 0", "shift 47", "ragged classes", "no class exists",
    "items do not fill the buffer", "first class at the end",
    "no candidate", "all are candidates", "score equals threshold", "score 0", "rounded to even", "FILTER twice",
    "FILTER of a loaded buffer", "MUL_ADD wraps", "MUL_ADD after SCREEN", "MUL_ADD of loaded weights", "ADD", "MUL",
    "ADD after SCREEN", "clear", "reset in mid-work", "weight buffer full", "FILTER beside SCREEN",
]
coverage = Coverage("screener", POINTS)


def hit(point, reached=True):
    if reached:
        coverage.hit(point)


class Dram:
    """Answers requests in order from ``bursts``, address -> integer.

    ``latency()``: cycles from request to burst, at least 1; ``stall`` of the requests. ``requested``: cycles of the
    transfers.
    """

    name = "DRAM"

    def __init__(self, dut, bench, latency, stall=None):
        self.dut, self.bench, self.latency = dut, bench, latency
        self.stall = stall or StallProfile.none()
        self.bursts = {}
        self.requested = []
        self.reset()
        bench.add(self)

    def tick(self, cycle):
        moved = False
        if int(self.dut.requests__valid.value) and self.ready:
            address = int(self.dut.requests__payload.value)
            earliest = self.queue[-1][0] + 1 if self.queue else 0
            self.queue.append((max(cycle + self.latency(), earliest), self.bursts[address]))
            self.requested.append(cycle)
            moved = True
        self.ready = not self.stall.step(bool(int(self.dut.requests__valid.value)))
        self.dut.requests__ready.value = int(self.ready)
        if self.queue and self.queue[0][0] <= cycle + 1:
            _, burst = self.queue.popleft()
            self.dut.responses.value = burst << 1 | 1
            moved = True
        else:
            # Nonsense that must not be looked at.
            self.dut.responses.value = (cycle * 0x9E3779B97F4A7C15 & (1 << 64) - 1) << 200
        return moved

    def reset(self):
        self.queue = collections.deque()
        self.ready = False
        self.dut.requests__ready.value = 0
        self.dut.responses.value = 0

    async def drain(self):
        """Nothing to wait for: the jobs' results tell."""

    def finish(self):
        assert not self.queue, f"{len(self.queue)} bursts were asked for and not waited for"

    def status(self):
        return f"{len(self.queue)} bursts on the way, {len(self.requested)} asked for"


class Harness:
    """Queues jobs, and what the golden model says they give; writes and reads the buffers while nothing runs."""

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng = self.ctx.rng
        self.config = ScreenerConfig.from_dict(self.ctx.config)
        self.corrupt = self.ctx.options.get("corrupt", False)
        self.model = Screener()
        self.recent = []

    async def start(self, *, latency=lambda: 10, requests=None, jobs=None, results=None, indices=None):
        """Clock, reset, memory, driver, monitors; the others are stall profiles."""
        self.bench = await start(self.dut, timeout=3000)
        self.dram = Dram(self.dut, self.bench, latency, requests)
        layout = self.ctx.layout
        self.driver = StreamDriver(self.dut, "jobs", stall=jobs, layout=layout("jobs"))
        self.results = Scoreboard("results", lanes={"data": 32, "stored": 1, "valid_mask": 1}, bench=self.bench)
        self.indices = Scoreboard("indices", bench=self.bench)
        self.words = TimedMonitor(self.dut, "results", stall=results, layout=layout("results"),
                                  callback=self.results.check)
        StreamMonitor(self.dut, "indices", stall=indices, layout=layout("indices"), callback=self.indices.check)
        self.set(ScreenerSettings(classes=64))
        self.lockstep = Lockstep(self, lambda: hit("FILTER beside SCREEN"), self.ctx.options.get("deeper", 0))

    def set(self, settings):
        """Registers; nothing may run."""
        self.settings = settings
        values = {name: getattr(settings, name) for name in ("classes", "items", "chunks", "shift", "threshold")}
        values |= {f"scale.{index}": value for index, value in enumerate(settings.scale)}
        self.dut.settings.value = pack(self.ctx.layout("settings"), values)

    async def settle(self):
        """Wait until nothing is inside; a hang ends the wait."""
        await self.driver.drain()
        await self.bench.cycles(2)
        while int(self.dut.busy.value) or self.results.pending() or self.indices.pending():
            await self.bench.cycles(1)

    async def load(self, buffer, index, word):
        """Write a word of a buffer."""
        self.dut.buffers__write_enable.value = 1
        self.dut.buffers__write_buffer.value, self.dut.buffers__write_index.value = int(buffer), index
        self.dut.buffers__write_data.value = int.from_bytes(word.tobytes(), "little")
        await self.bench.cycles(1)
        self.dut.buffers__write_enable.value = 0
        self.model.load(buffer, index, word)

    async def compare_buffers(self):
        """All words of all buffers, and that another one reads as zero."""
        for buffer in [*Buffer, 2]:
            for index in range(4):
                self.dut.buffers__read_buffer.value, self.dut.buffers__read_index.value = int(buffer), index
                await self.bench.cycles(2)
                got = int(self.dut.buffers__read_data.value)
                word = self.model.word(buffer, index).tobytes() if buffer != 2 else b""
                wanted = int.from_bytes(word, "little")
                assert got == wanted, f"buffer {buffer}, word {index}: {got:#x}, not {wanted:#x}"

    async def clear(self):
        await clear_unit(self)
        hit("clear")

    def job(self, op, **fields):
        junk = {"address": int(self.rng.integers(1 << 30)), "groups": int(self.rng.integers(16)),
                "first_class": int(self.rng.integers(1 << 32))}
        self.driver.put({"op": ScreenerOp[op].value, **junk, **fields})
        self.recent = [*self.recent[-5:], op]

    def screen(self, bursts):
        """SCREEN of weights (groups, chunks + 1, 64), put anywhere in the memory."""
        groups = len(bursts)
        address = int(self.rng.integers((1 << 30) - bursts.shape[0] * bursts.shape[1]))
        for index, burst in enumerate(bursts.reshape(-1, BURST_BYTES)):
            self.dram.bursts[address + index] = int.from_bytes(burst.tobytes(), "little")
        hit("SCREEN after SCREEN", self.recent[-1:] == ["SCREEN"])
        self.job("SCREEN", address=address, groups=groups)
        hit("three SCREENs and FILTERs in a row", self.recent == ["SCREEN", "FILTER"] * 3 or
            self.recent == ["FILTER", "SCREEN"] * 3)
        self.model.screen(self.settings, bursts)
        hit(f"SCREEN of {self.settings.items} items")
        hit("SCREEN of one group", groups == 1)
        hit("SCREEN of all groups", groups * GROUP_CLASSES == item_entries(self.settings.items))
        hit("SCREEN of one chunk", self.settings.chunks == 1)
        hit("SCREEN of 32 chunks", self.settings.chunks == 32)
        hit("shift 0", self.settings.shift == 0)
        hit("shift 47", self.settings.shift == 47)
        used = self.model.psum[:groups * GROUP_CLASSES]
        hit("score saturates high", (used == (1 << 31) - 1).any())
        hit("score saturates low", (used == -(1 << 31)).any())

    def filter(self, first_class):
        """FILTER of the tile that begins with ``first_class``."""
        hit("FILTER twice", self.recent[-1:] == ["FILTER"])
        self.job("FILTER", first_class=first_class)
        settings, model = self.settings, self.model
        filtered = model.filter(settings, first_class)
        for word in range(4):
            part = slice(16 * word, 16 * word + 16)
            values = filtered.values[part].astype("<u4").tobytes()
            stored, valid = (sum(int(bit) << n for n, bit in enumerate(bits[part]))
                             for bits in (filtered.stored, filtered.valid))
            self.results.expect({"data": int.from_bytes(values, "little") ^ int(self.corrupt), "stored": stored,
                                 "valid_mask": valid, "word": word})
        self.indices.expect_many({"item": item, "class_index": number} for item, number in filtered.candidates)
        entries = filtered.valid & ~filtered.stored
        self.lockstep.filter(zip(np.flatnonzero(entries), filtered.candidates))
        hit("no candidate", not entries.any())
        hit("all are candidates", entries.all())
        hit("ragged classes", 0 < settings.classes - first_class < item_entries(settings.items))
        hit("no class exists", settings.classes <= first_class)
        hit("items do not fill the buffer", settings.items == 3)
        hit("first class at the end", first_class >= (1 << 32) - 64 and filtered.valid.any())
        hit("score equals threshold", (filtered.valid & (model.psum == settings.threshold)).any())
        hit("score 0", (filtered.valid & (model.psum == 0)).any())
        size = np.abs(model.psum)
        hit("rounded to even", ((size >= 1 << 24) & (size < 1 << 25) & (size & 1 == 1)).any())

    def alone(self, op):
        """MUL_ADD, ADD or MUL."""
        before = self.model.psum.copy()
        hit("ADD after SCREEN", op == "ADD" and "SCREEN" in self.recent[-2:])
        hit("MUL_ADD after SCREEN", op == "MUL_ADD" and "SCREEN" in self.recent[-2:])
        self.job(op)
        getattr(self.model, op.lower())()
        if op == "MUL_ADD":
            hit("MUL_ADD of loaded weights", (self.model.weight != 0).any())
            change = self.model.psum - before
            hit("MUL_ADD wraps", (np.abs(change) > 1 << 31).any())
        else:
            hit(op)

    # ---- random work

    def random_settings(self, items=None, chunks=None):
        rng = self.rng
        items = int(rng.integers(1, 5)) if items is None else items
        most = 32 // items
        if chunks is None:
            usual = [1, 2, 3, min(most, 7), int(rng.integers(1, most + 1)), most]
            chunks = int(rng.choice(usual, p=[.3, .2, .2, .1, .1, .1]))
        classes = int(rng.choice([0, 1, 40, 64, 100, (1 << 32) - 1]))
        scale = tuple(int(rng.choice([0, 1, 300, 65535, int(rng.integers(1 << 16))])) for _ in range(4))
        hit("scale 0", 0 in scale[:items])
        threshold = int(rng.choice([-(1 << 31), -1, 0, 1 << 12, 1 << 20, (1 << 31) - 1]))
        shift = int(rng.choice([0, 4, 12, 20, 47, int(rng.integers(48))]))
        return ScreenerSettings(classes=classes, items=items, chunks=chunks, scale=scale, shift=shift,
                                threshold=threshold)

    def random_bytes(self, *shape):
        """Words of random bytes, of one byte, or mostly zero."""
        rng = self.rng
        kind = rng.integers(5)
        if kind == 0:
            return np.full(shape, rng.choice([0x88, 0x77, 0x11, 0]), np.uint8)
        values = rng.integers(256, size=shape, dtype=np.uint8)
        return values * (rng.random(shape) < .1) if kind == 1 else values

    def random_bursts(self, groups=None):
        """Weights and parameters of groups for the present settings."""
        rng, settings = self.rng, self.settings
        most = item_entries(settings.items) // GROUP_CLASSES
        groups = int(rng.integers(1, most + 1)) if groups is None else groups
        bursts = self.random_bytes(groups, settings.chunks + 1, BURST_BYTES)
        parameters = bursts[:, -1].reshape(groups, GROUP_CLASSES, 8)
        kind = rng.integers(4)
        if kind == 0:
            parameters[..., :4] = rng.choice([0, 0xFF])
        elif kind == 1:
            parameters[..., 1:4] = 0
        parameters[..., 6:] = rng.integers(256)  # never looked at
        hit("bias saturates", (np.abs(parameters[..., :4].copy().view("<i4")) > 1 << 30).any())
        return bursts

    def random_first_class(self):
        rng, settings = self.rng, self.settings
        near = int(np.clip(settings.classes - rng.integers(-3, 70), 0, (1 << 32) - 1))
        return int(rng.choice([0, near, int(rng.integers(1 << 32))]))

    async def random_loads(self):
        """Words of the buffers; all of the feature buffer or none."""
        rng = self.rng
        if rng.random() < .7:
            for index in range(4):
                await self.load(Buffer.FEATURE, index, self.random_bytes(BURST_BYTES))
        if rng.random() < .5:
            await self.load(Buffer.WEIGHT, int(rng.integers(4)), self.random_bytes(BURST_BYTES))
        if rng.random() < .3:
            await self.load(Buffer.PSUM, int(rng.integers(4)), self.random_bytes(BURST_BYTES))
            self.recent = []

    def random_jobs(self, count):
        """Jobs one after the other, mostly SCREEN and FILTER in turn."""
        for _ in range(count):
            kind = self.rng.random()
            if kind < .7:
                self.screen(self.random_bursts())
                if kind < .6:
                    self.filter(self.random_first_class())
            elif kind < .8:
                hit("FILTER of a loaded buffer", not self.recent)
                self.filter(self.random_first_class())
            else:
                self.alone(str(self.rng.choice(["MUL_ADD", "MUL_ADD", "ADD", "MUL"])))
