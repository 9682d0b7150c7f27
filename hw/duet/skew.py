"""Delays that grow from lane to lane, at the edges of the systolic array."""

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.pipeline import delay

__all__ = ["Skew"]


class Skew(wiring.Component):
    """Lane k of ``o`` is lane k of ``i`` as it was k cycles ago. Free running, no reset.

    Parameters: ``lanes`` and ``width`` of a lane. Members: ``i`` In, ``o`` Out, both lanes * width bits.
    """

    def __init__(self, lanes, width):
        self.lanes, self.width = lanes, width
        super().__init__({"i": In(lanes * width), "o": Out(lanes * width)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(Cat(delay(m, self.i.word_select(lane, self.width), lane, name=f"lane_{lane}")
                                  for lane in range(self.lanes)))
        return m
