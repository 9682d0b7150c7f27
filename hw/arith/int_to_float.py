"""IntToFloat: integers of 32 bits as binary32 numbers; equals ``golden.arith.int_to_float`` bit for bit."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.normalize import leading_zeros, normalize, rounds_up

__all__ = ["IntToFloat"]

#: Exponent field of 2^31, the top bit.
_TOP = 127 + 31


class IntToFloat(wiring.Component):
    """``result`` = ``x`` as a binary32 pattern, rounded to nearest, ties to even; 0 gives +0.

    The complement of a negative number is one less than its magnitude; the missing one is carried on below it
    (:mod:`hw.arith.normalize`) and meets the rounding.

    Latency: ``stages`` cycles, the result from a register. Throughput: one number a cycle, free running.

    Parameters: ``stages``, 1 or 2 (a register before the rounding); others are a ``ValueError``.
    Members: ``x`` In(signed(32)), ``result`` Out(32).
    """

    def __init__(self, stages=1):
        if stages not in (1, 2):
            raise ValueError(f"stages = {stages!r} is not allowed: stages must be 1 or 2")
        self.latency = stages
        super().__init__({"x": In(signed(32)), "result": Out(unsigned(32))})

    def elaborate(self, platform):
        m = Module()
        sign = self.x[-1]
        below = Signal(32)
        m.d.comb += below.eq(self.x ^ sign.replicate(32))
        zeros = Signal(6)
        m.d.comb += zeros.eq(leading_zeros(m, below, name="zeros"))
        kept, other = normalize(m, below, zeros, 25, one=sign, name="normal")
        # Less one: the top bit of the number adds it. Of 0 that bit is missing, and so is the exponent.
        exponent = Mux(zeros[5] & ~sign, 0, _TOP - 1 - zeros)[:8]
        values = Cat(kept, other, exponent, sign)
        if self.latency == 2:
            register = Signal(len(values), reset_less=True)
            m.d.sync += register.eq(values)
            values = register
        kept, other, exponent, sign = values[:25], values[25], values[26:34], values[34]
        result = Signal(32, reset_less=True)
        up = rounds_up(kept[1], kept[0], other, sign)
        m.d.sync += result.eq(Cat((Cat(kept[1:24], exponent) + Cat(up, C(0, 22), kept[24]))[:31], sign))
        m.d.comb += self.result.eq(result)
        return m
