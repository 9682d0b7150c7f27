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

    lanes: int = field(16, "numbers in a beat", min=4, max=64, power_of_two=True)
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


class Mfu(wiring.Component):
    """Softmax, quantize, dequantize on ``lanes`` FX16 numbers a cycle, in the order of arrival.

    Ports
    -----
    ``input`` In(stream of :class:`MfuInput`), ``output`` Out(stream of :class:`MfuOutput`): a beat out for a beat in.
    ``scale`` In(16), ``scale_shift`` In(5): the exponent of softmax, to base two and in units of ``2^-EXP_FRACTION``,
    is ``((rowmax - score) * scale) >> scale_shift``; both must be stable while rows are inside.

    Weights are Q0.15 (0 to 32767) and within 2^-11 of the exact softmax. QUANTIZE and DEQUANTIZE beats may stand
    between softmax rows, not inside one; their ``last`` is passed on and means nothing else. A softmax row has at most
    ``config.row_beats`` beats, any of them partial or empty; numbers from ``count`` on are ignored.

    Latency: a row of b beats that comes in without gaps and meets an empty unit has its first beat at ``output``
    ``row_latency(b)`` = ``latency`` + 2 b cycles after that of its own went in. Throughput: one beat a cycle; rows leave
    without bubbles as long as they do not grow (a row longer than all before it, by d beats, costs 2 d cycles once).
    ``input.ready`` does not depend on ``input.valid``, and falls only when ``output`` is held up. It comes from a
    comparison with a register, ``output`` from registers.
    Buffers: :attr:`memory_bits`.
    """

    def __init__(self, config, *, assertions=False):
        self.config, self.assertions = config, assertions
        self._maximum_pass = MaximumPass(config.lanes)
        self._term_pass = TermPass(config.lanes, config.max_row)
        self._weight_pass = WeightPass(config.lanes)
        # A queue never fills unless the unit is held up: it has room for the longest row, and for all beats that come
        # in while the result that this row waits for is made and a place that was freed is found free.
        self.row_depth = config.row_beats + self._maximum_pass.latency + Fifo.latency
        self.term_depth = config.row_beats + self._term_pass.factor_latency + Fifo.latency + 1
        self.output_depth = self._weight_pass.latency + Fifo.latency + 1
        super().__init__({
            "input": In(stream.Signature(MfuInput(config.lanes))),
            "output": Out(stream.Signature(MfuOutput(config.lanes))),
            "scale": In(16),
            "scale_shift": In(5),
        })

    @property
    def latency(self):
        """Cycles from the first beat in to the first beat out, less twice the beats of the row."""
        return (self._maximum_pass.latency + self._term_pass.factor_latency + self._weight_pass.latency
                + 3 * Fifo.latency - 2)

    def row_latency(self, beats):
        """Cycles from the first beat in to the first beat out of a row of ``beats`` beats."""
        return self.latency + 2 * beats

    @property
    def memory_bits(self):
        """Bits of each queue, by name."""
        return {name: Shape.cast(shape).width * depth for name, (shape, depth) in self._queues().items()}

    def _queues(self):
        """Shape and depth of each queue."""
        lanes = self.config.lanes
        return {
            "rows": (MfuInput(lanes), self.row_depth),
            "maxima": (signed(16), self.row_depth),
            "terms": (data.StructLayout({"terms": 16 * lanes, "tag": TermTag(lanes)}), self.term_depth),
            "factors": (unsigned(FACTOR_FRACTION + 1), self.term_depth),
            "outputs": (MfuOutput(lanes), self.output_depth),
        }

    def elaborate(self, platform):
        m = Module()
        lanes = self.config.lanes
        m.submodules.maximum_pass = maximum_pass = self._maximum_pass
        m.submodules.term_pass = term_pass = self._term_pass
        m.submodules.weight_pass = weight_pass = self._weight_pass
        queues = {}
        for name, (shape, depth) in self._queues().items():
            m.submodules[name] = queues[name] = Fifo(shape, depth, assertions=self.assertions)
        rows, maxima, terms, factors, outputs = queues.values()

        # Pass one, on the way into the row buffer.
        connect(m, wiring.flipped(self.input), rows.i)
        m.d.comb += [
            maximum_pass.valid.eq(self.input.valid & self.input.ready),
            maximum_pass.beat.eq(self.input.payload),
            maxima.i.valid.eq(maximum_pass.done),
            maxima.i.payload.eq(maximum_pass.maximum),
        ]

        # Pass two, on the way into the term buffer, in which every beat has its place before it sets off.
        start, finish = Signal(), Signal()
        m.d.comb += [
            start.eq(rows.o.valid & maxima.o.valid & self._places(m, "term", self.term_depth, start, finish)),
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
        m.d.comb += [
            finish.eq(terms.o.valid & factors.o.valid & self._places(m, "output", self.output_depth, finish, sent)),
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
            self._check(m, queues)
        return m

    def _places(self, m, name, depth, take, give):
        """Whether a queue of ``depth`` has a place that is promised to nobody yet."""
        places = Signal(range(depth + 1), init=depth, name=f"{name}_places")
        with m.If(take & ~give):
            m.d.sync += places.eq(places - 1)
        with m.Elif(give & ~take):
            m.d.sync += places.eq(places + 1)
        return places != 0

    def _check(self, m, queues):
        """Rules of use, and what follows from the promised places."""
        beat = self.input.payload
        inside = Signal(range(self.config.row_beats + 1))
        with m.If(self.input.valid & self.input.ready):
            m.d.sync += inside.eq(Mux(ends_row(beat), 0, inside + 1))
            m.d.sync += [
                Assert(beat.count <= self.config.lanes, "count is more than lanes"),
                Assert(inside < self.config.row_beats, "a row has more than row_beats beats"),
                Assert((inside == 0) | (beat.op == MfuOp.SOFTMAX), "a conversion stands inside a softmax row"),
            ]
        for name, queue in queues.items():
            if name != "rows":
                m.d.sync += Assert(~queue.i.valid | queue.i.ready, f"the queue of {name} overflows")
