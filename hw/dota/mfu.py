"""Multi-Function Unit: softmax over sparse rows, quantize, dequantize (thesis 7.6.2).

A row passes three times: its maximum is found while it fills the row buffer; its exponentials are summed while they
fill the term buffer; the terms are multiplied by the reciprocal of their sum. The three passes work on three rows at
once and none of them waits in mid-row, so ``lanes`` results leave every cycle.
"""

import dataclasses

from amaranth.hdl import Assert, Module, Mux, Shape, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config, ConfigError, field
from hw.dota.mfu_passes import MaximumPass, TermPass, TermTag, WeightPass, ends_row
from hw.dota.mfu_types import EXP_FRACTION, FACTOR_FRACTION, MfuInput, MfuOp, MfuOutput
from hw.stream.connect import connect
from hw.stream.fifo import Fifo

__all__ = ["EXP_FRACTION", "Mfu", "MfuConfig", "MfuInput", "MfuOp", "MfuOutput"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MfuConfig(Config):
    """Size of the multi-function unit."""

    lanes: int = field(16, "numbers in a beat", min=2, max=64, power_of_two=True)
    max_row: int = field(512, "longest softmax row; a row has at most max_row / lanes beats", unit="numbers", min=4,
                         max=1024)

    PRESETS = {
        "paper": {},
        "small": {"lanes": 4, "max_row": 32},
        "fpga": {"lanes": 4, "max_row": 64},
    }

    def check(self):
        if self.max_row % self.lanes:
            raise ConfigError("max_row", self.max_row, f"a multiple of lanes = {self.lanes}")

    @property
    def row_beats(self):
        """Beats of the longest row."""
        return self.max_row // self.lanes

    @property
    def latency(self):
        """Cycles from the first beat in to the first beat out, less twice the beats of the row."""
        return (MaximumPass.latency(self.lanes) + TermPass.factor_latency(self.lanes) + WeightPass.latency
                + 3 * Fifo.latency - 2)

    def row_latency(self, beats):
        """Cycles from the first beat in to the first beat out of a row of ``beats`` beats."""
        return self.latency + 2 * beats

    # A queue never fills unless the unit is held up: it has room for the longest row, and for all beats that come in
    # while the result that this row waits for is made and a place that was freed is found free.

    @property
    def row_depth(self):
        """Beats in the row buffer."""
        return self.row_beats + MaximumPass.latency(self.lanes) + Fifo.latency

    @property
    def term_depth(self):
        """Beats in the term buffer."""
        return self.row_beats + TermPass.factor_latency(self.lanes) + Fifo.latency + 1

    @property
    def output_depth(self):
        """Beats in the output queue."""
        return WeightPass.latency + Fifo.latency + 1


class Mfu(wiring.Component):
    """Softmax, quantize, dequantize on ``lanes`` FX16 numbers a cycle, in the order of arrival.

    Ports
    -----
    ``input`` In(stream of :class:`MfuInput`), ``output`` Out(stream of :class:`MfuOutput`): a beat out for a beat in.
    ``scale`` In(16), ``scale_shift`` In(5): the exponent of softmax, to base two and in units of ``2^-EXP_FRACTION``,
    is ``((rowmax - score) * scale) >> scale_shift``; both must be stable while rows are inside.

    Weights are Q0.15 (0 to 32767) and within 2^-11 of the exact softmax. QUANTIZE and DEQUANTIZE beats may stand
    between softmax rows, not inside one; their ``last`` is passed on and means nothing else. A softmax row has at most
    ``config.row_beats`` beats, any of them partial or empty; numbers from ``count`` on are ignored. A longer row is
    cut: each ``row_beats`` beats of it are a row of their own, and ``last`` at ``output`` tells.

    Latency: a row of b beats that comes in without gaps and meets an empty unit has its first beat at ``output``
    ``config.row_latency(b)`` = ``config.latency`` + 2 b cycles after that of its own went in. Throughput: one beat a
    cycle; rows leave without bubbles as long as they do not grow (a row that is longer than all before it by d beats
    costs 2 d cycles, once).
    ``input.ready`` does not depend on ``input.valid``, and falls only when ``output`` is held up. It comes from a
    comparison with a register, ``output`` from registers.
    Buffers: :attr:`memory_bits`.
    """

    def __init__(self, config, *, assertions=False):
        self.config, self.assertions = config, assertions
        super().__init__({
            "input": In(stream.Signature(MfuInput(config.lanes))),
            "output": Out(stream.Signature(MfuOutput(config.lanes))),
            "scale": In(16),
            "scale_shift": In(5),
        })

    @property
    def memory_bits(self):
        """Bits of each queue, by name."""
        return {name: Shape.cast(shape).width * depth for name, (shape, depth) in self._queues().items()}

    def _queues(self):
        """Shape and depth of each queue."""
        lanes = self.config.lanes
        return {
            "rows": (MfuInput(lanes), self.config.row_depth),
            "maxima": (signed(16), self.config.row_depth),
            "terms": (data.StructLayout({"terms": 16 * lanes, "tag": TermTag(lanes)}), self.config.term_depth),
            "factors": (unsigned(FACTOR_FRACTION + 1), self.config.term_depth),
            "outputs": (MfuOutput(lanes), self.config.output_depth),
        }

    def elaborate(self, platform):
        m = Module()
        lanes = self.config.lanes
        m.submodules.maximum_pass = maximum_pass = MaximumPass(lanes)
        m.submodules.term_pass = term_pass = TermPass(lanes, self.config.max_row)
        m.submodules.weight_pass = weight_pass = WeightPass(lanes)
        queues = {}
        for name, (shape, depth) in self._queues().items():
            m.submodules[name] = queues[name] = Fifo(shape, depth, assertions=self.assertions)
        rows, maxima, terms, factors, outputs = queues.values()

        # Pass one, on the way into the row buffer, which holds a row of row_beats beats: a longer one is cut.
        beat = Signal.like(self.input.payload, name="beat")
        inside = Signal(range(self.config.row_beats))
        taken = self.input.valid & self.input.ready
        m.d.comb += beat.eq(self.input.payload)
        with m.If((inside == self.config.row_beats - 1) & (beat.op == MfuOp.SOFTMAX)):
            m.d.comb += beat.last.eq(1)
        with m.If(taken):
            m.d.sync += inside.eq(Mux(ends_row(beat), 0, inside + 1))
        m.d.comb += [
            rows.i.valid.eq(self.input.valid), self.input.ready.eq(rows.i.ready), rows.i.payload.eq(beat),
            maximum_pass.valid.eq(taken),
            maximum_pass.beat.eq(beat),
            maxima.i.valid.eq(maximum_pass.done),
            maxima.i.payload.eq(maximum_pass.maximum),
        ]

        # Pass two, on the way into the term buffer, in which every beat has its place before it sets off.
        start, finish = Signal(), Signal()
        term_place = self._places(m, "term", self.config.term_depth, start, finish)
        m.d.comb += [
            start.eq(rows.o.valid & maxima.o.valid & term_place),
            rows.o.ready.eq(start),
            maxima.o.ready.eq(start & ends_row(rows.o.payload)),
            term_pass.valid.eq(start),
            term_pass.beat.eq(rows.o.payload),
            term_pass.maximum.eq(maxima.o.payload),
            term_pass.scale.eq(self.scale),
            term_pass.scale_shift.eq(self.scale_shift),
            terms.i.valid.eq(term_pass.terms_valid),
            terms.i.payload.terms.eq(term_pass.terms),
            terms.i.payload.tag.eq(term_pass.tag),
            factors.i.valid.eq(term_pass.factor_valid),
            factors.i.payload.eq(term_pass.factor),
        ]

        # Pass three, on the way into the output queue, with places given out in the same way.
        tag = terms.o.payload.tag
        sent = self.output.valid & self.output.ready
        output_place = self._places(m, "output", self.config.output_depth, finish, sent)
        m.d.comb += [
            finish.eq(terms.o.valid & factors.o.valid & output_place),
            terms.o.ready.eq(finish),
            factors.o.ready.eq(finish & (tag.last | tag.convert)),
            weight_pass.valid.eq(finish),
            weight_pass.terms.eq(terms.o.payload.terms),
            weight_pass.tag.eq(tag),
            weight_pass.factor.eq(factors.o.payload),
            outputs.i.valid.eq(weight_pass.weights_valid),
            outputs.i.payload.eq(weight_pass.weights),
        ]
        connect(m, outputs.o, wiring.flipped(self.output))
        if self.assertions:
            self._check(m, queues, taken, inside)
        return m

    def _places(self, m, name, depth, take, give):
        """Whether a queue of ``depth`` has a place that is promised to nobody yet."""
        places = Signal(range(depth + 1), init=depth, name=f"{name}_places")
        with m.If(take & ~give):
            m.d.sync += places.eq(places - 1)
        with m.Elif(give & ~take):
            m.d.sync += places.eq(places + 1)
        return places != 0

    def _check(self, m, queues, taken, inside):
        """Rules of use, and what follows from the promised places."""
        beat = self.input.payload
        with m.If(taken):
            m.d.sync += [
                Assert(beat.count <= self.config.lanes, "count is more than lanes"),
                Assert((inside == 0) | (beat.op == MfuOp.SOFTMAX), "a conversion stands inside a softmax row"),
            ]
        for name, queue in queues.items():
            if name != "rows":
                m.d.sync += Assert(~queue.i.valid | queue.i.ready, f"the queue of {name} overflows")
