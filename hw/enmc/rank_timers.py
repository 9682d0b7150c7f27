"""Timers between the banks of a rank."""

from amaranth.hdl import Array, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.ddr4 import PHASES
from hw.enmc.dram_bank import after, count_down

__all__ = ["RankTimers"]

GROUPS = 4


def _cycles(clocks):
    """Cycles between two commands at phase 0."""
    return -(-clocks // PHASES)


class RankTimers(wiring.Component):
    """Keeps tRRD, tFAW, tCCD, tWTR and the turnaround from READ to WRITE.

    Members
    -------
    activate: In(4), an ACTIVATE at phase p: bit p (1 to 3), in bank group ``activate_group``
    activate_ready: Out(4) of each bank group, bit p: ACTIVATE there may come at phase p
    read, write: In(1), at phase 0, in bank group ``column_group``
    read_ready, write_ready: Out(1): READ, WRITE in ``column_group`` may come at phase 0
    """

    def __init__(self, timing):
        self.timing = timing
        super().__init__({
            "activate": In(PHASES), "activate_group": In(2), "read": In(1), "write": In(1), "column_group": In(2),
            "activate_ready": Out(PHASES).array(GROUPS), "read_ready": Out(1), "write_ready": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        timing = self.timing
        rank = Signal(range(timing.trrd_s + 1), name="trrd_s")
        groups = [Signal(range(timing.trrd_l + 1), name=f"trrd_l_{group}") for group in range(GROUPS)]
        window = [Signal(range(timing.tfaw + 1), name=f"tfaw_{age}") for age in range(4)]
        for timer in (rank, *groups, *window):
            count_down(m, timer)
        # window[0] is of the last ACTIVATE; each new one moves them on.
        with m.If(self.activate.any()):
            for newer, older in zip(window, window[1:]):
                m.d.sync += older.eq(newer - PHASES)
                with m.If(newer <= PHASES):
                    m.d.sync += older.eq(0)
        for phase in range(1, PHASES):
            with m.If(self.activate[phase]):
                m.d.sync += [rank.eq(after(timing.trrd_s, phase)), window[0].eq(after(timing.tfaw, phase))]
        for number, (group, ready) in enumerate(zip(groups, self.activate_ready)):
            for phase in range(PHASES):
                m.d.comb += ready[phase].eq((rank <= phase) & (group <= phase) & (window[-1] <= phase))
                with m.If(self.activate[phase] & (self.activate_group == number)):
                    m.d.sync += group.eq(after(timing.trrd_l, phase))

        def timer(name, clocks, restart, group=None):
            """Whether ``clocks`` are over since ``restart``, that of a ``group`` if there is one."""
            cycles = _cycles(clocks) - 1
            if cycles == 0:
                return Const(1)
            left = Signal(range(cycles + 1), name=name if group is None else f"{name}_{group}")
            with m.If(left != 0):
                m.d.sync += left.eq(left - 1)
            with m.If(restart if group is None else restart & (self.column_group == group)):
                m.d.sync += left.eq(cycles)
            return left == 0

        def group_timer(name, clocks, restart):
            return Array(timer(name, clocks, restart, group) for group in range(GROUPS))[self.column_group]

        column = self.read | self.write
        next_column = timer("tccd_s", timing.tccd_s, column) & group_timer("tccd_l", timing.tccd_l, column)
        write_to_read = timing.cwl + 4
        m.d.comb += [
            self.read_ready.eq(next_column & timer("twtr_s", write_to_read + timing.twtr_s, self.write)
                               & group_timer("twtr_l", write_to_read + timing.twtr_l, self.write)),
            self.write_ready.eq(next_column & timer("read_to_write", timing.read_to_write, self.read)),
        ]
        return m
