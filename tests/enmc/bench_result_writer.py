"""What the ResultWriter's tests share: results in, writes compared, cover points."""

import dataclasses

from golden.enmc.result_writer import ResultSettings, ResultWriter
from sim.coverage import Coverage
from tests.dota.harness import StreamHarness

from .clear import clear_unit

POINTS = ["log", "no log", "result dropped", "log entry dropped", "both dropped", "lowest burst", "highest burst",
          *(f"item {item}" for item in range(4)), "last number of a burst", "counts cleared", "reset in mid-work"]
coverage = Coverage("result_writer", POINTS)


class Harness(StreamHarness):
    """Drives results, compares writes, errors and counts with the golden model."""

    source, sink = "results", "writes"

    def __init__(self, dut):
        super().__init__(dut)
        self.model, self.errors, self.dropped = ResultWriter(), 0, 0
        self.name = "errors"

    async def start(self, *stalls):
        await super().start(*stalls)
        self.bench.add(self)

    # Counts the cycles with an error, as one of the bench's streams.

    def tick(self, cycle):
        self.errors += int(self.dut.error.value)
        return False

    def reset(self):
        self.errors = self.dropped = 0

    async def drain(self):
        """Nothing to wait for."""

    def status(self):
        return f"{self.errors} errors"

    def set_settings(self, **changes):
        """Random registers with ``changes``; while nothing is inside."""
        rng = self.rng
        low = int(rng.integers(1 << 29))
        values = dict(result_base=int(rng.integers(1 << 29)), result_stride=int(rng.integers(1 << 22)),
                      log_base=int(rng.integers(1, 1 << 29)), log_stride=int(rng.integers(1 << 22)), write_low=0,
                      write_high=(1 << 30) - 1)
        kind = rng.integers(4)
        if kind == 0:
            values["log_base"] = 0
        elif kind == 1:  # a few bursts: some writes are outside
            values |= dict(result_base=low, result_stride=3, log_base=low + 2, log_stride=1, write_low=low + 2,
                           write_high=low + 9)
        elif kind == 2:
            values |= dict(write_low=int(rng.integers(1 << 29)), write_high=int(rng.integers(1 << 29, 1 << 30)))
        self.settings = ResultSettings(**(values | changes))
        word = 0
        for name, (offset, _, _) in self.ctx.layout("settings").items():
            word |= dataclasses.asdict(self.settings)[name] << offset
        self.dut.settings.value = word

    @staticmethod
    def hit(point, reached=True):
        if reached:
            coverage.hit(point)

    def put(self):
        rng = self.rng
        item, value = int(rng.integers(4)), int(rng.integers(1 << 32))
        class_index = int(rng.integers(1 << int(rng.choice([6, 20, 32]))))
        self.driver.put({"item": item, "class_index": class_index, "value": value})
        settings = self.settings
        writes, dropped = self.model.put(item, class_index, value, settings)
        self.dropped += dropped
        for write in writes:
            content = write.data * (64 // len(write.data))
            expected = {"address": write.address, "data": int.from_bytes(content, "little"),
                        "mask": (1 << len(write.data)) - 1 << write.byte}
            if self.corrupt:
                expected["mask"] ^= 1
            self.board.expect(expected)
            self.hit("lowest burst", write.address == settings.write_low)
            self.hit("highest burst", write.address == settings.write_high - 1)
        kinds = {len(write.data) for write in writes}
        self.hit(f"item {item}")
        self.hit("log" if settings.log_base else "no log")
        self.hit("last number of a burst", class_index % 16 == 15)
        self.hit("result dropped", settings.log_base and kinds == {8})
        self.hit("log entry dropped", settings.log_base and kinds == {4})
        self.hit("both dropped", dropped == 2)

    async def settle(self):
        while not self.driver.idle():
            await self.bench.cycles(1)
        await self.bench.cycles(2)  # what was taken is seen as busy
        while int(self.dut.busy.value) or self.board.pending():
            await self.bench.cycles(1)

    async def check(self):
        """Errors and counts, once everything is out."""
        await self.settle()
        await self.bench.cycles(1)
        assert self.errors == self.dropped, f"{self.errors} errors instead of {self.dropped}"
        counts = [int(self.dut.counts.value) >> 32 * item & 0xFFFF_FFFF for item in range(4)]
        assert counts == self.model.counts, f"{counts} instead of {self.model.counts}"

    async def clear(self):
        await clear_unit(self)
        coverage.hit("counts cleared")
