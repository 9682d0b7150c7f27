"""Maximum of many numbers."""

from amaranth.hdl import Module, Mux, Shape
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.pipeline import reduce_tree, tree_latency

__all__ = ["MaximumTree"]


class MaximumTree(wiring.Component):
    """Greatest of ``count`` numbers of ``shape``.

    Latency: ``tree_latency(count, levels_per_stage)``, 0 (combinational) with ``levels_per_stage`` = 0. Throughput: one
    maximum a cycle, free running. Ports: ``x`` In(ArrayLayout(shape, count)), ``maximum`` Out(shape).
    """

    def __init__(self, count, shape, *, levels_per_stage=1):
        shape = Shape.cast(shape)
        if count < 1:
            raise ValueError(f"count = {count} is not allowed: count must be at least 1")
        self.count, self.levels_per_stage = count, levels_per_stage
        super().__init__({"x": In(data.ArrayLayout(shape, count)), "maximum": Out(shape)})

    @property
    def latency(self):
        return tree_latency(self.count, self.levels_per_stage)

    def elaborate(self, platform):
        m = Module()
        terms = [self.x[i] for i in range(self.count)]
        greatest = reduce_tree(m, terms, lambda a, b: Mux(a > b, a, b), self.levels_per_stage, name="max")
        m.d.comb += self.maximum.eq(greatest)
        return m
