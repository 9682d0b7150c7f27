"""Multi-Function Unit: softmax over sparse rows, quantize, dequantize (thesis 7.6.2).

A row passes three times: its maximum is found while it fills the row buffer; its exponentials are summed while they
fill the term buffer; the terms are multiplied by the reciprocal of their sum. The three passes work on three rows at
once and none of them waits in mid-row, so ``lanes`` results leave every cycle.
"""

import dataclasses

from amaranth.hdl import Assert, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hw.config import Config, ConfigError, field
from hw.dota.mfu_passes import MaximumPass, TermPass, TermTag, WeightPass, ends_row
from hw.dota.mfu_types import EXP_FRACTION, FACTOR_FRACTION, MfuInput, MfuOp, MfuOutput

__all__ = ["EXP_FRACTION", "Mfu", "MfuConfig", "MfuInput", "MfuOp", "MfuOutput"]

_FIFO_LATENCY = 2
"""Cycles from a write into an empty queue to its output."""


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
        self.row_depth = config.row_beats + self._maximum_pass.latency + _FIFO_LATENCY
        self.term_depth = config.row_beats + self._term_pass.factor_latency + _FIFO_LATENCY + 1
        self.output_depth = self._weight_pass.latency + _FIFO_LATENCY + 1
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
                + 3 * _FIFO_LATENCY - 2)

    def row_latency(self, beats):
        """Cycles from the first beat in to the first beat out of a row of ``beats`` beats."""
        return self.latency + 2 * beats

    @property
    def memory_bits(self):
        """Bits of each buffer, by name."""
        return {name: width * depth for name, (width, depth) in self._queues().items()}

    def _queues(self):
        """Width and depth of each queue."""
        lanes = self.config.lanes
        return {
            "rows": (MfuInput(lanes).size, self.row_depth),
            "maxima": (16, self.row_depth),
            "terms": (16 * lanes + TermTag(lanes).size, self.term_depth),
            "factors": (FACTOR_FRACTION + 1, self.term_depth),
            "outputs": (MfuOutput(lanes).size, self.output_depth),
        }

    def elaborate(self, platform):
        m = Module()
        lanes = self.config.lanes
        m.submodules.maximum_pass = maximum_pass = self._maximum_pass
        m.submodules.term_pass = term_pass = self._term_pass
        m.submodules.weight_pass = weight_pass = self._weight_pass
        queues = {name: SyncFIFOBuffered(width=width, depth=depth) for name, (width, depth) in self._queues().items()}
        for name, queue in queues.items():
            m.submodules[name] = queue
        rows, maxima, terms, factors, outputs = queues.values()

        # Pass one, on the way into the row buffer.
        m.d.comb += [
            self.input.ready.eq(rows.w_rdy),
            rows.w_en.eq(self.input.valid),
            rows.w_data.eq(self.input.payload),
            maximum_pass.valid.eq(self.input.valid & self.input.ready),
            maximum_pass.beat.eq(self.input.payload),
            maxima.w_en.eq(maximum_pass.done),
            maxima.w_data.eq(maximum_pass.maximum),
        ]

        # Pass two, on the way into the term buffer, in which every beat has its place before it sets off.
        beat = Signal(MfuInput(lanes))
        start = Signal()
        m.d.comb += [
            beat.eq(rows.r_data),
            rows.r_en.eq(start),
            maxima.r_en.eq(start & ends_row(beat)),
            term_pass.valid.eq(start),
            term_pass.beat.eq(beat),
            term_pass.maximum.eq(maxima.r_data),
            term_pass.scale.eq(self.scale),
            term_pass.scale_shift.eq(self.scale_shift),
            terms.w_en.eq(term_pass.terms_valid),
            terms.w_data.eq(Cat(term_pass.terms, term_pass.tag)),
            factors.w_en.eq(term_pass.factor_valid),
            factors.w_data.eq(term_pass.factor),
        ]

        # Pass three, on the way into the output queue, with places given out in the same way.
        finish = Signal()
        m.d.comb += [
            start.eq(rows.r_rdy & maxima.r_rdy & self._places(m, "term", self.term_depth, start, finish)),
            terms.r_en.eq(finish),
            Cat(weight_pass.terms, weight_pass.tag).eq(terms.r_data),
            factors.r_en.eq(finish & (weight_pass.tag.last | weight_pass.tag.convert)),
            weight_pass.valid.eq(finish),
            weight_pass.factor.eq(factors.r_data),
            outputs.w_en.eq(weight_pass.weights_valid),
            outputs.w_data.eq(weight_pass.weights),
        ]
        sent = self.output.valid & self.output.ready
        m.d.comb += [
            finish.eq(terms.r_rdy & factors.r_rdy & self._places(m, "output", self.output_depth, finish, sent)),
            self.output.valid.eq(outputs.r_rdy),
            outputs.r_en.eq(self.output.ready),
            self.output.payload.eq(outputs.r_data),
        ]
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
            m.d.comb += [
                Assert(beat.count <= self.config.lanes, "count is more than lanes"),
                Assert(inside < self.config.row_beats, "a row has more than row_beats beats"),
                Assert((inside == 0) | (beat.op == MfuOp.SOFTMAX), "a conversion stands inside a softmax row"),
            ]
        for name, queue in queues.items():
            if name != "rows":
                m.d.comb += Assert(~queue.w_en | queue.w_rdy, f"the queue of {name} overflows")
