"""Multiplier cut into two pipeline stages."""

from amaranth.hdl import Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["PipelinedMultiplier"]


class PipelinedMultiplier(wiring.Component):
    """Exact product of ``a`` (signed) and ``b`` (unsigned, or of the shape that is given in place of its width).

    The first stage multiplies ``a`` by each half of ``b``, the second adds the two. Latency: 2 cycles. Throughput: one
    product a cycle, free running. Ports: ``a`` In(signed), ``b`` In, ``product`` Out(signed, widths added).
    """

    latency = 2

    def __init__(self, a_width, b_width):
        b = Shape.cast(b_width)
        if b.width < 2:
            raise ValueError(f"b_width = {b.width} is not allowed: b_width must be at least 2")
        super().__init__({
            "a": In(Shape(a_width, signed=True)),
            "b": In(b),
            "product": Out(Shape(a_width + b.width, signed=True)),
        })

    def elaborate(self, platform):
        m = Module()
        half = len(self.b) // 2
        low = Signal(Shape(len(self.a) + half, signed=True), reset_less=True)
        high = Signal(Shape(len(self.product) - half, signed=True), reset_less=True)
        total = Signal(self.product.shape(), reset_less=True)
        upper = self.b[half:].as_signed() if self.b.shape().signed else self.b[half:]
        m.d.sync += [
            low.eq(self.a * self.b[:half]),
            high.eq(self.a * upper),
            total.eq((high << half) + low),
        ]
        m.d.comb += self.product.eq(total)
        return m
