"""DDR4 at a quarter of the DRAM clock: commands as JEDEC pins, the port to the chips, addresses of bursts.

A `sync` cycle is four DRAM clocks: four command slots (phases 0 to 3, phase 0 first) and eight beats of 64 bits, 512
bits of DQ. A rank has eight chips of 8 bits, 10 column address bits, four bank groups of four banks.
Source: JEDEC JESD79-4 (command truth table), DFI 1:4; docs/enmc/machine.md.
"""

from amaranth.hdl import Cat, Const
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["BEAT_BITS", "BURST_BITS", "BURST_BYTES", "PHASES", "BurstAddress", "ChipPort", "DdrCommand", "Operation",
           "activate", "precharge", "precharge_all", "read", "refresh", "write"]

#: DRAM clocks, and so command slots, of a cycle.
PHASES = 4
BEAT_BITS = 64
#: Bits, bytes of a burst (BL8): what a cycle moves.
BURST_BITS = 8 * BEAT_BITS
BURST_BYTES = BURST_BITS // 8


class Operation(enum.Enum, shape=3):
    """Pins RAS_n (bit 2), CAS_n (bit 1), WE_n (bit 0) of a command whose act_n is high."""

    MODE = 0b000
    REFRESH = 0b001
    PRECHARGE = 0b010
    WRITE = 0b100
    READ = 0b101
    CALIBRATE = 0b110
    NOTHING = 0b111


class DdrCommand(data.Struct):
    """The command pins of one DRAM clock. At their defaults they deselect the chips (DES).

    ``act_n`` = 0 is ACTIVATE of row ``a``. Else A16 = RAS_n, A15 = CAS_n, A14 = WE_n (:class:`Operation`), A10 = AP
    (auto precharge; PRECHARGE: all banks), A12 = BC_n (1: burst of eight).
    """

    cs_n: 1 = 1
    act_n: 1 = 1
    bg: 2
    ba: 2
    a: 18

    def is_activate(self):
        """Whether this is ACTIVATE."""
        return ~self.cs_n & ~self.act_n

    def operation(self):
        """Pins RAS_n, CAS_n, WE_n."""
        return Operation(self.a[14:17])

    def does(self, operation):
        """Whether this is a command of that :class:`Operation`."""
        return ~self.cs_n & self.act_n & (self.operation() == operation)


def _drive(slot, operation, *, bg=0, ba=0, low=0):
    """Statements: ``slot`` is a command of ``operation``, with ``low`` on A0 to A13."""
    return [slot.cs_n.eq(0), slot.act_n.eq(1), slot.bg.eq(bg), slot.ba.eq(ba),
            slot.a.eq(Cat(low, Const(0, 14))[:14] | operation.value << 14)]


def _column(column):
    """A0 to A13 of a burst of eight at ``column`` (7 bits, column / 8), without auto precharge."""
    return Cat(Const(0, 3), column, Const(0b0100, 4))


def activate(slot, bg, ba, row):
    """Statements that make ``slot`` ACTIVATE of ``row``."""
    return [slot.cs_n.eq(0), slot.act_n.eq(0), slot.bg.eq(bg), slot.ba.eq(ba), slot.a.eq(row)]


def read(slot, bg, ba, column):
    """Statements that make ``slot`` READ of the burst ``column`` (0 to 127)."""
    return _drive(slot, Operation.READ, bg=bg, ba=ba, low=_column(column))


def write(slot, bg, ba, column):
    """Statements that make ``slot`` WRITE of the burst ``column`` (0 to 127)."""
    return _drive(slot, Operation.WRITE, bg=bg, ba=ba, low=_column(column))


def precharge(slot, bg, ba):
    """Statements that make ``slot`` PRECHARGE of one bank; all address bits but the operation are low."""
    return _drive(slot, Operation.PRECHARGE, bg=bg, ba=ba)


def precharge_all(slot):
    """Statements that make ``slot`` PRECHARGE ALL: A10 alone is high."""
    return _drive(slot, Operation.PRECHARGE, low=Const(1 << 10, 14))


def refresh(slot):
    """Statements that make ``slot`` REFRESH."""
    return _drive(slot, Operation.REFRESH)


class BurstAddress(data.StructLayout):
    """Address of a burst of 64 bytes: consecutive bursts go round the bank groups, then along the row."""

    def __init__(self, row_bits):
        super().__init__({"bg": 2, "column": 7, "bank": 2, "row": row_bits})


class ChipPort(wiring.Signature):
    """The pins of a rank's chips, from the side of the logic.

    ``command``: the four slots of the cycle. ``dq_out``: beat i of the cycle in bits 64 i to 64 i + 63, driven in the
    DRAM clocks (two beats) of ``dq_out_enable``. ``dm``: bit i = 1 keeps byte i of the cycle from being **written**
    (that is DDR4's DM_n inverted). ``dq_in``: what the chips drive in this cycle; a READ at phase p of cycle t brings
    its burst from phase p of cycle t + CL / 4 on, a WRITE takes it CWL / 4 cycles after.
    """

    def __init__(self):
        super().__init__({
            "command": Out(DdrCommand).array(PHASES),
            "dq_out": Out(BURST_BITS),
            "dq_out_enable": Out(PHASES),
            "dm": Out(BURST_BYTES),
            "dq_in": In(BURST_BITS),
        })

    def __eq__(self, other):
        return isinstance(other, ChipPort)
