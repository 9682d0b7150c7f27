"""The three passes of the multi-function unit. All are free-running pipelines: what goes in comes out, on time."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.adder_tree import AdderTree
from hw.arith.exponential import Exponential
from hw.arith.maximum_tree import MaximumTree
from hw.arith.pipeline import delay, tree_latency
from hw.arith.precision import Precision
from hw.arith.reciprocal import Reciprocal
from hw.dota.mfu_lane import ExponentLane, WeightLane
from hw.dota.mfu_types import (EXP_FRACTION, EXP_INTEGER, FACTOR_FRACTION, SUM_FRACTION, TERM_FRACTION, MfuInput,
                               MfuOp, MfuOutput)

__all__ = ["MaximumPass", "TermPass", "TermTag", "WeightPass"]

_LEAST = -(1 << 15)


def ends_row(beat):
    """Whether a beat ends a row: conversions are rows of one beat to the passes, whatever their ``last`` says."""
    return beat.last | (beat.op != MfuOp.SOFTMAX)


class TermTag(data.StructLayout):
    """What travels with a beat of terms: ``convert`` marks numbers that are passed on, not multiplied."""

    def __init__(self, lanes):
        super().__init__({"count": range(lanes + 1), "last": 1, "convert": 1})


class MaximumPass(wiring.Component):
    """Greatest valid number of each row (-32768 for none). ``done`` is high for one cycle with ``maximum``, ``latency``
    cycles after ``valid`` with the row's last beat. Takes a beat a cycle.
    """

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__({"valid": In(1), "beat": In(MfuInput(lanes)), "done": Out(1), "maximum": Out(signed(16))})

    @staticmethod
    def latency(lanes):
        """Cycles from ``valid`` to ``done``."""
        return 2 + tree_latency(lanes, 1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.tree = tree = MaximumTree(self.lanes, signed(16), levels_per_stage=1)
        for lane in range(self.lanes):
            number = Signal(signed(16), name=f"number_{lane}", reset_less=True)
            own = self.beat.data[16 * lane:16 * lane + 16].as_signed()
            m.d.sync += number.eq(Mux(lane < self.beat.count, own, _LEAST))
            m.d.comb += tree.x[lane].eq(number)
        valid = delay(m, self.valid, 1 + tree.latency, name="valid", control=True)
        end = delay(m, ends_row(self.beat), 1 + tree.latency, name="end")

        running = Signal(signed(16), init=_LEAST)
        maximum = Signal(signed(16), reset_less=True)
        done = Signal()
        greater = Mux(tree.maximum > running, tree.maximum, running)
        m.d.sync += [maximum.eq(greater), done.eq(valid & end)]
        with m.If(valid):
            m.d.sync += running.eq(Mux(end, _LEAST, greater))
        m.d.comb += [self.maximum.eq(maximum), self.done.eq(done)]
        return m


class TermPass(wiring.Component):
    """Exponentials of a row and the reciprocal of their sum; conversions.

    A beat in (``valid``, ``beat``, with its row's ``maximum``) gives a beat of ``terms`` with ``tag``, marked by
    ``terms_valid``, ``latency`` cycles later. A row's last beat gives ``factor``, marked by ``factor_valid``,
    ``factor_latency`` cycles later: the reciprocal of the row's sum, or one where the beat is a conversion.
    Takes a beat a cycle, rows back to back. Terms are Q1.15, or the converted numbers in packed form.
    """

    latency = 1 + ExponentLane.latency + Exponential.latency

    def __init__(self, lanes, max_row):
        self.lanes, self.max_row = lanes, max_row
        super().__init__({
            "valid": In(1), "beat": In(MfuInput(lanes)), "maximum": In(signed(16)),
            "scale": In(16), "scale_shift": In(5),
            "terms_valid": Out(1), "terms": Out(16 * lanes), "tag": Out(TermTag(lanes)),
            "factor_valid": Out(1), "factor": Out(unsigned(FACTOR_FRACTION + 1)),
        })

    @classmethod
    def factor_latency(cls, lanes):
        """Cycles from a row's last beat to its factor."""
        return cls.latency + tree_latency(lanes, 2) + 1 + Reciprocal.latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.tree = tree = AdderTree(self.lanes, unsigned(SUM_FRACTION + 1), levels_per_stage=2)
        m.submodules.reciprocal = reciprocal = Reciprocal(
            (self.max_row << SUM_FRACTION).bit_length(), fraction=SUM_FRACTION, result_fraction=FACTOR_FRACTION)
        beat, softmax = self.beat, self.beat.op == MfuOp.SOFTMAX

        # Cycle 1: each lane's number, unpacked, and what the lanes have in common, from then on delayed until its use.
        maximum = Signal(signed(16), reset_less=True)
        factor = Signal(16, reset_less=True)
        shift = Signal(5, reset_less=True)
        limit = Signal(15, reset_less=True)
        narrow_in = Mux(beat.op == MfuOp.DEQUANTIZE, beat.precision, Precision.FX16)
        narrow_out = Mux(beat.op == MfuOp.QUANTIZE, beat.precision, Precision.FX16)
        m.d.sync += maximum.eq(self.maximum)
        with m.Switch(beat.op):
            with m.Case(MfuOp.SOFTMAX):
                m.d.sync += [factor.eq(self.scale), shift.eq(self.scale_shift)]
            with m.Case(MfuOp.DEQUANTIZE):  # whatever a shift of more than 15 saturates, one of 15 does as well
                m.d.sync += [factor.eq(1 << Mux(beat.shift > 15, 15, beat.shift[:4])), shift.eq(0)]
            with m.Default():  # a shift of more than 16 leaves nothing of an int16, like one of 16
                m.d.sync += [factor.eq(1), shift.eq(Mux(beat.shift > 16, 16, beat.shift))]
        with m.Switch(narrow_out):
            for precision in Precision:
                with m.Case(precision):
                    m.d.sync += limit.eq((1 << (precision.bits - 1)) - 1)
        factor = delay(m, factor, 1, name="factor")
        shift = delay(m, shift, 3, name="shift")
        limit = delay(m, limit, 4, name="limit")
        count = delay(m, beat.count, 5, name="count")
        lane_softmax = delay(m, softmax, 1, name="softmax")
        late_softmax = delay(m, lane_softmax, 4, name="softmax_late")

        values, terms = [], []
        for index in range(self.lanes):
            number = Signal(signed(16), name=f"number_{index}", reset_less=True)
            with m.Switch(narrow_in):
                for precision in Precision:
                    bits = precision.bits
                    with m.Case(precision):
                        m.d.sync += number.eq(beat.data[bits * index:bits * (index + 1)].as_signed())
            m.submodules[f"lane_{index}"] = lane = ExponentLane(EXP_INTEGER + EXP_FRACTION)
            m.submodules[f"exponential_{index}"] = exponential = Exponential(
                fraction=EXP_FRACTION, integer=EXP_INTEGER, mantissa_fraction=TERM_FRACTION,
                result_fraction=SUM_FRACTION)
            m.d.comb += [
                lane.number.eq(number), lane.maximum.eq(maximum), lane.softmax.eq(lane_softmax),
                lane.factor.eq(factor), lane.shift.eq(shift), lane.limit.eq(limit),
                lane.exponent.eq(late_softmax & (index < count)), lane.convert.eq(~late_softmax & (index < count)),
                exponential.x.eq(lane.x), tree.x[index].eq(exponential.y),
            ]
            values.append(lane.value)
            terms.append(exponential.y[SUM_FRACTION - TERM_FRACTION:])

        # While the exponentials are made, converted numbers are packed. Of the two, one is always zero.
        packed = Signal(16 * self.lanes, reset_less=True)
        packing = delay(m, narrow_out, 1 + ExponentLane.latency, name="packing")
        with m.Switch(packing):
            for precision in Precision:
                with m.Case(precision):
                    m.d.sync += packed.eq(Cat(value[:precision.bits] for value in values))
        packed = delay(m, packed, Exponential.latency - 1, name="packed")
        tag = Signal(TermTag(self.lanes))
        m.d.comb += [tag.count.eq(beat.count), tag.last.eq(beat.last), tag.convert.eq(~softmax)]
        valid = delay(m, self.valid, self.latency, name="valid", control=True)
        tag = delay(m, tag, self.latency, name="tag")
        m.d.comb += [self.terms_valid.eq(valid), self.terms.eq(Cat(terms) | packed), self.tag.eq(tag)]

        # The row's sum, its reciprocal.
        valid = delay(m, valid, tree.latency, name="sum_valid", control=True)
        convert = delay(m, tag.convert, tree.latency, name="sum_convert")
        end = delay(m, tag.last | tag.convert, tree.latency, name="sum_end")
        so_far = Signal(reciprocal.x.shape())
        total = Signal(reciprocal.x.shape(), reset_less=True)
        m.d.sync += total.eq(so_far + tree.total)
        with m.If(valid):
            m.d.sync += so_far.eq(Mux(end, 0, so_far + tree.total))
        wait = 1 + Reciprocal.latency
        convert = delay(m, convert, wait, name="factor_convert")
        m.d.comb += [
            reciprocal.x.eq(total),
            self.factor.eq(Mux(convert, 1 << FACTOR_FRACTION, reciprocal.y)),
            self.factor_valid.eq(delay(m, valid & end, wait, name="factor_valid", control=True)),
        ]
        return m


class WeightPass(wiring.Component):
    """Terms times their row's factor, rounded and saturated to int16 weights, ``latency`` cycles later.

    Takes a beat a cycle. A converted number is multiplied by one, which leaves any bit pattern as it is.
    """

    latency = WeightLane.latency

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__({
            "valid": In(1), "terms": In(16 * lanes), "tag": In(TermTag(lanes)),
            "factor": In(unsigned(FACTOR_FRACTION + 1)),
            "weights_valid": Out(1), "weights": Out(MfuOutput(lanes)),
        })

    def elaborate(self, platform):
        m = Module()
        weights = []
        for index in range(self.lanes):
            m.submodules[f"lane_{index}"] = lane = WeightLane(FACTOR_FRACTION)
            term = self.terms[16 * index:16 * (index + 1)]
            sign = term[-1] & self.tag.convert  # a term of 1.0 has its highest bit set, too
            m.d.comb += [lane.number.eq(Cat(term, sign)), lane.factor.eq(self.factor)]
            weights.append(lane.weight)
        tag = delay(m, self.tag, self.latency, name="tag")
        m.d.comb += [
            self.weights.data.eq(Cat(weights)), self.weights.count.eq(tag.count), self.weights.last.eq(tag.last),
            self.weights_valid.eq(delay(m, self.valid, self.latency, name="valid", control=True)),
        ]
        return m
