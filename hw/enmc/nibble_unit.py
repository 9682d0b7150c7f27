"""Sums and products of single INT4 numbers: the Screener's ADD and MUL."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.psum_buffer import PsumWrite
from hw.enmc.screener_types import ENTRIES, GROUP_CLASSES, LANES

__all__ = ["NibbleUnit"]


class NibbleUnit(wiring.Component):
    """Sum i becomes nibble i of the features plus, or times, nibble i of the weights, i = 0 to 63, one a cycle.

    These are instructions for the programmer's convenience; the MAC array has no part in them.

    Latency: ``done``, with the last sum, 64 cycles after the first with ``go``.

    Parameters: ``lanes`` of :class:`PsumWrite`.

    Members
    -------
    go: In(1): both operands are there; multiply: In(1), bank: In(1), stable
    chunk: In(64), of which ``next_chunk`` Out(1) takes the next; weights: In(256), zero without known: In(1)
    sums: Out(:class:`PsumWrite`), registered; done: Out(1)
    last: Out(1): the operands are not needed after this cycle
    """

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__({
            "go": In(1), "multiply": In(1), "bank": In(1), "chunk": In(64), "next_chunk": Out(1),
            "weights": In(256), "known": In(1), "sums": Out(PsumWrite(lanes)), "done": Out(1), "last": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        entry = Signal(range(ENTRIES))
        x, w, value = Signal(signed(4)), Signal(signed(4)), Signal(signed(8), reset_less=True)
        row, mask, enable = Signal(3, reset_less=True), Signal(GROUP_CLASSES, reset_less=True), Signal()
        m.d.comb += [
            x.eq(self.chunk.word_select(entry[:4], 4)),
            w.eq(self.weights.word_select(entry, 4) & self.known.replicate(4)),
            self.next_chunk.eq(self.go & (entry[:4] == LANES - 1)),
            self.last.eq(self.go & (entry == ENTRIES - 1)),
            self.sums.enable.eq(enable), self.sums.bank.eq(self.bank), self.sums.row.eq(row),
            self.sums.mask.eq(mask),
        ]
        m.d.comb += [self.sums.values[lane].eq(value) for lane in range(self.lanes)]
        m.d.sync += [enable.eq(self.go), self.done.eq(self.last)]
        with m.If(self.go):
            m.d.sync += [entry.eq(entry + 1), value.eq(Mux(self.multiply, x * w, x + w)), row.eq(entry[3:]),
                         mask.eq(1 << entry[:3])]
        return m
