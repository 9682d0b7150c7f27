"""What the EnmcRank's tests share: a host at its DDR4 port, chips that check every rule, the golden rank beside."""

import numpy as np

from golden.enmc.enmc_rank import EnmcRank
from resilin.enmc.rank_bench import RankDriver
from resilin.enmc.rank_host import BURST
from resilin.enmc.rank_run import compare_replies
from sim.coverage import Coverage

POINTS = ["probabilities", "candidates in groups", "candidates left over", "range", "several items",
          "instruction FIFO full", "reset in mid-work", "host traffic before", "host traffic after", "refresh", "error",
          "illegal instruction", "Screener and Executor at once"]
coverage = Coverage("enmc_rank", POINTS)


class Harness(RankDriver):
    """A rank in a test, the golden rank beside. Option ``corrupt``: bits that the comparison changes.

    ``used``: bytes of the memory that a test may touch, from 0 on; all of a rank that has no more than 16 MB.
    """

    def __init__(self, dut):
        super().__init__(dut)
        self.rng = self.ctx.rng
        self.corrupt = self.ctx.options.get("corrupt", 0)
        self.golden = EnmcRank(self.config.row_bits)
        self.size = self.golden.bursts * BURST
        self.used = min(self.size, 1 << 24)
        self._given = np.zeros((self.used // BURST, BURST), np.uint8)  # what the golden rank began with

    async def begin(self):
        """Clock, reset; the memory begins as zeros, on both sides."""
        await self.start(gaps=(4, 4, 4, 5, 7, 20))
        self.chips.load(0, bytes(self.used))

    async def reset(self):
        """Resets the logic; the golden rank begins anew with what the chips hold."""
        await self.bench.reset()
        self.golden = EnmcRank(self.config.row_bits)
        content = self.chips.dump(0, self.used)
        self.chips.load(0, content)  # bytes of a WRITE that the reset has lost are what they were, and may be read
        self._given = content.reshape(-1, BURST)
        self.golden.memory.load(0, self._given)

    def load(self, address, content):
        """Bytes into both memories, behind everybody's back."""
        content = np.asarray(content, np.uint8)
        self.chips.load(address, content.tobytes())
        self.golden.store(address, content)

    async def run(self, instructions):
        """A program on both; compares the answers, and the memory."""
        instructions = list(instructions)
        expected = self.golden.run(instructions)
        compare_replies("of the test", expected, await self.host.run(instructions))
        coverage.hit("instruction FIFO full", self.host.full)
        self.compare()
        return expected

    def compare(self):
        """All of the memory: every burst is the golden rank's, and nothing was written at or after ``used``."""
        expected = self._given.copy()
        for burst, content, _ in self.golden.memory.contents():
            expected[burst] = content
        expected[0, 0] ^= self.corrupt
        got = self.chips.dump(0, self.used).reshape(-1, BURST)
        wrong = np.flatnonzero((got != expected).any(1))
        assert not len(wrong), (f"burst {wrong[0]:#x} ({len(wrong)} differ): {got[wrong[0]]}, expected "
                                f"{expected[wrong[0]]}")
        assert not self.chips.written_from(self.used), f"the rank wrote at or after byte {self.used:#x}"

    async def finish(self):
        for name in ("ERROR", "INSTRUCTIONS", "SUM", "MAX0", "MAX3", "CANDIDATES01", "CANDIDATES23", "BURSTS"):
            got, expected = await self.host.query(name), self.golden.query(name)
            assert got == expected, f"{name} = {got:#x}, expected {expected:#x}"
        coverage.hit("refresh", self.chips.rules.counts["REF"] > self.host.refreshes)
        await self.bench.finish()
