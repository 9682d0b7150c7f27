"""QDR output buffer: the approximate results of a gate, a segment of neurons at a time."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.stream.fifo import Fifo

__all__ = ["GateOutput", "GateSegment"]


class GateSegment(data.StructLayout):
    """S neurons from ``S * index`` on: ``data``, word w at bit ``16 * w``, their ``map`` bits; ``last`` of the gate."""

    def __init__(self, config):
        super().__init__({"index": range(-(-config.max_channels // config.segment)), "data": 16 * config.segment,
                          "map": config.segment, "last": 1})


class GateOutput(wiring.Component):
    """Collects S neurons to a segment, and holds ``output_segments`` segments until they are taken.

    Latency: :attr:`latency` = 2 cycles from a segment's last neuron to the offer on ``o``. Throughput: a neuron a
    cycle. Words past the last neuron are zero. No path in the same cycle leads from one side to the other.

    Members
    -------
    i: In(stream of {z: 16, map: 1, last: 1}), a neuron; last: of the gate
    o: Out(stream of :class:`GateSegment`)
    """

    latency = Fifo.latency

    def __init__(self, config):
        self.config = config
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"z": 16, "map": 1, "last": 1}))),
            "o": Out(stream.Signature(GateSegment(config))),
        })

    def elaborate(self, platform):
        m = Module()
        size = self.config.segment
        neuron = data.StructLayout({"z": 16, "map": 1})
        m.submodules.queue = queue = Fifo(data.StructLayout({"data": 16 * size, "map": size, "last": 1}),
                                          self.config.output_segments)
        word, complete = Signal(ceil_log2(size)), Signal()
        held = Signal(data.ArrayLayout(neuron, size - 1), reset_less=True)
        item, segment = self.i.p, queue.i.p
        for index in range(size):
            z, bit = Mux(word == index, item.z, 0), (word == index) & item.map
            if index < size - 1:
                z, bit = Mux(word > index, held[index].z, z), Mux(word > index, held[index].map, bit)
            m.d.comb += [segment.data.word_select(index, 16).eq(z), segment.map[index].eq(bit)]
        m.d.comb += [
            complete.eq(item.last | word.all()), segment.last.eq(item.last),
            queue.i.valid.eq(self.i.valid & complete), self.i.ready.eq(~complete | queue.i.ready),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [held[word].z.eq(item.z), held[word].map.eq(item.map), word.eq(Mux(complete, 0, word + 1))]
        index = Signal.like(self.o.p.index)
        taken = queue.o.p
        m.d.comb += [
            self.o.valid.eq(queue.o.valid), queue.o.ready.eq(self.o.ready), self.o.p.index.eq(index),
            self.o.p.data.eq(taken.data), self.o.p.map.eq(taken.map), self.o.p.last.eq(taken.last),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += index.eq(Mux(taken.last, 0, index + 1))
        return m
