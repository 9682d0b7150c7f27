"""The host's read access to a lane's SRAM."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.dota.lane_memory import MemoryRead

__all__ = ["HostRead", "HostWrite"]


class HostWrite(data.StructLayout):
    """A word and its global address."""

    def __init__(self, config):
        super().__init__({"address": config.address_bits, "data": config.word_bits})


class HostRead(wiring.Component):
    """Answers read requests in order while ``idle``. Latency 1, throughput one word a cycle."""

    def __init__(self, config):
        super().__init__({
            "idle": In(1),
            "request": In(stream.Signature(config.address_bits)),
            "answer": Out(stream.Signature(config.word_bits)),
            "port": Out(MemoryRead(config.address_bits, config.word_bits)),
        })

    def elaborate(self, platform):
        m = Module()
        have = Signal()
        # The SRAM's output register holds the answer until it is taken.
        m.d.comb += [
            self.request.ready.eq(self.idle & (~have | self.answer.ready)),
            self.port.enable.eq(self.request.valid & self.request.ready),
            self.port.address.eq(self.request.p),
            self.answer.valid.eq(have),
            self.answer.p.eq(self.port.data),
        ]
        with m.If(self.port.enable):
            m.d.sync += have.eq(1)
        with m.Elif(self.answer.ready):
            m.d.sync += have.eq(0)
        return m
