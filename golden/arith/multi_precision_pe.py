"""Golden model of the multi-precision processing element (thesis 7.6.2, Fig. 7.13), vectorised over elements.

An element holds a stationary tile of four 32-bit lanes. In an integer mode one 32-bit operand group meets every lane
of the tile in use and leaves one dot product a lane; in FX16 there is one product. All operands are signed two's
complement, packed little-endian. Values only: the pipeline's latency is a matter of the hardware.
"""

import numpy as np

from golden.arith.fixed import as_integers, check_range
from golden.arith.precision import Precision

__all__ = ["ACC_BITS", "DOT_BITS", "MultiPrecisionPe", "dot_lanes", "pack_segments", "unpack"]

ACC_BITS = 44
DOT_BITS = 48


def unpack(name, words, width, bits):
    """Split unsigned ``width``-bit ``words`` into signed ``bits``-bit fields; shape (...) -> (..., width // bits)."""
    words = check_range(name, words, width, signed=False)
    fields = (words[..., None] >> np.arange(0, width, bits)) & ((1 << bits) - 1)
    return np.where(fields >> (bits - 1), fields - (1 << bits), fields)


def dot_lanes(mode, operand, tile):
    """The dot products of one beat.

    Parameters: ``mode`` a Precision; ``operand`` (...) unsigned 32-bit words; ``tile`` (..., 4) unsigned 32-bit words
    of the same leading shape. Result: (..., lanes) int64, lanes = 1, 1, 2, 4 for FX16, INT8, INT4, INT2.
    """
    mode = Precision(mode)
    operand, tile = as_integers("operand", operand), as_integers("tile", tile)
    if tile.shape != operand.shape + (4,):
        raise ValueError(f"tile has shape {tile.shape}: it must be {operand.shape + (4,)}, four lanes an operand")
    length, lanes = mode.tile
    streamed = unpack("operand", operand, 32, mode.bits)[..., None, :length]
    stationary = unpack("tile", tile, 32, mode.bits)[..., :lanes, :length]
    return (streamed * stationary).sum(axis=-1)


def pack_segments(dots):
    """Dot products (..., lanes) as the element's 48-bit output: equal sign-extended segments, lane 0 lowest."""
    dots = as_integers("dots", dots)
    lanes = dots.shape[-1]
    if lanes not in (1, 2, 4):
        raise ValueError(f"dots has {lanes} lanes: it must have 1, 2 or 4")
    width = DOT_BITS // lanes
    fields = check_range("dots", dots, width) & ((1 << width) - 1)
    return (fields << (np.arange(lanes) * width)).sum(axis=-1)


class MultiPrecisionPe:
    """State and beats of an array of elements of any shape, all in the same mode."""

    def __init__(self, shape=()):
        self.shape = tuple(shape)
        self.shadow = np.zeros(self.shape + (4,), dtype=np.int64)
        self.active = np.zeros(self.shape + (4,), dtype=np.int64)
        self.acc = np.zeros(self.shape, dtype=np.int64)

    def _words(self, name, values, width):
        values = check_range(name, values, width, signed=False)
        if values.shape != self.shape:
            raise ValueError(f"{name} has shape {values.shape}: it must be {self.shape}")
        return values

    def load(self, lane, words):
        """Write ``words`` (unsigned 32 bits each) to lane 0..3 of the shadow tile."""
        if lane not in range(4):
            raise ValueError(f"lane = {lane} is not allowed: lane must be from 0 to 3")
        self.shadow[..., lane] = self._words("words", words, 32)

    def swap(self):
        """Make the shadow tile the active one; the shadow keeps its contents."""
        self.active = self.shadow.copy()

    def _operand(self, mode, col, half):
        col = self._words("col", col, 32)
        return col >> (16 if half else 0) & 0xFFFF if mode == Precision.FX16 else col

    def dot(self, mode, col, half=False, swap=False):
        """One DOT beat; the 48-bit output word. ``half`` picks the upper 16 bits of ``col`` in FX16."""
        mode = Precision(mode)
        if swap:
            self.swap()
        return pack_segments(dot_lanes(mode, self._operand(mode, col, half), self.active))

    def mac(self, col, row, first=False, half=False, swap=False):
        """One FX16 MAC beat; the accumulator. ``row`` (unsigned 16 bits) replaces the tile's lowest 16 bits.

        Raises ``ValueError`` where the accumulator would leave its 44 bits.
        """
        if swap:
            self.swap()
        operand = self._operand(Precision.FX16, col, half)
        row = self._words("row", row, 16)
        self.active[..., 0] = self.active[..., 0] >> 16 << 16 | row
        product = dot_lanes(Precision.FX16, operand, self.active)[..., 0]
        self.acc = check_range("acc", product + (0 if first else self.acc), ACC_BITS)
        return self.acc
