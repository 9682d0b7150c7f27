"""What a host must not do to a rank that works: FULL, SPACING, HOST_COMMAND, on the rank and on the golden rank."""

import numpy as np

from golden.enmc.isa import make
from golden.enmc.isa_table import Error
from resilin.enmc.rank_host import BURST, BUSY, precharge

from .ddr_host import command_pins
from .random_instructions import LOW, STORES, random_settings

__all__ = ["OFFENCES", "Offender"]

#: Errors that only the host can make.
OFFENCES = (Error.FULL, Error.SPACING, Error.HOST_COMMAND)
#: The range under way: classes, words and place of their rows; some two thousand cycles.
_CLASSES, _WORDS, _ROWS = 24, 64, 0x40000


class Offender:
    """A host that breaks the rules while ``harness``'s rank computes a range and an INIT waits for its end.

    INSTRUCTIONS stays meanwhile, so that the number of each error is known. What is sent would do harm if it were not
    refused: a store, CLR, an INIT of ERROR, commands of the DRAM.
    """

    def __init__(self, harness):
        self.h, self.rng = harness, harness.ctx.random
        self.waiting, self.room = [], 0

    async def begin(self):
        """The range is under way, the INIT waits, the FIFO is empty."""
        h, golden = self.h, self.h.golden
        h.load(_ROWS, h.rng.integers(0, 256, _CLASSES * _WORDS * BURST).astype(np.uint8))
        await h.run([make("INIT", "CLASSES", _CLASSES), make("INIT", "ROW_BURSTS", _WORDS),
                     make("INIT", "ROW_BASE", _ROWS)])
        work = make("MUL_ADD_FP32", "FEATURE_FP32", "WEIGHT_FP32", class_=0, count=_CLASSES, item=0)
        golden.run([work])
        self.waiting = [make("INIT", "SHIFT", 5)]
        self.room = h.config.depth
        h.host.send(work)
        h.host.send(self.waiting[0])
        while await h.host.query("INSTRUCTIONS") != golden.controller.executed or not await self._waits(1):
            pass

    async def _waits(self, count):
        """Whether the rank works and that many instructions wait."""
        status = await self.h.host.query("STATUS")
        return status & BUSY and status >> 8 & 255 == count

    async def offend(self, error):
        """Make this error, whatever was made before."""
        if error == Error.FULL:
            while self.room:
                self._instruction(self._harmless())
            self._instruction(self._harmful())
        elif error == Error.SPACING:
            self._instruction(self._harmless())
            lost = self._harmful()
            self.h.host.put(precharge(lost.command), self.rng.randrange(1, 4), write=lost.operand)
            self.h.golden.controller.report(Error.SPACING, lost.command)
        else:
            pins = command_pins(self.rng)
            self.h.host.put(pins, self.rng.randrange(1, 4), write=self.rng.getrandbits(512))
            self.h.golden.controller.report(Error.HOST_COMMAND)

    def _instruction(self, instruction):
        """One that the FIFO takes while it has room."""
        if self.room:
            self.room -= 1
            self.waiting.append(instruction)
        else:
            self.h.golden.controller.report(Error.FULL, instruction.command)
        self.h.host.send(instruction)

    def _harmless(self):
        return self.rng.choice([*random_settings(self.h.rng), make("LDR", "PSUM_INT4", address=LOW - 64, count=1)])

    def _harmful(self):
        return self.rng.choice([make("STR", "OUTPUT", address=STORES, count=4, width=4, stride=0), make("CLR"),
                                make("INIT", "ERROR", 0), make("RETURN")])

    async def end(self):
        """All that was taken is done; the range still ran when the last error was made."""
        h = self.h
        await h.host.drain()
        assert await self._waits(len(self.waiting)), "the range was over before the errors were made"
        h.golden.run(self.waiting)
        await h.host.idle()
        for name in ("STATUS", "ERROR", *h.golden.controller.registers):
            got, expected = await h.host.query(name), h.golden.query(name)
            assert got == expected, f"{name} = {got:#x}, expected {expected:#x}"
        h.compare()
