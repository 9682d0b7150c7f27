"""Operand precisions of the reconfigurable matrix multiplication unit (thesis 7.6.2, Fig. 7.13)."""

from amaranth.lib import enum

__all__ = ["Precision"]


class Precision(enum.Enum, shape=2):
    """Operand format of a row of processing elements. All operands are signed two's complement."""

    FX16 = 0
    INT8 = 1
    INT4 = 2
    INT2 = 3

    @property
    def bits(self):
        """Width of one operand, in bits."""
        return 16 >> self.value

    @property
    def dot_lanes(self):
        """Dot products a processing element emits each cycle: stationary tile 1x1, 4x1, 8x2 or 16x4."""
        return (1, 1, 2, 4)[self.value]

    @property
    def dot_length(self):
        """Products in each of these dot products."""
        return (1, 4, 8, 16)[self.value]
