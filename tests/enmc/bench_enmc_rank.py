"""What the EnmcRank's tests share: a host at its DDR4 port, chips that check every rule, the golden rank beside."""

import numpy as np

from golden.enmc.enmc_rank import EnmcRank
from resilin.enmc.rank_bench import RankDriver
from resilin.enmc.rank_host import BURST
from sim.coverage import Coverage

POINTS = ["probabilities", "candidates in groups", "candidates left over", "range", "several items",
          "instruction FIFO full", "reset in mid-work", "host traffic before", "host traffic after", "refresh", "error",
          "illegal instruction", "Screener and Executor at once"]
coverage = Coverage("enmc_rank", POINTS)


class Harness(RankDriver):
    """A rank in a test, the golden rank beside. Option ``corrupt``: bits that the comparison changes."""

    def __init__(self, dut):
        super().__init__(dut)
        self.rng = self.ctx.rng
        self.corrupt = self.ctx.options.get("corrupt", 0)
        self.golden = EnmcRank(self.config.row_bits)
        self.size = self.golden.bursts * BURST

    async def begin(self):
        """Clock, reset; the memory begins as zeros, on both sides."""
        await self.start(gaps=(4, 4, 4, 5, 7, 20))
        self.chips.load(0, bytes(min(self.size, 1 << 24)))

    async def reset(self):
        """Resets the logic; the golden rank begins anew with what the chips hold."""
        await self.bench.reset()
        self.golden = EnmcRank(self.config.row_bits)
        self.golden.store(0, np.frombuffer(bytes(self.chips.dump(0, self.size)), np.uint8))

    def load(self, address, content):
        """Bytes into both memories, behind everybody's back."""
        content = np.asarray(content, np.uint8)
        self.chips.load(address, content.tobytes())
        self.golden.store(address, content)

    async def run(self, instructions):
        """A program on both; compares the answers, and the memory that the golden rank used or was given."""
        instructions = list(instructions)
        expected = self.golden.run(instructions)
        got = await self.host.run(instructions)
        coverage.hit("instruction FIFO full", self.host.full)
        assert len(got) == len(expected)
        for number, (mine, theirs) in enumerate(zip(got, expected)):
            assert theirs is None or mine == theirs, f"QUERY {number}: {mine:#x}, expected {theirs:#x}"
        self.compare()
        return expected

    def compare(self):
        for burst, content, known in self.golden.memory.contents():
            got = np.frombuffer(bytes(self.chips.dump(burst * BURST, BURST)), np.uint8)
            assert np.array_equal(got, content ^ self.corrupt), f"burst {burst:#x}: {got}, expected {content}"

    async def finish(self):
        for name in ("ERROR", "INSTRUCTIONS", "SUM", "MAX0", "MAX3", "CANDIDATES01", "CANDIDATES23", "BURSTS"):
            got, expected = await self.host.query(name), self.golden.query(name)
            assert got == expected, f"{name} = {got:#x}, expected {expected:#x}"
        if self.chips.clock > self.config.trefi:
            coverage.hit("refresh")
        await self.bench.finish()
