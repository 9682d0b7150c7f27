"""A bank of synchronous memory: what block RAM and SRAM macros give."""

from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.hdl import Module
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

__all__ = ["SramBank"]


class SramBank(wiring.Component):
    """``depth`` words of ``width`` bits with one read port and one write port.

    Read latency: :attr:`latency` = 1 cycle. ``read_data`` changes only after a cycle with ``read_enable`` and keeps
    its value otherwise. Throughput: one read and one write a cycle. A read of the word written in the same cycle
    gives the old word (there is no bypass: vendor tools mis-infer transparent ports). Addresses from ``depth`` up
    must not be used.

    Parameters
    ----------
    width: bits of a word
    depth: number of words, not necessarily a power of two
    granularity: bits under one bit of ``write_mask``; ``width`` when ``None``

    Members
    -------
    read_enable In(1), read_address In(range(depth)), read_data Out(width)
    write_mask In(width // granularity): bit k writes bits k * granularity and up; write_address, write_data

    The memory's content is not reset; it starts at zero in simulation and on FPGAs.

    Raises ``ValueError`` when a parameter is not a positive integer or ``granularity`` does not divide ``width``.
    """

    latency = 1

    def __init__(self, width, depth, granularity=None):
        granularity = width if granularity is None else granularity
        for name, value in (("width", width), ("depth", depth), ("granularity", granularity)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} = {value!r} is not allowed: {name} must be an integer, at least 1")
        if width % granularity:
            raise ValueError(f"granularity = {granularity} is not allowed: granularity must divide width = {width}")
        self.width = width
        self.depth = depth
        self.granularity = granularity
        super().__init__({
            "read_enable": In(1),
            "read_address": In(ceil_log2(depth)),
            "read_data": Out(width),
            "write_mask": In(width // granularity),
            "write_address": In(ceil_log2(depth)),
            "write_data": In(width),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=self.width, depth=self.depth, init=[])
        read = memory.read_port()
        write = memory.write_port(granularity=self.granularity)
        m.d.comb += [
            read.en.eq(self.read_enable), read.addr.eq(self.read_address), self.read_data.eq(read.data),
            write.en.eq(self.write_mask), write.addr.eq(self.write_address), write.data.eq(self.write_data),
        ]
        return m
