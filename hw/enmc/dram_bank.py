"""One DRAM bank: its row, the requests that count on it, and its timers in DRAM clocks."""

from amaranth.hdl import Assert, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.ddr4 import PHASES

__all__ = ["DramBank", "after", "count_down"]


def after(clocks, phase=0):
    """Clocks still to wait at the start of the next cycle, when ``clocks`` began at ``phase`` of this one."""
    return max(clocks - PHASES + phase, 0)


def count_down(m, timer):
    """``timer`` in clocks loses those of a cycle, down to 0."""
    m.d.sync += timer.eq(Mux(timer > PHASES, timer - PHASES, 0))


class DramBank(wiring.Component):
    """One bank: open or not; its row and the next one, each with the number of requests in the lookahead that need it.

    A request for the row, or for the row that comes next, joins; a third row has to wait. The bank wants ACTIVATE while
    it is closed and requests need its row; PRECHARGE when none does any more and there is a next row, which then takes
    its place. One timer serves both states: while open it holds tRAS, tRTP and the way of written data to tWR, while
    closed tRP. (tRC beyond tRAS + tRP is added to tRAS.)

    Parameters: ``timing`` a :class:`hw.enmc.ddr_timing.DdrTimingConfig`; ``row_bits``; ``requests``: most requests that
    are joined at a time; ``assertions``.

    Members
    -------
    join_row, accepts, hits: In, Out(1): whether a request for this row can join now; be sent at once, at phase 0, when
        no other request needs the bank
    join: In(1), it does join. done: In(1), the oldest of those that joined is sent, by read or write
    row: Out, the row to activate
    wants_activate, wants_precharge, wants_column: Out(1); the latter: a request may be sent at phase 0, by tRCD
    ready: Out(4), bit p: ACTIVATE (closed) or PRECHARGE (open) may come at phase p
    activate, precharge: In(4), the command at phase p (1 to 3): bit p. read, write: In(1), at phase 0.
    close: In(1), PRECHARGE ALL in this cycle; the controller waits tRP itself
    can_close: Out(1), PRECHARGE ALL may come at phase 3
    """

    def __init__(self, timing, row_bits, requests, assertions=False):
        self.timing, self.requests, self.assertions = timing, requests, assertions
        super().__init__({
            "join_row": In(row_bits), "accepts": Out(1), "hits": Out(1),
            "join": In(1), "done": In(1), "row": Out(row_bits),
            "wants_activate": Out(1), "wants_precharge": Out(1), "wants_column": Out(1),
            "ready": Out(PHASES), "can_close": Out(1),
            "activate": In(PHASES), "precharge": In(PHASES), "read": In(1), "write": In(1), "close": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        timing = self.timing
        is_open = Signal()
        count, next_count = Signal(range(self.requests + 1)), Signal(range(self.requests + 1))
        row, next_row = (Signal.like(self.row, name=name, reset_less=True) for name in ("now_row", "next_row"))
        idle, has_next, same, swap = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            idle.eq(count == 0), has_next.eq(next_count != 0), same.eq(self.join_row == row), self.row.eq(row),
            self.accepts.eq(~has_next | (self.join_row == next_row)),
            self.wants_activate.eq(~is_open & ~idle), self.wants_precharge.eq(is_open & idle & has_next),
            swap.eq(idle & has_next & (~is_open | self.precharge.any())),
        ]
        m.d.sync += count.eq(count - self.done)
        with m.If(swap):
            m.d.sync += [row.eq(next_row), count.eq(next_count + self.join), next_count.eq(0)]
        with m.Elif(self.join):
            with m.If(has_next):
                m.d.sync += next_count.eq(next_count + 1)
            with m.Elif(same | idle & ~is_open):
                m.d.sync += [row.eq(self.join_row), count.eq(count + 1 - self.done)]
            with m.Else():
                m.d.sync += [next_row.eq(self.join_row), next_count.eq(1)]

        tras = max(timing.tras, timing.trc - timing.trp)
        wait = Signal(range(max(tras, timing.trp, timing.write_to_precharge, timing.trtp) + 1))
        column_wait = Signal(range(-(-(timing.trcd + PHASES) // PHASES) + 1))  # cycles
        m.d.comb += [self.ready[phase].eq(wait <= phase) for phase in range(PHASES)]
        m.d.comb += [self.wants_column.eq(is_open & ~idle & (column_wait == 0)),
                     self.hits.eq(is_open & same & (column_wait == 0)),
                     self.can_close.eq(~is_open | self.ready[PHASES - 1])]
        count_down(m, wait)
        with m.If(column_wait != 0):
            m.d.sync += column_wait.eq(column_wait - 1)
        for command, clocks in ((self.read, timing.trtp), (self.write, timing.write_to_precharge)):
            with m.If(command & (wait < clocks)):
                m.d.sync += wait.eq(after(clocks))
        for phase in range(1, PHASES):
            with m.If(self.activate[phase]):
                m.d.sync += [is_open.eq(1), wait.eq(after(tras, phase)),
                             column_wait.eq(-(-(timing.trcd + phase) // PHASES) - 1)]
            with m.If(self.precharge[phase]):
                m.d.sync += [is_open.eq(0), wait.eq(after(timing.trp, phase))]
        with m.If(self.close):
            m.d.sync += [is_open.eq(0), wait.eq(0)]
        if self.assertions:
            m.d.sync += [
                Assert(~self.activate.any() | self.wants_activate, "ACTIVATE that the bank does not want"),
                Assert(~self.precharge.any() | self.wants_precharge, "PRECHARGE that the bank does not want"),
                Assert(~self.done | self.wants_column, "READ or WRITE that the bank does not want"),
                Assert(~(self.read | self.write) | self.done | self.hits & idle & ~has_next, "no READ or WRITE is due"),
                Assert(~self.join | self.accepts, "a request joins that must wait"),
            ]
        return m
