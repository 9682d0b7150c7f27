"""Exact sum of many numbers."""

from amaranth.hdl import Module, Shape
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.pipeline import reduce_tree, tree_latency

__all__ = ["AdderTree"]


class AdderTree(wiring.Component):
    """Sum of ``count`` numbers of ``shape``, without truncation.

    Latency: ``tree_latency(count, levels_per_stage)`` = ceil(log2(count) / levels_per_stage), or 0 (combinational) with
    ``levels_per_stage`` = 0. Throughput: one sum a cycle, free running.

    Ports: ``x`` In(ArrayLayout(shape, count)), ``total`` Out, of ``shape``'s signedness and ceil(log2(count)) bits
    more.
    """

    def __init__(self, count, shape, *, levels_per_stage=2):
        shape = Shape.cast(shape)
        if count < 1:
            raise ValueError(f"count = {count} is not allowed: count must be at least 1")
        if levels_per_stage < 0:
            raise ValueError(f"levels_per_stage = {levels_per_stage} is not allowed: it must be at least 0")
        self.count, self.levels_per_stage = count, levels_per_stage
        super().__init__({
            "x": In(data.ArrayLayout(shape, count)),
            "total": Out(Shape(shape.width + (count - 1).bit_length(), shape.signed)),
        })

    @property
    def latency(self):
        return tree_latency(self.count, self.levels_per_stage)

    def elaborate(self, platform):
        m = Module()
        terms = [self.x[i] for i in range(self.count)]
        m.d.comb += self.total.eq(reduce_tree(m, terms, lambda a, b: a + b, self.levels_per_stage, name="sum"))
        return m
