"""Multiply-accumulates of one class: 16 products a step, a sum for each of up to four items."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.compressor import Compressor
from hw.arith.pipeline import delay
from hw.enmc.enmc_types import ITEMS
from hw.enmc.int4_dot import BITS, Int4Dot
from hw.enmc.screener_types import LANES, SUM_BITS
from hw.shared import shared

__all__ = ["ClassMac", "MacStep", "from_bits"]


class MacStep(data.Struct):
    """A step: adds products to the sums of ``item``; ``first`` of a sum begins anew."""

    valid: 1
    item: 2
    first: 1


def from_bits(bits):
    """The vector of a list of bits, of which ``None`` is zero."""
    return Cat(Const(0, 1) if bit is None else bit for bit in bits)


@shared
class ClassMac(wiring.Component):
    """``sum`` of an item += dot product of ``weights`` and features.

    Two rows from a carry-save tree (:class:`Int4Dot`), reduced with the item's sum to two again, then added.

    Latency: ``total`` is there (combinational from the sums) with ``start`` and ``correction``, one cycle for each of
    the plan's cuts after the step. Throughput: a step a cycle, of any items.

    Members
    -------
    step: In(:class:`MacStep`); weights: In(64), code: In, as those of :class:`Int4Dot`
    start: In(9): what a sum begins with, times 256; correction: In, to be added; none without Booth digits
    total: Out(17), the sum of the step's item
    """

    def __init__(self, plan):
        self.plan = plan
        super().__init__({
            "step": In(MacStep), "weights": In(LANES * BITS), "code": In(LANES * plan.code_bits),
            "start": In(SUM_BITS - 8), "correction": In(plan.correction_bits), "total": Out(SUM_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.dot = dot = Int4Dot(self.plan)
        step = delay(m, self.step, len(self.plan.cuts), name="step", control=True)
        sums, begun = Signal(data.ArrayLayout(SUM_BITS, ITEMS), reset_less=True), Signal(SUM_BITS)
        adders = Compressor(m)
        m.d.comb += [
            dot.weights.eq(self.weights), dot.code.eq(self.code),
            begun.eq(Mux(step.first, self.start << 8, sums[step.item])),
        ]
        addends = (begun, dot.one, dot.other, self.correction)
        columns = {weight: [bits[weight] for bits in addends if weight < len(bits)] for weight in range(SUM_BITS)}
        one, other = adders.rows(columns, SUM_BITS)
        m.d.comb += self.total.eq(from_bits(one) + from_bits(other))
        with m.If(step.valid):
            m.d.sync += sums[step.item].eq(self.total)
        return m
