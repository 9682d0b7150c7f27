"""Rotation of the pixels of a block in both directions, for a window that begins anywhere."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

__all__ = ["TorusRotate"]


class TorusRotate(wiring.Component):
    """``o[y * tw + x] = i[((y + dy) % th) * tw + (x + dx) % tw]`` for a block of th x tw = ``lanes`` pixels.

    A barrel shifter turns all lanes by dy * tw + dx; lanes whose x wraps then take the lane tw before.
    Combinational, latency 0. ``lanes`` is a power of two.

    Members: ``i``, ``o``: ``lanes`` lanes of ``width`` bits; ``block_width``: log2 tw; ``dy`` < th, ``dx`` < tw.
    """

    def __init__(self, lanes, width):
        self.lanes, self.width = lanes, width
        lane_bits = ceil_log2(lanes)
        super().__init__({
            "block_width": In(range(lane_bits + 1)),
            "dy": In(lane_bits),
            "dx": In(lane_bits),
            "i": In(data.ArrayLayout(width, lanes)),
            "o": Out(data.ArrayLayout(width, lanes)),
        })

    def elaborate(self, platform):
        m = Module()
        lanes, lane_bits = self.lanes, ceil_log2(self.lanes)
        amount = Signal(lane_bits)
        m.d.comb += amount.eq((self.dy << self.block_width) | self.dx)
        turned = [self.i[lane] for lane in range(lanes)]
        for bit in range(lane_bits):
            level = [Signal(self.width, name=f"turned_{bit}_{lane}") for lane in range(lanes)]
            m.d.comb += [level[lane].eq(Mux(amount[bit], turned[(lane + (1 << bit)) % lanes], turned[lane]))
                         for lane in range(lanes)]
            turned = level
        for lane in range(lanes):
            m.d.comb += self.o[lane].eq(turned[lane])
        with m.Switch(self.block_width):
            for width in range(1, lane_bits):
                with m.Case(width):
                    size = 1 << width
                    for lane in range(lanes):
                        with m.If(lane % size + self.dx[:width] >= size):
                            m.d.comb += self.o[lane].eq(turned[(lane - size) % lanes])
        return m
