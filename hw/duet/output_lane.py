"""OutputLane: from a row's sums to its segment of results."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.fixed import Requantize
from hw.duet.executor_types import BIAS_BITS, MAX_BIAS_SHIFT, RESULT_BITS
from hw.shared import shared

__all__ = ["OutputLane"]


@shared
class OutputLane(wiring.Component):
    """Bias, requantization, ReLU, and placement with or without maximum, of one row.

    Throughput: a sum a cycle. Latency: :attr:`latency` = 3 cycles from ``sum`` to the cycle in which ``write`` and
    ``word`` belong to it; the segment has it in the cycle after.

    Parameters: ``config`` an :class:`~hw.duet.executor_types.ExecutorConfig`

    Members
    -------
    sum: In(signed(sum_bits)); bias: In, shifted; shift: In; relu, pool: In
    clear: In, the segment begins as zeros
    write, word: In, the result goes there; with ``pool`` if it is greater than what is there, which then is not
        negative
    replace, value: In, ``value`` takes the place of word 0 if anything was written there
    data: Out(segment * 16); nonzero: Out(segment)
    """

    latency = 3

    def __init__(self, config):
        self.config = config
        super().__init__({
            "sum": In(signed(config.sum_bits)), "bias": In(signed(BIAS_BITS + MAX_BIAS_SHIFT)),
            "shift": In(range(config.sum_bits)), "relu": In(1), "pool": In(1),
            "clear": In(1), "write": In(1), "word": In(config.word_bits),
            "replace": In(1), "value": In(signed(RESULT_BITS)),
            "data": Out(RESULT_BITS * config.segment), "nonzero": Out(config.segment),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        wide = 1 + max(config.sum_bits, BIAS_BITS + MAX_BIAS_SHIFT)
        biased, shifted = Signal(signed(wide), reset_less=True), Signal(signed(wide + 1), reset_less=True)
        result = Signal(signed(RESULT_BITS), reset_less=True)
        # Requantizing in two cycles: all but the last bit of the shift, which rounds.
        m.submodules.requantize = requantize = Requantize(wide + 1, RESULT_BITS, 1)
        m.d.sync += [biased.eq(self.sum + self.bias), shifted.eq((biased << 1).as_signed() >> self.shift),
                     result.eq(Mux(self.relu & requantize.y[-1], 0, requantize.y))]
        m.d.comb += [requantize.x.eq(shifted), requantize.shift.eq(1)]

        words = Signal(data.ArrayLayout(signed(RESULT_BITS), config.segment), reset_less=True)
        nonzero, written, take = Signal(config.segment), Signal(), Signal()
        known = Signal(data.ArrayLayout(signed(RESULT_BITS), config.segment))
        m.d.comb += [known[word].eq(Mux(nonzero[word], words[word], 0)) for word in range(config.segment)]
        m.d.comb += [
            take.eq(self.write & (~self.pool | (result > known[self.word]))),
            self.data.eq(known), self.nonzero.eq(nonzero),
        ]
        with m.If(take):
            m.d.sync += [words[self.word].eq(result), nonzero.bit_select(self.word, 1).eq(result != 0)]
        with m.If(self.write & (self.word == 0)):
            m.d.sync += written.eq(1)
        with m.If(self.replace & written):
            m.d.sync += [words[0].eq(self.value), nonzero[0].eq(self.value != 0)]
        with m.If(self.clear):
            m.d.sync += [nonzero.eq(0), written.eq(0)]
        return m
