"""Arithmetic of one lane of the multi-function unit: exponent and conversion before the row sum, weight after it."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.pipelined_multiplier import PipelinedMultiplier

__all__ = ["ExponentLane", "LaneControl", "WeightLane"]


class LaneControl(data.Struct):
    """What the lanes of one beat have in common.

    Attributes
    ----------
    softmax: the lane makes an exponent; else it converts a number
    factor: what the lane's number is multiplied by: the softmax scale, ``2^shift`` to dequantize, 1 to quantize
    shift: right shift of the product
    limit: the greatest result of a conversion, ``2^(bits-1) - 1``
    """

    softmax: 1
    factor: 16
    shift: 5
    limit: 15


class ExponentLane(wiring.Component):
    """One multiplier and one shifter that serve softmax, quantize and dequantize.

    Softmax: ``x = min(((maximum - number) * factor) >> shift, all ones)``, ``value = 0``.
    Otherwise: ``value = saturate(round(number * factor / 2^shift))``, ``x`` = all ones (its exponential is 0).
    A lane without ``valid`` gives ``value`` = 0 and ``x`` = all ones. Latency: 5 cycles, one beat a cycle, free running.

    Ports: ``control`` In(LaneControl), ``valid`` In(1), ``number`` In(signed 16), ``maximum`` In(signed 16),
    ``x`` Out(unsigned ``exponent_bits``), ``value`` Out(signed 16).
    """

    latency = 5

    def __init__(self, exponent_bits=17):
        super().__init__({
            "control": In(LaneControl),
            "valid": In(1),
            "number": In(signed(16)),
            "maximum": In(signed(16)),
            "x": Out(unsigned(exponent_bits)),
            "value": Out(signed(16)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiplier = multiplier = PipelinedMultiplier(17, 16)

        # Stage 1: the distance to the maximum, or the number itself. Stages 2 and 3: the product.
        operand = Signal(signed(17), reset_less=True)
        control, valid = self.control, self.valid
        m.d.sync += operand.eq(Mux(self.control.softmax, self.maximum - self.number, self.number))
        travelling = [(control, valid)]
        for stage in range(1, 5):
            control = Signal(LaneControl, name=f"control_{stage}", reset_less=True)
            valid = Signal(name=f"valid_{stage}", reset_less=True)
            m.d.sync += [control.eq(travelling[-1][0]), valid.eq(travelling[-1][1])]
            travelling.append((control, valid))
        m.d.comb += [multiplier.a.eq(operand), multiplier.b.eq(travelling[1][0].factor)]

        # Stage 4: shift right, with one bit kept below the binary point to round with.
        shifted = Signal(signed(len(multiplier.product) + 1), reset_less=True)
        doubled = Cat(0, multiplier.product).as_signed()
        m.d.sync += shifted.eq(doubled >> travelling[3][0].shift)

        # Stage 5: saturate.
        control, valid = travelling[4]
        x = Signal(self.x.shape(), reset_less=True)
        exponent = shifted[1:]
        absent = ~valid | ~control.softmax | exponent[len(x):].any()
        m.d.sync += x.eq(exponent[:len(x)] | absent.replicate(len(x)))

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
        beyond = cut | (magnitude & ~control.limit).any()
        clipped = Mux(beyond, control.limit, magnitude[:15])
        with m.If(valid & ~control.softmax):
            m.d.sync += value.eq(Cat(clipped ^ negative.replicate(15), negative))
        with m.Else():
            m.d.sync += value.eq(0)
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
