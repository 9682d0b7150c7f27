"""The Speculator's activation functions, as short codes."""

import math

from amaranth.hdl import Cat, Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.lookup import lookup
from hw.duet.function import Function

__all__ = ["ActivationCode"]


class ActivationCode(wiring.Component):
    """The code of ``code_bits`` of an activation from its pre-activation. Combinational, latency 0.

    - ``NONE``: the top bits of ``pre``, two's complement.
    - ``RELU``: max(pre, 0) >> (pre_bits - 1 - code_bits).
    - ``SIGMOID``, ``TANH``: of pre / 2^(pre_bits - 4), rounded to the nearest of the 2^code_bits - 1 steps from 0 to 1,
      or of the 2^(code_bits-1) - 1 steps of the magnitude, below the sign of ``pre``. Error at most half a step.

    One table serves both signs: sigmoid(-x) = 1 - sigmoid(x) is the complement of a code, tanh(-x) = -tanh(x).

    Ports: ``pre`` In(signed(pre_bits)), ``curve`` In(:class:`Function`), ``code`` Out(code_bits).
    """

    def __init__(self, pre_bits, code_bits):
        super().__init__({"pre": In(signed(pre_bits)), "curve": In(Function), "code": Out(code_bits)})

    def elaborate(self, platform):
        m = Module()
        pre_bits, code_bits = len(self.pre), len(self.code)
        negative, size = self.pre[-1], code_bits - 1
        # |pre| is index, or index + 1 where negative.
        index = self.pre[:-1] ^ negative.replicate(pre_bits - 1)
        magnitudes = [*range(1 << pre_bits - 1), *range(1, (1 << pre_bits - 1) + 1)]
        points = [magnitude / (1 << pre_bits - 4) for magnitude in magnitudes]
        top = (1 << code_bits) - 1
        sigmoid = [_round(top / (1 + math.exp(-x))) - (1 << size) for x in points]
        tanh = [_round((top >> 1) * math.tanh(x)) for x in points]
        steps = {Function.SIGMOID: lookup(m, Cat(index, negative), sigmoid, size, name="sigmoid"),
                 Function.TANH: lookup(m, Cat(index, negative), tanh, size, name="tanh")}
        doubled = Cat(0, self.pre[:-1] & ~negative.replicate(pre_bits - 1))
        with m.Switch(self.curve):
            with m.Case(Function.NONE):
                m.d.comb += self.code.eq(self.pre[-code_bits:])
            with m.Case(Function.RELU):
                m.d.comb += self.code.eq(doubled[-code_bits:])
            with m.Case(Function.SIGMOID):
                m.d.comb += self.code.eq(Cat(steps[Function.SIGMOID] ^ negative.replicate(size), ~negative))
            with m.Case(Function.TANH):
                m.d.comb += self.code.eq(Cat(steps[Function.TANH], negative))
        return m


def _round(x):
    """The nearest integer, halves up."""
    return math.floor(x + 0.5)
