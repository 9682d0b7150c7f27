"""Golden model of the OutputBuffer: results with a bit each that says what is to be stored, the items' maxima."""

import numpy as np

from golden.arith.float_fma import bits

__all__ = ["MINUS_INFINITY", "NUMBERS", "OutputBuffer", "maximum", "order_key"]

LANES, WORDS = 16, 4
NUMBERS = LANES * WORDS
MINUS_INFINITY = 0xFF80_0000


def order_key(patterns):
    """int64: binary32 patterns in the order of IEEE 754's totalOrder: -NaN < -inf < ... < -0 < +0 < ... < inf < NaN."""
    patterns = bits("patterns", patterns)
    return np.where(patterns >> 31, ~patterns & 0xFFFF_FFFF, patterns | 1 << 31)


def maximum(patterns):
    """The greatest of ``patterns`` in the order of :func:`order_key`, so that one NaN (all results' NaNs are positive)
    makes the maximum NaN."""
    patterns = np.asarray(patterns)
    return int(patterns[np.argmax(order_key(patterns))])


class OutputBuffer:
    """Attributes: ``numbers`` uint32 (64,), ``stored`` bool (64,), ``maxima`` four patterns."""

    def __init__(self):
        self.clear()

    def clear(self):
        """CLR: numbers 0, bits 1, maxima -infinity."""
        self.numbers = np.zeros(NUMBERS, np.uint32)
        self.stored = np.ones(NUMBERS, bool)
        self.maxima = [MINUS_INFINITY] * 4

    @staticmethod
    def _word(index):
        if not 0 <= index < WORDS:
            raise ValueError(f"index = {index} is not allowed: index must be from 0 to {WORDS - 1}")
        return slice(index * LANES, (index + 1) * LANES)

    def filtered(self, index, numbers, stored, valid, items):
        """Word ``index`` of FILTER: 16 numbers, their bits, and which of them count for the maximum of their item."""
        word = self._word(index)
        self.numbers[word] = bits("numbers", numbers)
        self.stored[word] = stored
        if not 1 <= items <= 4:
            raise ValueError(f"items = {items} is not allowed: items must be from 1 to 4")
        entries = NUMBERS >> (items - 1).bit_length()  # of an item
        valid = np.asarray(valid, bool)
        if valid.any():
            self.accurate(index * LANES // entries, maximum(self.numbers[word][valid]))

    def accurate(self, item, value):
        """An accurate result of ``item``: the maximum alone."""
        self.maxima[item] = maximum([self.maxima[item], value])

    def write(self, index, numbers):
        """LDR, MOVE: word ``index`` becomes 16 ``numbers``, all to be stored."""
        word = self._word(index)
        self.numbers[word] = bits("numbers", numbers)
        self.stored[word] = True

    def read(self, index):
        """The 16 numbers and 16 bits of word ``index``."""
        word = self._word(index)
        return self.numbers[word].copy(), self.stored[word].copy()
