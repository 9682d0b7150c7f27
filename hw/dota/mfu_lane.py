"""Arithmetic of one lane of the multi-function unit: exponent and conversion before the row sum, weight after it."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.pipelined_multiplier import PipelinedMultiplier

__all__ = ["ExponentLane", "WeightLane"]


class ExponentLane(wiring.Component):
    """One multiplier and one shifter that serve softmax, quantize and dequantize.

    Softmax: ``x = min(((maximum - number) * factor) >> shift, all ones)``, ``value = 0``.
    Otherwise: ``value = saturate(round(number * factor / 2^shift))``, ``x`` = all ones (its exponential is 0).
    With neither, ``value`` = 0 and ``x`` = all ones. Latency: 5 cycles. Throughput: a number a cycle, free running.

    Control is the same for all lanes, so the caller delays it: each port is wanted in the cycle of its use.

    Ports
    -----
    ``number``, ``maximum`` In(signed 16), ``softmax`` In(1): cycle 0
    ``factor`` In(16): cycle 1; the softmax scale, ``2^shift`` to dequantize, 1 to quantize
    ``shift`` In(5): cycle 3
    ``exponent`` In(1): cycle 4; the lane is valid and softmax
    ``convert`` In(1): cycle 4; the lane is valid and not softmax
    ``limit`` In(15): cycle 4; the greatest converted number, ``2^(bits-1) - 1``
    ``x`` Out(unsigned ``exponent_bits``), ``value`` Out(signed 16): cycle 5
    """

    latency = 5

    def __init__(self, exponent_bits=17):
        super().__init__({
            "number": In(signed(16)), "maximum": In(signed(16)), "softmax": In(1),
            "factor": In(16), "shift": In(5), "exponent": In(1), "convert": In(1), "limit": In(15),
            "x": Out(unsigned(exponent_bits)), "value": Out(signed(16)),
        })

    def elaborate(self, platform):
        m = Module()

        # Stage 1: the distance to the maximum, or the number itself. Stages 2 and 3: the product.
        m.submodules.multiplier = multiplier = PipelinedMultiplier(17, 16)
        operand = Signal(signed(17), reset_less=True)
        m.d.sync += operand.eq(Mux(self.softmax, self.maximum - self.number, self.number))
        m.d.comb += [multiplier.a.eq(operand), multiplier.b.eq(self.factor)]

        # Stage 4: shift right, with one bit kept below the binary point to round with.
        shifted = Signal(signed(len(multiplier.product) + 1), reset_less=True)
        m.d.sync += shifted.eq(Cat(0, multiplier.product).as_signed() >> self.shift)

        # Stage 5: saturate.
        x = Signal(self.x.shape(), reset_less=True)
        distance = shifted[1:]
        ones = ~self.exponent | distance[len(x):].any()
        m.d.sync += x.eq(distance[:len(x)] | ones.replicate(len(x)))

        # A number in one's complement sign and magnitude is in range when it has no bit beyond the limit's. The sign
        # is that of the rounded number (-0.5 becomes 0), unless that has lost its own by being cut to 17 bits.
        value = Signal(signed(16), reset_less=True)
        rounded = Signal(signed(17))
        magnitude = Signal(16)
        cut = Signal()
        negative = Signal()
        m.d.comb += [
            rounded.eq((shifted[:17].as_signed() + 1) >> 1),
            cut.eq(shifted[16:-1] != shifted[-1].replicate(len(shifted) - 17)),
            negative.eq(Mux(cut, shifted[-1], rounded[-1])),
            magnitude.eq(rounded[:16] ^ rounded[-1].replicate(16)),
        ]
        beyond = cut | (magnitude & ~self.limit).any()
        clipped = Mux(beyond, self.limit, magnitude[:15])
        converted = Cat(clipped ^ negative.replicate(15), negative)
        m.d.sync += value.eq(converted & self.convert.replicate(16))
        m.d.comb += [self.x.eq(x), self.value.eq(value)]
        return m


class WeightLane(wiring.Component):
    """``weight = saturate(round(number * factor / 2^fraction))`` with saturation to int16.

    ``number`` In(signed 17): an exponential, Q1.15 in 0 to 32768, or any int16 when ``factor`` is one. ``factor``
    In(unsigned ``fraction + 1``): at most one. ``weight`` Out(signed 16). Latency: 3 cycles, free running.
    """

    latency = 3

    def __init__(self, fraction=17):
        self.fraction = fraction
        super().__init__({"number": In(signed(17)), "factor": In(unsigned(fraction + 1)), "weight": Out(signed(16))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiplier = multiplier = PipelinedMultiplier(17, self.fraction + 1)
        m.d.comb += [multiplier.a.eq(self.number), multiplier.b.eq(self.factor)]

        rounded = Signal(signed(17))  # at most 32768, since the factor is at most one
        weight = Signal(signed(16), reset_less=True)
        m.d.comb += rounded.eq(multiplier.product[self.fraction:].as_signed() + multiplier.product[self.fraction - 1])
        m.d.sync += weight.eq(Mux(rounded[15:] == 0b01, 0x7FFF, rounded))
        m.d.comb += self.weight.eq(weight)
        return m
