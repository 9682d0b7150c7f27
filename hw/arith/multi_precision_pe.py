"""The multi-precision processing element of DOTA's RMMU (thesis 7.6.2, Fig. 7.13)."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.precision import Precision

__all__ = ["MultiPrecisionPe", "PeOp"]


class PeOp(enum.Enum, shape=2):
    """What a processing element does in a cycle."""

    NOP = 0
    DOT = 1
    MAC = 2


class MultiPrecisionPe(wiring.Component):
    """Multi-precision PE: 1 FX16, 4 INT8, 16 INT4 or 64 INT2 products a cycle; one beat a cycle.

    ``dot`` shows a DOT beat's result ``latency`` cycles after the beat, ``acc`` a MAC beat's ``mac_latency``.
    """

    latency = 2
    mac_latency = 3

    mode: In(Precision)
    op: In(PeOp)
    first: In(1)
    swap: In(1)
    half: In(1)
    col: In(32)
    row: In(16)
    load: In(4)
    load_data: In(32)
    dot: Out(48)
    acc: Out(signed(44))

    def elaborate(self, platform):
        m = Module()
        shadow = Signal(data.ArrayLayout(32, 4), reset_less=True)
        active = Signal(data.ArrayLayout(32, 4), reset_less=True)
        operand = Signal(32, reset_less=True)
        mode = Signal(Precision)
        mac, first = Signal(), Signal()
        beat = self.op != PeOp.NOP
        for lane in range(4):
            with m.If(self.load[lane]):
                m.d.sync += shadow[lane].eq(self.load_data)
        m.d.sync += [mac.eq(self.op == PeOp.MAC), first.eq(self.first), mode.eq(self.mode)]
        with m.If(beat):
            m.d.sync += operand.eq(self.col)
            with m.If((self.mode == Precision.FX16) & self.half):
                m.d.sync += operand[:16].eq(self.col[16:])
            with m.If(self.swap):
                m.d.sync += active.eq(shadow)
        with m.If(self.op == PeOp.MAC):
            m.d.sync += active[0][:16].eq(self.row)

        def dot_product(lane, bits):
            terms = [operand[low:low + bits].as_signed() * active[lane][low:low + bits].as_signed()
                     for low in range(0, 32, bits)]
            return sum(terms[1:], terms[0])

        product = Signal(signed(32))
        m.d.comb += product.eq(operand[:16].as_signed() * active[0][:16].as_signed())
        results = {precision: Signal(48, name=f"dot_{precision.name.lower()}") for precision in Precision}
        m.d.comb += results[Precision.FX16].eq(product)
        for precision in (Precision.INT8, Precision.INT4, Precision.INT2):
            lanes = precision.dot_lanes
            parts = [Signal(signed(48 // lanes), name=f"{precision.name.lower()}_{lane}") for lane in range(lanes)]
            m.d.comb += [part.eq(dot_product(lane, precision.bits)) for lane, part in enumerate(parts)]
            m.d.comb += results[precision].eq(Cat(*parts))
        with m.Switch(mode):
            for precision in Precision:
                with m.Case(precision):
                    m.d.sync += self.dot.eq(results[precision])
        mac_2, first_2, product_2 = Signal(), Signal(), Signal(signed(32), reset_less=True)
        m.d.sync += [mac_2.eq(mac), first_2.eq(first), product_2.eq(product)]
        with m.If(mac_2):
            m.d.sync += self.acc.eq(Mux(first_2, 0, self.acc) + product_2)
        return m
