"""Right shift of a wide number to a narrow one."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SaturatingShift"]


class SaturatingShift(wiring.Component):
    """``y = saturate(floor(x / 2^shift))``, ``width`` bits two's complement. Combinational, latency 0.

    Each stage of the shifter keeps only the bits that a later shift can still bring into the result, and notes
    whether one of the others differs from the sign. With half of 2^shift added to ``x`` this is the ``requantize`` of
    ``golden/arith/fixed.py``.

    Parameters: ``in_width`` bits of ``x``, signed; ``width`` bits of ``y``, signed; ``max_shift``, the greatest shift
    that occurs (greater ones must not be driven). Raises ``ValueError`` where ``width`` is not from 2 to ``in_width``.
    """

    def __init__(self, in_width, width, max_shift):
        if not 2 <= width <= in_width:
            raise ValueError(f"width = {width} is not allowed: width must be from 2 to in_width = {in_width}")
        super().__init__({
            "x": In(signed(in_width)),
            "shift": In(unsigned(max(1, max_shift.bit_length()))),
            "y": Out(signed(width)),
        })

    def elaborate(self, platform):
        m = Module()
        size = len(self.y) - 1
        sign, value, over = self.x[-1], self.x, 0
        for stage in reversed(range(len(self.shift))):
            kept = size + (1 << stage) - 1
            chosen = Signal(signed(max(len(value), kept + 1)), name=f"stage_{stage}")
            m.d.comb += chosen.eq(Mux(self.shift[stage], value >> (1 << stage), value))
            over |= (chosen[kept:] ^ sign.replicate(len(chosen) - kept)).any()
            value = Cat(chosen[:kept], sign).as_signed()
        over |= (value[size:] ^ sign.replicate(len(value) - size)).any()
        m.d.comb += self.y.eq(Cat(Mux(over, ~sign.replicate(size), value[:size]), sign))
        return m
