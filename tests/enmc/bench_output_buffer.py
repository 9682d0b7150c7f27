"""What the OutputBuffer's tests share: words of results, accurate results, accesses, cover points."""

import numpy as np

from golden.enmc import output_buffer as golden
from golden.enmc.output_buffer import LANES, WORDS
from hw.enmc.isa_table import Buffer
from hw.enmc.output_buffer import OutputBufferConfig
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage
from sim.timed import TimedDriver

from .clear import clear_unit

POINTS = [
    *(f"{items} items" for items in (1, 2, 3, 4)), "no valid entry", "one valid entry", "all valid entries",
    "nothing to be stored", "accurate beside results", "accurate is the maximum", "zeros of both signs",
    "NaN is the maximum", "infinite maximum", "maximum written", "word written", "clear", "reset in mid-work",
]
coverage = Coverage("output_buffer", POINTS)
SPECIAL = np.array([0, 1 << 31, 1, 0x8000_0001, 0x7F7F_FFFF, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0000], np.uint32)


def packed(numbers):
    """The integer of a word: the first number in the low bits."""
    return int.from_bytes(np.ascontiguousarray(numbers, dtype="<u4").tobytes(), "little")


def mask(flags):
    """The integer of 16 flags."""
    return sum(int(flag) << index for index, flag in enumerate(flags))


class Harness:
    """Does the same to the OutputBuffer and to the model; :meth:`check` compares all that can be seen."""

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng, self.config = self.ctx.rng, OutputBufferConfig.from_dict(self.ctx.config)
        self.corrupt = self.ctx.options.get("corrupt", False)
        self.model = golden.OutputBuffer()

    async def start(self, stall=None):
        self.bench = await start(self.dut, timeout=1000)
        self.driver = TimedDriver(self.dut, "results", stall=stall, layout=self.ctx.layout("results"))
        self.set_items(1)

    def set_items(self, items):
        self.items = items
        self.dut.items.value = items
        coverage.hit(f"{items} items")

    @staticmethod
    def hit(point, reached=True):
        if reached:
            coverage.hit(point)

    def numbers(self, shape, special=0.1):
        numbers = self.rng.integers(1 << 32, size=shape, dtype=np.uint64).astype(np.uint32)
        numbers[(numbers & 0x7F80_0000) == 0x7F80_0000] &= 0xBFFF_FFFF  # results have no NaN but one
        return np.where(self.rng.random(shape) < special, self.rng.choice(SPECIAL, shape), numbers).astype(np.uint32)

    def put_word(self, special=0.1):
        rng = self.rng
        numbers, index = self.numbers(LANES, special), int(rng.integers(WORDS))
        valid = rng.random(LANES) < rng.choice([0, 0.06, 0.5, 1])
        stored = valid & (rng.random(LANES) < rng.choice([0, 0.7, 1]))
        self.driver.put({"data": packed(numbers), "stored": mask(stored), "valid_mask": mask(valid), "word": index})
        before = self.model.maxima.copy()
        self.model.filtered(index, numbers, stored, valid, self.items)
        self.hit("no valid entry", not valid.any())
        self.hit("one valid entry", valid.sum() == 1)
        self.hit("all valid entries", valid.all())
        self.hit("nothing to be stored", valid.any() and not stored.any())
        self.hit("zeros of both signs", {0, 1 << 31} <= {int(n) for n in numbers[valid]})
        self._cover_maxima(before)

    def accurate(self, item, value):
        """Offer an accurate result in the coming cycle."""
        self.dut.accurate.value = int(value) << 3 | item << 1 | 1
        before = self.model.maxima.copy()
        self.model.accurate(item, int(value))
        self.hit("accurate is the maximum", before != self.model.maxima)
        self._cover_maxima(before)

    def no_accurate(self):
        self.dut.accurate.value = 0x1234_5678 << 3 | 1 << 1

    def _cover_maxima(self, before):
        for old, new in zip(before, self.model.maxima):
            self.hit("NaN is the maximum", old != new and new == 0x7FC0_0000)
            self.hit("infinite maximum", old != new and new == 0x7F80_0000)

    async def settle(self):
        while not self.driver.idle():
            await self.bench.cycles(1)
        await self.bench.cycles(2)  # what was taken is seen as busy
        while int(self.dut.busy.value):
            await self.bench.cycles(1)

    async def write_word(self):
        index, numbers = int(self.rng.integers(WORDS)), self.numbers(LANES)
        self.model.write(index, numbers)
        dut = self.dut
        dut.access__write_enable.value, dut.access__write_buffer.value = 1, Buffer.OUTPUT.value
        dut.access__write_index.value, dut.access__write_data.value = index, packed(numbers)
        await self.bench.cycles(1)
        dut.access__write_buffer.value = Buffer.PSUM_FP32.value  # somebody else's
        dut.access__write_data.value = 0
        await self.bench.cycles(1)
        dut.access__write_enable.value = 0
        coverage.hit("word written")

    async def write_maximum(self, item, value):
        self.model.maxima[item] = int(value)
        self.dut.maximum_write.value = int(value) << 3 | item << 1 | 1
        await self.bench.cycles(1)
        self.dut.maximum_write.value = 0
        coverage.hit("maximum written")

    async def clear(self):
        await clear_unit(self)
        coverage.hit("clear")

    async def check(self):
        """Read all words through both ports, their bits, and the maxima."""
        await self.settle()
        dut = self.dut
        for index in range(WORDS):
            dut.access__read_index.value, dut.query_index.value = index, WORDS - 1 - index
            await self.bench.cycles(2)
            numbers, stored = self.model.read(index)
            if self.corrupt:
                numbers[5] ^= 1
            assert int(dut.access__read_data.value) == packed(numbers), f"word {index}"
            assert int(dut.read_stored.value) == mask(stored), f"bits of word {index}"
            assert int(dut.query_data.value) == packed(self.model.read(WORDS - 1 - index)[0]), "query"
        maxima = [int(dut.maximum.value) >> 32 * item & 0xFFFF_FFFF for item in range(4)]
        assert maxima == self.model.maxima, f"{maxima} instead of {self.model.maxima}"
