"""From an exact sum to an approximate score: scales, shift, bias (docs/enmc/machine.md, Numbers)."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.pipeline import delay
from hw.arith.pipelined_multiplier import PipelinedMultiplier
from hw.arith.saturating_shift import SaturatingShift
from hw.enmc.screener_types import SUM_BITS
from hw.shared import shared

__all__ = ["ScoreLane"]

SCALE_BITS = 16
HALF = SCALE_BITS // 2


@shared
class ScoreLane(wiring.Component):
    """``z = saturate(requantize(total * scale * item_scale, shift) + bias)``, all to 32 bits.

    Latency: ``latency`` = 7 cycles. Throughput: one a cycle, free running.

    Members
    -------
    total: In(signed(17)), scale: In(16), bias: In(signed(32)), of a class
    item_scale: In(16), of the item whose ``total`` came :attr:`item_latency` cycles before
    shift: In(range(48)), half: In(48), half of 2^shift, 0 of shift 0; wrap: In(1): the last sum wraps at 32 bits; all
        three stable
    z: Out(signed(32))
    """

    item_latency = 3
    latency = 7

    total: In(signed(SUM_BITS))
    scale: In(SCALE_BITS)
    item_scale: In(SCALE_BITS)
    bias: In(signed(32))
    shift: In(range(48))
    half: In(48)
    wrap: In(1)
    z: Out(signed(32))

    def elaborate(self, platform):
        m = Module()
        total, scale = Signal.like(self.total, reset_less=True), Signal.like(self.scale, reset_less=True)
        m.submodules.multiplier = multiplier = PipelinedMultiplier(SUM_BITS, SCALE_BITS)
        m.d.sync += [total.eq(self.total), scale.eq(self.scale)]
        m.d.comb += [multiplier.a.eq(total), multiplier.b.eq(scale)]
        width = SUM_BITS + 2 * SCALE_BITS
        low = Signal(signed(width - HALF), reset_less=True)
        high = Signal(signed(width - HALF), reset_less=True)
        product = Signal(signed(width), reset_less=True)
        m.d.sync += [
            low.eq(multiplier.product * self.item_scale[:HALF]),
            high.eq(multiplier.product * self.item_scale[HALF:]),
            # Less than 2^47 + 2^46.
            product.eq((high << HALF) + low + self.half),
        ]
        m.submodules.shift = shift = SaturatingShift(width, 32, 47)
        shifted = Signal(signed(32), reset_less=True)
        m.d.comb += [shift.x.eq(product), shift.shift.eq(self.shift)]
        m.d.sync += shifted.eq(shift.y)
        bias = delay(m, self.bias, self.latency - 1, name="bias")
        added, z = Signal(signed(33)), Signal.like(self.z, name="z_register", reset_less=True)
        over = Signal()
        m.d.comb += [added.eq(shifted + bias), over.eq((added[32] ^ added[31]) & ~self.wrap), self.z.eq(z)]
        m.d.sync += z.eq(Mux(over, added[32].replicate(32) ^ ((1 << 31) - 1), added))
        return m
