"""Operations, beats and number formats of the multi-function unit."""

from amaranth.lib import data, enum, stream
from amaranth.lib.wiring import In, Out

from hw.arith.precision import Precision

__all__ = ["EXP_FRACTION", "EXP_INTEGER", "FACTOR_FRACTION", "MfuInput", "MfuOp", "MfuOutput", "SUM_FRACTION",
           "TERM_FRACTION", "user_ports"]

EXP_FRACTION = 12
"""Fraction bits of the exponent of softmax; EXP_INTEGER bits stand before the point."""
EXP_INTEGER = 5
SUM_FRACTION = 22
"""Fraction bits of the exponentials that are summed: 1024 truncated terms lose less than 2^-12."""
TERM_FRACTION = 15
"""Fraction bits of the exponentials that are multiplied, and of the weights."""
FACTOR_FRACTION = 17
"""Fraction bits of the reciprocal of the sum."""


class MfuOp(enum.Enum, shape=2):
    """What is done with a beat."""

    SOFTMAX = 0
    QUANTIZE = 1
    DEQUANTIZE = 2


class MfuInput(data.StructLayout):
    """A beat that enters: ``count`` (0 to lanes) valid numbers from lane 0 on; ``last`` ends a row.

    ``precision`` and ``shift`` (0 to 63) matter to QUANTIZE and DEQUANTIZE. ``data`` holds an int16 a lane, except
    that DEQUANTIZE takes integers of ``precision``, packed without gaps from bit 0.
    """

    def __init__(self, lanes):
        super().__init__({"data": lanes * 16, "count": range(lanes + 1), "last": 1, "op": MfuOp,
                          "precision": Precision, "shift": 6})


class MfuOutput(data.StructLayout):
    """A beat that leaves: an int16 a lane (QUANTIZE: packed integers); numbers from ``count`` on are zero."""

    def __init__(self, lanes):
        super().__init__({"data": lanes * 16, "count": range(lanes + 1), "last": 1})


def user_ports(lanes):
    """Ports, by name, of a component that uses an MFU of this many lanes."""
    return {"to_mfu": Out(stream.Signature(MfuInput(lanes))), "from_mfu": In(stream.Signature(MfuOutput(lanes)))}
