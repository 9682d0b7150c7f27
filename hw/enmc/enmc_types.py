"""What the blocks of ENMC say to each other: jobs, settings, access to buffers (docs/enmc/machine.md)."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.isa_table import jobs

__all__ = ["ADDRESS_BITS", "BufferAccess", "CandidateRange", "CandidateSettings", "ExecutorOp", "HostJob", "ITEMS",
           "MemoryJob", "MemoryOp", "ResultSettings", "ScreenerJob", "ScreenerOp", "ScreenerSettings", "WORD_BITS"]

#: Bits of a word of a buffer, of a burst.
WORD_BITS = 512
#: Bits of a burst address: byte addresses of 36 bits without the six that are zero.
ADDRESS_BITS = 30
#: Items of a batch at most.
ITEMS = 4


class ScreenerOp(enum.Enum, shape=3):
    """Jobs of the Screener: MUL_ADD, SCREEN, ADD, MUL, FILTER."""

    vars().update(jobs("SCREENER"))


class ExecutorOp(enum.Enum, shape=3):
    """Jobs of the Executor from instructions: MUL_ADD, ADD, MUL, SIGMOID, SOFTMAX."""

    vars().update(jobs("EXECUTOR"))


class MemoryOp(enum.Enum, shape=2):
    """Jobs of the load-store unit: LOAD, STORE, MOVE."""

    vars().update(jobs("MEMORY"))


class ScreenerJob(data.Struct):
    """A job of the Screener. SCREEN: ``groups`` (1 to 8) groups at burst ``address``; FILTER: ``first_class``."""

    op: ScreenerOp
    address: unsigned(ADDRESS_BITS)
    groups: unsigned(4)
    first_class: unsigned(32)


class HostJob(data.Struct):
    """A job of the Executor that an instruction asks for: ``buf1``, ``buf2`` of 2, 3, 5; SOFTMAX: the other fields."""

    op: ExecutorOp
    buf1: unsigned(4)
    buf2: unsigned(4)
    phase: unsigned(1)
    item: unsigned(2)
    count: unsigned(7)


class CandidateRange(data.Struct):
    """``count`` classes from ``first_class`` on, to be computed as candidates of ``item``."""

    first_class: unsigned(32)
    count: unsigned(24)
    item: unsigned(2)


class MemoryJob(data.Struct):
    """A job of the load-store unit. LOAD, STORE: ``count`` (1 to 4) words of ``buf1``; MOVE: all of it to ``buf2``.

    Word i of a STORE goes to burst ``address`` + i % ``width`` + ``stride`` * (i / ``width``).
    """

    op: MemoryOp
    buf1: unsigned(4)
    buf2: unsigned(4)
    address: unsigned(ADDRESS_BITS)
    count: unsigned(3)
    width: unsigned(3)
    stride: unsigned(22)


class ScreenerSettings(data.Struct):
    """Registers that the Screener needs; ``threshold`` is Q15.16."""

    classes: unsigned(32)
    items: unsigned(3)
    chunks: unsigned(6)
    scale: data.ArrayLayout(16, ITEMS)
    shift: unsigned(6)
    threshold: signed(32)


class CandidateSettings(data.Struct):
    """Registers that the InstructionGenerator needs; burst addresses."""

    row_base: unsigned(ADDRESS_BITS)
    row_bursts: unsigned(12)
    feature_base: unsigned(ADDRESS_BITS)


class ResultSettings(data.Struct):
    """Registers for storing accurate results, in bursts; there is a log of candidates unless ``log_base`` is 0.

    Only bursts ``write_low`` <= a < ``write_high`` may be written.
    """

    result_base: unsigned(ADDRESS_BITS)
    result_stride: unsigned(22)
    log_base: unsigned(ADDRESS_BITS)
    log_stride: unsigned(22)
    write_low: unsigned(ADDRESS_BITS)
    write_high: unsigned(ADDRESS_BITS)


class BufferAccess(wiring.Signature):
    """Access to the words of a unit's buffers, the unit's view: ``read_data`` comes a cycle after buffer and index."""

    def __init__(self):
        super().__init__({
            "write_enable": In(1), "write_buffer": In(4), "write_index": In(2), "write_data": In(WORD_BITS),
            "read_buffer": In(4), "read_index": In(2), "read_data": Out(WORD_BITS),
        })

    def __eq__(self, other):
        return isinstance(other, BufferAccess)
