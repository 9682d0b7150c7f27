"""Writes the Speculator's maps, orders and approximate activations to the GlobalBuffer."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.duet.global_buffer import SegmentWrite
from hw.duet.spec_feeder import JobContext
from hw.stream.fifo import Fifo

__all__ = ["SpeculationWriter"]

#: Jobs that may be on their way, and one.
DEPTH = 5


class SpeculationWriter(wiring.Component):
    """Two writers: ``write[0]`` the map of a channel, or a segment of a gate; ``write[1]`` a segment of an order.

    IDs of an order are packed R to a segment, a word each. Maps of the next tile may be written while the order of
    this one is. Throughput: a channel a cycle each.

    Members
    -------
    context: In(stream of :class:`JobContext`)
    maps, order, gates: In(streams of the Speculator)
    write: Out(array of two streams of :class:`SegmentWrite`)
    ended: Out(stream of ``signal``), one a command, in order
    drained: Out, no job is on its way
    """

    def __init__(self, config, speculator):
        self.config = config
        members = speculator.signature.members
        super().__init__({
            "context": In(stream.Signature(JobContext())),
            **{name: In(members[name].signature) for name in ("maps", "order", "gates")},
            "write": Out(stream.Signature(SegmentWrite(config.global_buffer))).array(2),
            "ended": Out(stream.Signature(4)),
            "drained": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        rows = config.rows
        group_bits = config.cols.bit_length() - 1
        m.submodules.map_jobs = map_jobs = Fifo(JobContext(), DEPTH)
        m.submodules.order_jobs = order_jobs = Fifo(JobContext(), DEPTH)
        context, maps, order, gates = self.context, self.maps, self.order, self.gates
        m.d.comb += [
            context.ready.eq(map_jobs.i.ready & order_jobs.i.ready),
            map_jobs.i.valid.eq(context.valid & order_jobs.i.ready & ~context.p.empty),
            order_jobs.i.valid.eq(context.valid & map_jobs.i.ready),
            map_jobs.i.payload.eq(context.payload), order_jobs.i.payload.eq(context.payload),
        ]
        waits, leaves = Signal(range(2 * DEPTH)), Signal()
        m.d.sync += waits.eq(waits + (context.valid & context.ready & ~context.p.empty) - leaves)
        m.d.comb += self.drained.eq(waits == 0)

        # Maps of a tile; a gate as a whole.
        job, write = map_jobs.o, self.write[0]
        gate = job.p.gate
        place = Mux(gate, gates.p.index, maps.p.channel)
        m.d.comb += [
            write.valid.eq(job.valid & Mux(gate, gates.valid, maps.valid)),
            write.p.map_enable.eq(1), write.p.data_enable.eq(gate), write.p.mask.eq(~0),
            write.p.map_address.eq(job.p.map_line + (place >> group_bits)),
            write.p.data_address.eq(job.p.line + (place >> group_bits)),
            write.p.column.eq(place), write.p.map.eq(Mux(gate, gates.p.map, maps.p.map)),
            write.p.data.eq(gates.p.data),
            maps.ready.eq(job.valid & ~gate & write.ready), gates.ready.eq(job.valid & gate & write.ready),
        ]
        map_done = write.valid & write.ready & Mux(gate, gates.p.last, maps.p.last)
        gate_done = Signal(range(2 * DEPTH))  # gates that are written, whose end was not told
        m.d.comb += job.ready.eq(map_done)

        # Order of a tile, a segment as soon as R IDs are there.
        job, write = order_jobs.o, self.write[1]
        ids = Signal(data.ArrayLayout(16, rows), reset_less=True)
        slot, segment = Signal(range(rows + 1)), Signal(16)
        full, last = Signal(), Signal()
        of_tile = job.valid & ~job.p.empty & ~job.p.gate
        ends, written = Signal(), Signal()
        m.d.comb += [
            # The next ID comes while the segment before it is written.
            order.ready.eq(of_tile & (~full | written & ~last)), write.valid.eq(full & (~last | self.ended.ready)),
            write.p.data_enable.eq(1), write.p.mask.eq((1 << slot) - 1), write.p.data.eq(ids.as_value()),
            write.p.data_address.eq(job.p.line + (segment >> group_bits)), write.p.column.eq(segment),
            written.eq(write.valid & write.ready),
            ends.eq(Mux(of_tile, full & last & write.ready, job.p.empty | (gate_done != 0))),
            self.ended.valid.eq(job.valid & ends), self.ended.payload.eq(job.p.signal),
            job.ready.eq(self.ended.valid & self.ended.ready),
            leaves.eq(job.valid & job.ready & ~job.p.empty),
        ]
        m.d.sync += gate_done.eq(gate_done + (map_done & gate) - (job.valid & job.ready & job.p.gate & ~job.p.empty))
        with m.If(written):
            m.d.sync += [full.eq(0), slot.eq(0), segment.eq(Mux(last, 0, segment + 1))]
        with m.If(order.valid & order.ready):
            place = Mux(full, 0, slot)
            m.d.sync += [ids[place].eq(order.p.channel), slot.eq(place + 1), last.eq(order.p.last),
                         full.eq(order.p.last | (place == rows - 1))]
        return m
