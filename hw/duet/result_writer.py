"""Writes the Executor's results and corrected maps to the GlobalBuffer, and tells when a command has ended."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.duet.exec_feeder import StepContext
from hw.duet.executor_types import Results
from hw.duet.global_buffer import SegmentWrite
from hw.stream.fifo import Fifo

__all__ = ["ResultWriter"]

#: Steps that may be on their way, and one.
DEPTH = 5


class ResultWriter(wiring.Component):
    """One row's segment a cycle.

    A tile's segment goes to line ``line`` + channel / C of its block, segment channel % C, in the words of its mask; a
    gate's word to its place among C x S neurons.

    Members
    -------
    context: In(stream of :class:`StepContext`); results: In(stream of the Executor's :class:`Results`)
    write: Out(stream of :class:`SegmentWrite`)
    ended: Out(stream of ``signal``), one a command
    drained: Out, no step is on its way
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "context": In(stream.Signature(StepContext())),
            "results": In(stream.Signature(Results(config.executor))),
            "write": Out(stream.Signature(SegmentWrite(config.global_buffer))),
            "ended": Out(stream.Signature(4)),
            "drained": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.steps = steps = Fifo(StepContext(), DEPTH)
        wiring.connect(m, wiring.flipped(self.context), steps.i)
        step, results, write = steps.o, self.results, self.write
        group_bits, word_bits = config.cols.bit_length() - 1, config.segment.bit_length() - 1
        channel = results.p.channel
        word = channel[:word_bits]
        waits = Signal(range(2 * DEPTH))
        arrives = self.context.valid & self.context.ready & ~self.context.p.empty
        leaves = results.valid & results.ready & results.p.last
        m.d.sync += waits.eq(waits + arrives - leaves)

        ends = Signal()
        m.d.comb += [
            self.drained.eq(waits == 0),
            write.p.data_enable.eq(1), write.p.map_enable.eq(~step.p.gate),
            write.p.mask.eq(Mux(step.p.gate, 1 << word, results.p.mask)),
            write.p.data.eq(Mux(step.p.gate, results.p.data[:16].replicate(config.segment), results.p.data)),
            write.p.map.eq(results.p.nonzero),
        ]
        with m.If(step.p.gate):
            neuron = channel >> word_bits
            m.d.comb += [
                write.p.data_address.eq(step.p.line), write.p.column.eq(neuron[:group_bits]),
            ]
        with m.Else():
            m.d.comb += [
                write.p.data_address.eq(step.p.line + (channel >> group_bits)),
                write.p.map_address.eq(step.p.map_line + (channel >> group_bits)),
                write.p.column.eq(channel[:group_bits]),
            ]
        # The last write of a command and its end are one transfer.
        m.d.comb += [
            ends.eq(step.p.final & (step.p.empty | results.p.last)),
            self.ended.payload.eq(step.p.signal),
            self.ended.valid.eq(step.valid & step.p.final
                                & (step.p.empty | results.valid & results.p.last & write.ready)),
            write.valid.eq(step.valid & ~step.p.empty & results.valid & (~ends | self.ended.ready)),
            results.ready.eq(step.valid & ~step.p.empty & write.ready & (~ends | self.ended.ready)),
            step.ready.eq(Mux(step.p.empty, ~step.p.final | self.ended.ready,
                              results.valid & results.ready & results.p.last)),
        ]
        return m
