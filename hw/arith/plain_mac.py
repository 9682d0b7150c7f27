"""The plain FX16 multiply-accumulate unit that other elements are measured against."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["PlainMac"]


class PlainMac(wiring.Component):
    """``acc`` <= (``first`` ? 0 : ``acc``) + ``x`` * ``w``, operands registered.

    16-bit two's complement operands, 44-bit sum, which a reset does not clear. Latency 2, throughput one product a
    cycle.
    """

    latency = 2

    first: In(1)
    x: In(signed(16))
    w: In(signed(16))
    acc: Out(signed(44))

    def elaborate(self, platform):
        m = Module()
        x, w, first = Signal(signed(16), reset_less=True), Signal(signed(16), reset_less=True), Signal(reset_less=True)
        m.d.sync += [x.eq(self.x), w.eq(self.w), first.eq(self.first)]
        acc = Signal(signed(44), reset_less=True)
        m.d.sync += acc.eq(Mux(first, 0, acc) + x * w)
        m.d.comb += self.acc.eq(acc)
        return m
