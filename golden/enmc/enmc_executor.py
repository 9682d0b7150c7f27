"""Golden model of the EnmcExecutor: accurate results of candidates, FP32 instructions, in the order of the hardware.

Numbers are binary32 patterns, uint32 arrays (:mod:`golden.arith.float_fma`). Source: thesis 6.4.2 (Executor);
docs/enmc/machine.md, docs/enmc/enmc_executor.md.
"""

import enum

import numpy as np

from golden.arith.float_fma import add, bits, fma, multiply
from golden.arith.float_functions import exponential, reciprocal, sigmoid

__all__ = ["BUFFER_WORDS", "Buffer", "EnmcExecutor", "LANES", "NUMBERS", "accurate", "reduce_lanes"]

LANES = 16
BUFFER_WORDS = 4
NUMBERS = BUFFER_WORDS * LANES
_MINUS = np.uint32(1 << 31)


class Buffer(enum.IntEnum):
    """The Executor's buffers, by their numbers in instructions."""

    FEATURE = 2
    WEIGHT = 3
    PSUM = 5


def _patterns(name, values, shape):
    """``values`` as uint32 of ``shape`` (-1: any length); ``ValueError`` otherwise."""
    values = bits(name, values)
    if values.ndim != len(shape) or any(size not in (-1, have) for size, have in zip(shape, values.shape)):
        raise ValueError(f"{name} has shape {values.shape}: it must be {shape}")
    return values.astype(np.uint32)


def reduce_lanes(words):
    """The sums of 16 lanes, uint32 (..., 16) -> (...): lane i += lane i + 8 for i < 8, then + 4, + 2, + 1."""
    words = np.asarray(words)
    if words.shape[-1:] != (LANES,):
        raise ValueError(f"words has shape {words.shape}: its last axis must have {LANES} lanes")
    for half in (8, 4, 2, 1):
        words = add(words[..., :half], words[..., half:2 * half])
    return words[..., 0]


def accurate(rows, features):
    """Accurate results, uint32 (n,), of ``rows`` (n, 16 R) and the ``features`` (16 R,) of one item.

    A lane a number of a burst: fused multiply-adds burst after burst, from +0, then :func:`reduce_lanes`.
    """
    rows = _patterns("rows", rows, (-1, -1))
    features = _patterns("features", features, (rows.shape[1],))
    if not rows.shape[1] or rows.shape[1] % LANES:
        raise ValueError(f"rows has shape {rows.shape}: a row must have bursts of {LANES} numbers, at least one")
    sums = np.zeros((len(rows), LANES), np.uint32)
    for burst in range(0, rows.shape[1], LANES):
        sums = fma(rows[:, burst:burst + LANES], features[burst:burst + LANES], sums)
    return reduce_lanes(sums)


class EnmcExecutor:
    """Buffers FEATURE, WEIGHT, PSUM (64 numbers each) and SUM, and the instructions on them.

    Attributes: ``buffers``, :class:`Buffer` -> uint32 (64,); ``sum``, an integer pattern. All zero at first.
    """

    def __init__(self):
        self.clear()

    def clear(self):
        """CLR."""
        self.buffers = {buffer: np.zeros(NUMBERS, np.uint32) for buffer in Buffer}
        self.sum = 0

    def write(self, buffer, index, word):
        """Word ``index`` (0 to 3) of ``buffer`` becomes ``word``, 16 numbers (LDR, MOVE)."""
        self._index(index)
        self.buffers[Buffer(buffer)][index * LANES:(index + 1) * LANES] = _patterns("word", word, (LANES,))

    def read(self, buffer, index):
        """Word ``index`` of ``buffer``, uint32 (16,)."""
        self._index(index)
        return self.buffers[Buffer(buffer)][index * LANES:(index + 1) * LANES].copy()

    def candidates(self, rows, features):
        """:func:`accurate` of candidates of one item; their bursts go through the buffers, which are zero after it."""
        results = accurate(rows, features)
        if len(results):
            self.buffers = {buffer: np.zeros(NUMBERS, np.uint32) for buffer in Buffer}
        return results

    def add(self, buf1, buf2):
        """ADD_FP32: PSUM = buf1 + buf2."""
        self.buffers[Buffer.PSUM] = add(self.buffers[Buffer(buf1)], self.buffers[Buffer(buf2)])

    def multiply(self, buf1, buf2):
        """MUL_FP32: PSUM = buf1 * buf2."""
        self.buffers[Buffer.PSUM] = multiply(self.buffers[Buffer(buf1)], self.buffers[Buffer(buf2)])

    def multiply_add(self, buf1=Buffer.FEATURE, buf2=Buffer.WEIGHT):
        """MUL_ADD_FP32 with operand 0: PSUM = fma(buf1, buf2, PSUM)."""
        self.buffers[Buffer.PSUM] = fma(self.buffers[Buffer(buf1)], self.buffers[Buffer(buf2)],
                                        self.buffers[Buffer.PSUM])

    def sigmoid(self):
        """SIGMOID: PSUM = sigmoid(PSUM)."""
        self.buffers[Buffer.PSUM] = sigmoid(self.buffers[Buffer.PSUM])

    def _exponentials(self, maximum, count):
        """exp(PSUM[i] - MAX), i < count."""
        if not 0 <= count <= NUMBERS:
            raise ValueError(f"count = {count} is not allowed: count must be from 0 to {NUMBERS}")
        minus = np.uint32(_patterns("maximum", [maximum], (1,))[0]) ^ _MINUS
        return exponential(add(self.buffers[Buffer.PSUM][:count], minus))

    def softmax_sum(self, maximum, count):
        """SOFTMAX, phase 0. SUM += exp(PSUM[i] - maximum), i < ``count`` (0 to 64): a word's 16 exps (0 beyond
        ``count``) by :func:`reduce_lanes`, SUM plus that, word after word. PSUM stays."""
        words = np.zeros(NUMBERS, np.uint32)
        words[:count] = self._exponentials(maximum, count)
        for word in range(-(-count // LANES)):
            self.sum = int(add(reduce_lanes(words[word * LANES:(word + 1) * LANES]), self.sum))

    def softmax_scale(self, maximum, count):
        """SOFTMAX, phase 1: PSUM[i] = exp(PSUM[i] - maximum) * reciprocal(SUM), i < ``count``; the others stay."""
        scale = reciprocal(np.array([self.sum], np.uint32))
        self.buffers[Buffer.PSUM][:count] = multiply(self._exponentials(maximum, count), scale)

    @staticmethod
    def _index(index):
        if not 0 <= index < BUFFER_WORDS:
            raise ValueError(f"index = {index} is not allowed: index must be from 0 to {BUFFER_WORDS - 1}")
