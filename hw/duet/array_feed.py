"""Order of the steps of the systolic array for a job: which projected inputs meet which QDR weights."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.duet.systolic_array import Operands
from hw.stream.hold import assert_hold

__all__ = ["ArrayFeed", "ArrayJob"]


class ArrayJob(data.StructLayout):
    """What the systolic array does for a job: the inputs in this half times ``n`` columns of weights."""

    def __init__(self, config):
        super().__init__({"half": 1, "n": range(config.max_channels + 1), "weight_base": range(config.weight_rows)})


class ArrayFeed(wiring.Component):
    """For every A channels, for every ``array_rows`` positions (``one_part``: the first only), for k: a step.

    Latency: :attr:`latency` = 1 cycle from the cycle in which a step is issued to its offer on ``operands``.
    Throughput: a step a cycle, jobs back to back. Both memories are read when the step is issued; the weights of a
    tile are read again for each part of the positions.

    Members
    -------
    one_part, k_rows: In, stable while at work
    jobs: In(stream of :class:`ArrayJob`); taken with the last step of the job before
    complete: In(2); read_enable, read_half, row, lane: Out; column: In: of :class:`QdrInputBuffer`
    weight_enable, weight_row: Out; weights: In: of the QDR weight buffer
    active: Out, a job is at work; issue: Out, a step is issued; finish: Out, it is the job's last
    operands: Out(stream of :class:`hw.duet.systolic_array.Operands`)
    """

    latency = 1

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "one_part": In(1), "k_rows": In(range(config.input_rows + 1)),
            "jobs": In(stream.Signature(ArrayJob(config))),
            "complete": In(2), "read_enable": Out(1), "read_half": Out(1),
            "row": Out(range(config.input_rows)), "lane": Out(range(config.trees)),
            "column": In(config.segment * config.bits),
            "weight_enable": Out(1), "weight_row": Out(range(config.weight_rows)),
            "weights": In(config.array_cols * config.bits),
            "active": Out(1), "issue": Out(1), "finish": Out(1),
            "operands": Out(stream.Signature(Operands(config.array_rows, config.array_cols, config.bits))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        go = Signal()
        left, base = Signal(range(config.max_channels + 1)), Signal(range(config.weight_rows))
        part = Signal(range(config.parts))
        last_lane, last_k, last_part, last_tile = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            go.eq(~self.operands.valid | self.operands.ready),
            self.issue.eq(go & self.active & self.complete.bit_select(self.read_half, 1)),
            last_lane.eq(self.lane.all()), last_k.eq(last_lane & (self.row + 1 == self.k_rows)),
            last_part.eq(self.one_part | (part == config.parts - 1)), last_tile.eq(left <= config.array_cols),
            self.finish.eq(self.issue & last_k & last_part & last_tile),
            self.jobs.ready.eq(~self.active | self.finish),
            self.read_enable.eq(self.issue), self.weight_enable.eq(self.issue),
        ]
        with m.If(self.issue):
            m.d.sync += [self.lane.eq(self.lane + 1), self.weight_row.eq(self.weight_row + 1)]
            with m.If(last_lane):
                m.d.sync += self.row.eq(self.row + 1)
            with m.If(last_k):
                m.d.sync += [self.row.eq(0), part.eq(part + 1), self.weight_row.eq(base)]
                with m.If(last_part):
                    m.d.sync += [part.eq(0), left.eq(left - config.array_cols), base.eq(self.weight_row + 1),
                                 self.weight_row.eq(self.weight_row + 1)]
        with m.If(self.jobs.ready):
            job = self.jobs.p
            m.d.sync += [self.active.eq(self.jobs.valid), self.read_half.eq(job.half), left.eq(job.n),
                         base.eq(job.weight_base), self.weight_row.eq(job.weight_base)]

        first, last, chosen = Signal(), Signal(), Signal.like(part, name="chosen")
        with m.If(go):
            m.d.sync += [self.operands.valid.eq(self.issue), first.eq((self.row == 0) & (self.lane == 0)),
                         last.eq(last_k), chosen.eq(Mux(self.one_part, 0, part))]
        m.d.comb += [
            self.operands.p.a.eq(self.column.word_select(chosen, config.array_rows * config.bits)),
            self.operands.p.b.eq(self.weights), self.operands.p.first.eq(first), self.operands.p.last.eq(last),
        ]
        if self.assertions:
            assert_hold(m, self.operands)
        return m
