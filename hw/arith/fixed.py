"""Fixed-point rounding and saturation in hardware: equals ``golden.arith.fixed.requantize`` bit for bit."""

from amaranth.hdl import Const, Module, Mux, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Requantize"]


class Requantize(wiring.Component):
    """Divide by a power of two, round half up, saturate. Combinational, latency 0.

    ``y = saturate(floor((x + 2^(shift-1)) / 2^shift))`` to ``width`` bits two's complement; ``shift`` = 0 keeps the
    value. Source of the definition: ``golden/arith/fixed.py``.

    Parameters
    ----------
    in_width, width:
        Bits of the signed input and of the signed output.
    max_shift:
        The greatest shift that occurs; greater values of ``shift`` must not be driven.
    """

    def __init__(self, in_width, width, max_shift):
        if not 1 <= width <= in_width:
            raise ValueError(f"width = {width} is not allowed: width must be from 1 to in_width = {in_width}")
        self.in_width, self.width, self.max_shift = in_width, width, max_shift
        super().__init__({
            "x": In(signed(in_width)),
            "shift": In(unsigned(max(1, max_shift.bit_length()))),
            "y": Out(signed(width)),
        })

    def elaborate(self, platform):
        m = Module()
        # One bit below the binary point is kept: the shifter works on 2x, so that bit 0 of the result is the
        # rounding bit, and adding one to it rounds half up.
        doubled = (self.x << 1).as_signed()
        shifted = (doubled >> self.shift).as_signed()
        rounded = ((shifted + 1) >> 1).as_signed()
        high, low = (1 << (self.width - 1)) - 1, -(1 << (self.width - 1))
        m.d.comb += self.y.eq(Mux(rounded > Const(high), high, Mux(rounded < Const(low), low, rounded)))
        return m
