"""Dequantizer: an INT16 that stands for an activation's code (thesis 5.1.1, step 4)."""

from amaranth.hdl import Cat, Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.duet.function import Function

__all__ = ["Dequantizer"]


class Dequantizer(wiring.Component):
    """The number of a code of :class:`hw.duet.activation_code.ActivationCode`. Combinational, latency 0.

    - ``NONE``: code * 2^(16 - code_bits), signed.
    - ``RELU``: code * 2^(15 - code_bits).
    - ``SIGMOID``: the code's bits over and over from the top of 15 bits: 1 is 32767.
    - ``TANH``: the magnitude's bits the same way, negated where the sign bit is set.

    Ports: ``code`` In(code_bits), ``curve`` In(:class:`Function`), ``z`` Out(signed(16)).
    """

    def __init__(self, code_bits):
        super().__init__({"code": In(code_bits), "curve": In(Function), "z": Out(signed(16))})

    def elaborate(self, platform):
        m = Module()
        code, size = self.code, len(self.code)
        with m.Switch(self.curve):
            with m.Case(Function.NONE):
                m.d.comb += self.z.eq(code.as_signed() << 16 - size)
            with m.Case(Function.RELU):
                m.d.comb += self.z.eq(code << 15 - size)
            with m.Case(Function.SIGMOID):
                m.d.comb += self.z.eq(_repeated(code))
            with m.Case(Function.TANH):
                # Every bit of a negated number is the complement, but for the +1.
                sign = code[-1]
                m.d.comb += self.z.eq((Cat(_repeated(code[:-1]), 0) ^ sign.replicate(16)) + sign)
        return m


def _repeated(code):
    """15 bits that repeat ``code`` from the top."""
    return Cat(code.replicate(-(-15 // len(code))))[-15:]
