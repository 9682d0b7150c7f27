"""The multi-precision processing element of DOTA's RMMU (thesis 7.6.2, Fig. 7.13)."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.precision import Precision
from hw.arith.recursive_dot import RecursiveDot, reverse_bits
from hw.shared import shared

__all__ = ["MultiPrecisionPe", "PeOp"]

WIDTH = 16
DOT_BITS = 48
ACC_BITS = 44


class PeOp(enum.Enum, shape=2):
    """What a processing element does in a cycle."""

    NOP = 0
    DOT = 1
    MAC = 2


@shared
class MultiPrecisionPe(wiring.Component):
    """1 FX16, 4 INT8, 16 INT4 or 64 INT2 products a cycle from one recursive multiplier, and an FX16 accumulator.

    A beat is a cycle with ``op`` other than NOP. It takes the streamed operands from ``col`` (32 bits: 4 INT8, 8 INT4
    or 16 INT2; in FX16 the half that ``half`` selects) and meets them with the stationary tile. The tile is four lanes
    of 32 bits: lane j holds the operands of dot product j, so FX16 uses 16 bits of it, INT8 one lane, INT4 two, INT2
    all. The tile is double-buffered: ``load`` writes lanes of the shadow tile at any time; a beat with ``swap`` makes
    the shadow (as it was before this cycle's load) the active tile and already uses it.

    DOT emits the dot products as 48 / lanes bit two's complement segments of ``dot`` (1, 1, 2, 4 segments), in any
    mode. MAC (FX16 only) streams both operands: ``row`` replaces the tile's lowest 16 bits, and the product is added
    to ``acc``, or starts it anew with ``first``. Nothing but MAC changes ``acc``, not even a reset: the first MAC after
    one must have ``first``. It wraps at 44 bits, which takes more than 8192 products.

    Latency: a beat's ``dot`` is there ``latency`` cycles after it, its ``acc`` ``mac_latency`` cycles. Throughput: one
    beat a cycle, of any mode and operation after any other. ``dot`` of a cycle without DOT is undefined.

    Parameters
    ----------
    dot_class:
        The unit that makes the dot products: :class:`RecursiveDot`, or one with the same ports and result format.
    cuts:
        Where that unit is pipelined, see :class:`RecursiveDot`; each cut adds a cycle.
    double_buffered:
        ``False`` leaves out the shadow tile: ``load`` then writes the active one, ``swap`` does nothing. It is there
        to measure the element as published figures count it, with 128 stationary bits.
    """

    #: Of the default ``cuts``; an element with others has its own.
    cuts = (8,)
    latency = 3
    mac_latency = 4

    mode: In(Precision)
    op: In(PeOp)
    first: In(1)
    swap: In(1)
    half: In(1)
    col: In(32)
    row: In(WIDTH)
    load: In(4)
    load_data: In(32)
    dot: Out(DOT_BITS)
    acc: Out(signed(ACC_BITS))

    def __init__(self, *, dot_class=RecursiveDot, cuts=cuts, double_buffered=True):
        self._dot_class, self.cuts, self._double_buffered = dot_class, tuple(cuts), double_buffered
        self.latency = 2 + len(self.cuts)
        self.mac_latency = self.latency + 1
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.products = products = self._dot_class(WIDTH, self.cuts)
        mode, mac, first = self._pipeline(m)
        m.d.comb += [products.x.eq(self._operand(m)), products.tile.eq(self._tile(m)), products.mode.eq(mode[1])]
        result = Signal(2 * WIDTH, reset_less=True)
        m.d.sync += result.eq(products.result)
        self._emit(m, mode[-1], result)
        product = Cat(result[:-1], ~result[-1]).as_signed()
        start = mac[-1] & first[-1]
        acc = Signal(signed(ACC_BITS), reset_less=True)
        m.d.sync += acc.eq(Mux(start, 0, acc) + Mux(mac[-1], product, 0))
        m.d.comb += self.acc.eq(acc)
        return m

    def _pipeline(self, m):
        """``mode``, "is a MAC" and ``first`` as lists: as they come, then delayed by 1, 2, ... ``latency`` cycles."""
        stages = []
        for name, value in (("mode", self.mode), ("mac", self.op == PeOp.MAC), ("first", self.first)):
            chain = [value]
            for stage in range(1, self.latency + 1):
                delayed = Signal.like(value, name=f"{name}_{stage}", reset_less=name != "mac")
                m.d.sync += delayed.eq(chain[-1])
                chain.append(delayed)
            stages.append(chain)
        return stages

    def _operand(self, m):
        """The streamed operands, registered; an FX16 operand stands in both halves."""
        operand = Signal(32, reset_less=True)
        wide = self.mode == Precision.FX16
        low, high = self.col[:WIDTH], self.col[WIDTH:]
        m.d.sync += operand.eq(Cat(Mux(wide & self.half, high, low), Mux(wide & ~self.half, low, high)))
        return operand

    def _tile(self, m):
        """The active tile."""
        active = Signal(data.ArrayLayout(32, 4), reset_less=True)
        loaded = active
        if self._double_buffered:
            loaded = Signal(data.ArrayLayout(32, 4), reset_less=True, name="shadow")
            with m.If((self.op != PeOp.NOP) & self.swap):
                m.d.sync += active.eq(loaded)
        for lane in range(4):
            with m.If(self.load[lane]):
                m.d.sync += loaded[lane].eq(self.load_data)
        with m.If(self.op == PeOp.MAC):
            m.d.sync += active[0][:WIDTH].eq(self.row)
        return active.as_value()

    def _emit(self, m, mode, result):
        """Fields of the result, their inverted sign bits put right, as segments of ``dot``."""
        with m.Switch(mode):
            for precision in Precision:
                lanes = precision.dot_lanes
                field, segment = 2 * WIDTH // lanes, DOT_BITS // lanes
                sign = RecursiveDot.sign_bit(WIDTH, precision.value)
                parts = []
                for lane in range(lanes):
                    low = field * reverse_bits(lane, lanes.bit_length() - 1)
                    parts.append(Cat(result[low:low + sign], (~result[low + sign]).replicate(segment - sign)))
                with m.Case(precision):
                    m.d.comb += self.dot.eq(Cat(parts))
