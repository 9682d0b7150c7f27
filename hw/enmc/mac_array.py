"""MAC array of the Screener: 8 classes x 16 INT4 multiply-accumulates, sums of up to four items (thesis 6.4.2)."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.compressor import Compressor
from hw.arith.pipeline import delay
from hw.enmc.class_mac import ClassMac, MacStep, from_bits
from hw.enmc.int4_dot import BITS
from hw.enmc.screener_types import GROUP_CLASSES, LANES, MAX_CHUNKS, SUM_BITS

__all__ = ["MacArray"]


class MacArray(wiring.Component):
    """Adds, each step, 16 products to the sum of each of 8 classes, for one item; sums are exact, 17 bits signed.

    The +1 of negative Booth digits are counted once for all classes.

    Latency: ``sums`` are there ``latency`` cycles after the step (combinational). Throughput: a step a cycle, of any
    items.

    Parameters: ``plan`` a :class:`hw.enmc.int4_dot.DotPlan`.

    Members
    -------
    step: In(:class:`MacStep`); weights: In(512), INT4 of class i and lane t at nibble 16 i + t; code: In, features as
        :func:`hw.enmc.int4_dot.feature_code` gives them
    chunks: In, steps of a sum, 1 to 32, stable
    sums: Out(array of 8 x 17 bits), of the step's item
    """

    def __init__(self, plan):
        self.plan = plan
        super().__init__({
            "step": In(MacStep), "weights": In(GROUP_CLASSES * LANES * BITS), "code": In(LANES * plan.code_bits),
            "chunks": In(range(MAX_CHUNKS + 1)), "sums": Out(data.ArrayLayout(SUM_BITS, GROUP_CLASSES)),
        })

    @property
    def latency(self):
        return len(self.plan.cuts)

    def elaborate(self, platform):
        m = Module()
        plan = self.plan
        # All sums begin with minus the offsets of their steps, a multiple of 256.
        start = Signal(SUM_BITS - 8, reset_less=True)
        m.d.sync += start.eq(-(plan.offset >> 8) * self.chunks)
        correction = Signal(plan.correction_bits)
        if plan.booth:
            m.d.comb += correction.eq(self._negative_digits(m))
        for index in range(GROUP_CLASSES):
            m.submodules[f"class_{index}"] = one = ClassMac(plan)
            m.d.comb += [
                one.step.eq(self.step), one.weights.eq(self.weights.word_select(index, LANES * BITS)),
                one.code.eq(self.code), one.start.eq(start), one.correction.eq(correction),
                self.sums[index].eq(one.total),
            ]
        return m

    def _negative_digits(self, m):
        """The sum of the weights of a step's negative Booth digits, when its products are at the accumulators."""
        plan, adders = self.plan, Compressor(m)
        codes = [self.code.word_select(lane, plan.code_bits) for lane in range(LANES)]
        count = Signal(plan.correction_bits, reset_less=True)
        m.d.sync += count.eq(from_bits(adders.sum({0: [code[2] for code in codes], 2: [code[5] for code in codes]},
                                                  plan.correction_bits)))
        return delay(m, count, self.latency - 1, name="count")
