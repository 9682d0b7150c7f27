"""What the tests of the Executor's element share: the harness that drives and compares chunks, cover points."""

import numpy as np
from cocotb.triggers import FallingEdge

from golden.duet import executor_pe as golden
from hw.duet.executor_pe import ExecutorPeConfig
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage
from sim.stream import pack

POINTS = [
    "all tags", "no tag", "one tag", "first instruction only", "last instruction only", "chunk without a bubble",
    "clear", "sums go on", "same output in a row", "output of the one before the last", "bank loaded in work",
    "untouched sum", "least times least", "greatest product", "most negative product", "reset in mid-work",
    "slot 3", "last weight line", "some words of a slot",
]
coverage = Coverage("executor_pe", POINTS)
CORNERS = (0, 1, -1, 32767, -32768)


class Harness:
    """Drives one element, a chunk after another, and compares every sum and the number of cycles.

    Works at falling edges: what it reads are the outputs of the cycle whose inputs it sets.
    """

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng = self.ctx.rng
        self.config = ExecutorPeConfig.from_dict(self.ctx.config)
        self.corrupt = self.ctx.options.get("corrupt", False)
        config = self.config
        self.inputs = np.zeros((2, golden.SLOTS * config.segment), dtype=np.int64)
        self.weights = np.zeros((2, config.weight_lines * config.segment), dtype=np.int64)
        self.issued, self.done = 0, []

    async def start(self):
        self.bench = await start(self.dut, timeout=None)
        await FallingEdge(self.dut.clk)

    def set(self, **values):
        for name, value in values.items():
            getattr(self.dut, name).value = value

    async def cycle(self):
        """On to the next cycle; counts those that issue an instruction, and the chunks that end."""
        self.issued += int(self.dut.issuing.value)
        if int(self.dut.done.value):
            self.done.append(int(self.dut.done_bank.value))
        await FallingEdge(self.dut.clk)

    def random_program(self):
        config, rng = self.config, self.rng
        n = config.lut_entries
        program = np.stack([rng.integers(golden.SLOTS * config.segment, size=n),
                            rng.integers(config.weight_lines * config.segment, size=n),
                            rng.integers(config.segment, size=n)], axis=1)
        # Outputs that come again at once, and after one other.
        program[1::4, 2] = program[::4, 2][:len(program[1::4])]
        program[2::4, 2] = program[::4, 2][:len(program[2::4])]
        return program

    async def load_program(self, program):
        self.program = program
        layout, segment = self.ctx.layout("program_write"), self.config.segment
        for address, (i, w, o) in enumerate(program.tolist()):
            item = {"enable": 1, "address": address, "entry.i.slot": i // segment, "entry.i.word": i % segment,
                    "entry.w.line": w // segment, "entry.w.word": w % segment, "entry.o": o}
            self.set(program_write=pack(layout, item))
            await self.cycle()
        self.set(program_write=0)

    def random_words(self, count):
        if self.rng.random() < 0.3:
            return self.rng.choice(CORNERS, count)
        return self.rng.integers(-32768, 32768, count)

    async def load_bank(self, bank, gaps=0.3):
        """New words in a bank, in random order, with pauses; inputs in one or two parts."""
        config, rng = self.config, self.rng
        layout, segment = self.ctx.layout("load"), config.segment
        parts = []
        for slot in range(golden.SLOTS):
            mask = rng.random(segment) < rng.choice([0.5, 1.1])
            parts += [("input", slot, mask), ("input", slot, ~mask)]
            if not mask.all():
                coverage.hit("some words of a slot")
        parts += [("weight", line, np.ones(segment, bool)) for line in range(config.weight_lines)]
        for index in rng.permutation(len(parts)):
            kind, line, mask = parts[index]
            words = self.random_words(segment)
            buffer = self.inputs if kind == "input" else self.weights
            part = buffer[bank, line * segment:(line + 1) * segment]
            part[mask] = words[mask]
            item = dict.fromkeys(layout, 0) | {
                f"{kind}_enable": 1, "bank": bank, "slot" if kind == "input" else "line": line,
                # Weights are written whole, whatever the mask.
                "mask": self._bits(mask if kind == "input" else rng.random(segment) < 0.5),
                "data": sum((int(word) & 0xffff) << 16 * index for index, word in enumerate(words))}
            self.set(load=pack(layout, item))
            await self.cycle()
            while rng.random() < gaps:
                self.set(load=pack(layout, item | {f"{kind}_enable": 0, "data": 0}))
                await self.cycle()
        self.set(load=0)

    @staticmethod
    def _bits(mask):
        return sum(int(bit) << index for index, bit in enumerate(mask))

    def random_tags(self):
        n, rng = self.config.lut_entries, self.rng
        kind = rng.integers(8)
        if kind < 4:
            only = np.zeros(n, bool)
            picks = {0: [], 1: [0], 2: [n - 1], 3: [int(rng.integers(n))]}[int(kind)]
            only[picks] = True
            return only
        return rng.random(n) < rng.choice([0.05, 0.3, 0.8, 1.1])

    async def until_ready(self):
        while not int(self.dut.ready.value):
            await self.cycle()

    async def until_done(self, chunks):
        """Wait for the end of this many chunks since ``done`` was emptied."""
        while len(self.done) < chunks:
            await self.cycle()

    async def until_idle(self):
        while not int(self.dut.idle.value):
            await self.cycle()

    async def begin(self, bank, tags, clear, sums):
        """A start in this cycle; returns the sums it leads to."""
        self.set(start=1, start_bank=bank, tags=self._bits(tags), clear=int(clear))
        self.cover(bank, tags, clear)
        await self.cycle()
        # Without start they mean nothing.
        self.set(start=0, start_bank=int(self.rng.integers(2)), tags=self._bits(self.random_tags()),
                 clear=int(self.rng.integers(2)))
        return golden.macs(self.inputs[bank], self.weights[bank], self.program, tags, None if clear else sums,
                           acc_bits=self.config.acc_bits)

    def cover(self, bank, tags, clear):
        n, order = len(tags), golden.issue_order(tags)
        i, w, o = self.program[order].T
        segment = self.config.segment
        products = self.inputs[bank][i] * self.weights[bank][w]
        for point, reached in (
                ("all tags", tags.all()), ("no tag", not tags.any()), ("one tag", len(order) == 1),
                ("first instruction only", order.tolist() == [0]),
                ("last instruction only", order.tolist() == [n - 1]), ("clear", clear), ("sums go on", not clear),
                ("same output in a row", (o[1:] == o[:-1]).any()),
                ("output of the one before the last", ((o[2:] == o[:-2]) & (o[1:-1] != o[:-2])).any()),
                ("least times least", (products == 1 << 30).any()),
                ("greatest product", (products == 32767 * 32767).any()),
                ("most negative product", (products == -32768 * 32767).any()),
                ("slot 3", (i >= 3 * segment).any()),
                ("last weight line", (w >= (self.config.weight_lines - 1) * segment).any())):
            if reached:
                coverage.hit(point)

    async def check(self, sums):
        """Read all sums, and one more cycle without a read, and compare."""
        await self.until_idle()
        expected = [int(value) for value in sums]
        if self.corrupt:
            expected[-1] ^= 1
        got = []
        for index in range(self.config.segment):
            self.set(psum_read=1, psum_index=index)
            await self.cycle()
            got.append(self.dut.psum.value.to_signed())
        self.set(psum_read=0)
        await self.cycle()
        assert int(self.dut.psum.value) == 0, "a sum is shown that was not read"
        assert got == expected, f"sums: expected {expected}, got {got}"
