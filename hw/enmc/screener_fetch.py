"""Reads of the Screener: asks for the bursts of a job in order, as many ahead as the weight buffer has room for."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.enmc_types import ADDRESS_BITS
from hw.enmc.screener_types import MAX_CHUNKS

__all__ = ["ScreenerFetch"]

MAX_GROUPS = 8


class ScreenerFetch(wiring.Component):
    """A request for each burst of a job.

    Latency: the first request is valid the cycle after ``start``. Throughput: a request a cycle while there is room,
    from job to job too: ``ready`` comes with the transfer of a job's last request.

    Parameters: ``depth``, bursts that the buffer holds.

    Members
    -------
    start: In(1), only with ready: Out(1); address: In(30), groups: In(4), chunks: In(6), of that job
    popped: In(1): a burst has left the buffer; fill: In(range(5)): so many places are taken otherwise, the buffer being
        empty
    requests: Out(stream of burst addresses)
    """

    def __init__(self, depth):
        self.depth = depth
        super().__init__({
            "start": In(1), "ready": Out(1), "address": In(ADDRESS_BITS), "groups": In(4),
            "chunks": In(range(MAX_CHUNKS + 1)), "popped": In(1), "fill": In(range(5)),
            "requests": Out(stream.Signature(ADDRESS_BITS)),
        })

    def elaborate(self, platform):
        m = Module()
        left, used = Signal(range(MAX_GROUPS * (MAX_CHUNKS + 1) + 1)), Signal(range(self.depth + 1))
        address = Signal(ADDRESS_BITS, reset_less=True)
        taken = Signal()
        m.d.comb += [
            self.requests.valid.eq((left != 0) & (used != self.depth)),
            self.requests.payload.eq(address),
            taken.eq(self.requests.valid & self.requests.ready),
            self.ready.eq((left == 0) | (left == 1) & taken),
        ]
        m.d.sync += used.eq(used + taken - self.popped + self.fill)
        with m.If(self.start):
            m.d.sync += [left.eq(self.groups * (self.chunks + 1)), address.eq(self.address)]
        with m.Elif(taken):
            m.d.sync += [left.eq(left - 1), address.eq(address + 1)]
        return m
