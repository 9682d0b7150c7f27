"""Operand precisions of the reconfigurable matrix multiplication unit (thesis 7.6.2, Fig. 7.13)."""

import enum

__all__ = ["Precision"]


class Precision(enum.IntEnum):
    """Operand format; the values are the hardware's encoding. All operands are signed two's complement."""

    FX16 = 0
    INT8 = 1
    INT4 = 2
    INT2 = 3

    @property
    def bits(self):
        """Width of one operand, in bits."""
        return {Precision.FX16: 16, Precision.INT8: 8, Precision.INT4: 4, Precision.INT2: 2}[self]

    @property
    def tile(self):
        """Stationary tile of one processing element: (products in a dot product, dot products a cycle)."""
        return {Precision.FX16: (1, 1), Precision.INT8: (4, 1), Precision.INT4: (8, 2), Precision.INT2: (16, 4)}[self]
