"""How many REFRESH commands are owed."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.ddr4 import PHASES

__all__ = ["MOST_OWED", "RefreshDebt"]

#: JEDEC lets eight be postponed.
MOST_OWED = 8


class RefreshDebt(wiring.Component):
    """One more REFRESH is owed each tREFI (whole cycles), up to eight; one less with each that is sent.

    Members: ``refreshed`` In(1): a REFRESH in this cycle; ``owed`` Out: their number.
    """

    def __init__(self, trefi):
        self.cycles = trefi // PHASES
        super().__init__({"refreshed": In(1), "owed": Out(range(MOST_OWED + 1))})

    def elaborate(self, platform):
        m = Module()
        left = Signal(range(self.cycles), init=self.cycles - 1)
        due = Signal()
        m.d.comb += due.eq(left == 0)
        m.d.sync += left.eq(left - 1)
        with m.If(due):
            m.d.sync += left.eq(self.cycles - 1)
        with m.If(due & ~self.refreshed & (self.owed != MOST_OWED)):
            m.d.sync += self.owed.eq(self.owed + 1)
        with m.Elif(~due & self.refreshed & (self.owed != 0)):
            m.d.sync += self.owed.eq(self.owed - 1)
        return m
