"""Segmented arithmetic: one wide adder that works as four, two or one, by precision.

A segmented vector of width W holds four W/4-bit lanes (INT2), two W/2-bit lanes (INT4) or one W-bit number (INT8,
FX16), two's complement, lane 0 in the low bits.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.precision import Precision

__all__ = ["SegmentedAdder", "widen_segments"]


def _resize(lane, width):
    """Sign-extend the unsigned slice ``lane`` to ``width`` bits."""
    return Cat(lane, lane[-1].replicate(width - len(lane)))


def widen_segments(mode, value, width):
    """Sign-extend every lane of segmented ``value`` so that the vector is ``width`` bits wide."""
    quarter = len(value) // 4
    four = Cat(_resize(value[k * quarter:(k + 1) * quarter], width // 4) for k in range(4))
    two = Cat(_resize(value[2 * k * quarter:2 * (k + 1) * quarter], width // 2) for k in range(2))
    one = _resize(value, width)
    return Mux(mode == Precision.INT2, four, Mux(mode == Precision.INT4, two, one))


class SegmentedAdder(wiring.Component):
    """Lane-wise sum of two segmented vectors, modulo the lane width. Combinational, latency 0."""

    def __init__(self, width):
        if width % 4:
            raise ValueError(f"width = {width} is not allowed: width must be a multiple of 4")
        self.width = width
        super().__init__({"mode": In(Precision), "a": In(width), "b": In(width), "y": Out(width)})

    def elaborate(self, platform):
        m = Module()
        quarter = self.width // 4
        # A guard bit between the quarters: one operand holds "carry passes here", the other 0, so that one adder
        # serves and the carry dies in the guard where lanes meet.
        joined_middle = Signal()
        joined_quarters = Signal()
        m.d.comb += [
            joined_quarters.eq(self.mode != Precision.INT2),
            joined_middle.eq((self.mode != Precision.INT2) & (self.mode != Precision.INT4)),
        ]
        passes = (joined_quarters, joined_middle, joined_quarters)
        a, b = [], []
        for k in range(4):
            a.append(self.a[k * quarter:(k + 1) * quarter])
            b.append(self.b[k * quarter:(k + 1) * quarter])
            if k < 3:
                a.append(passes[k])
                b.append(Const(0, 1))
        total = Signal(self.width + 3)
        m.d.comb += total.eq(Cat(a) + Cat(b))
        step = quarter + 1
        m.d.comb += self.y.eq(Cat(total[k * step:k * step + quarter] for k in range(4)))
        return m
