"""N:M matrices in compressed form: N values and N indices of log2 M bits for each group of M."""

import dataclasses

import numpy as np

from golden.arith.fixed import as_integers, check_range
from golden.figs.patterns import Pattern

__all__ = ["CompressedMatrix", "check_pattern"]


def check_pattern(weights, pattern):
    """Refuse with a ``ValueError``, which names the first row and group, a matrix that does not obey ``pattern``."""
    present = np.asarray(weights) != 0
    if present.ndim != 2:
        raise ValueError(f"weights of shape {present.shape} are not allowed: they must be (outputs, inputs)")
    count = _groups(present, pattern.m).sum(-1)
    wrong = np.argwhere(count > pattern.n)
    if len(wrong):
        row, group = wrong[0]
        raise ValueError(f"weights of row {row}, group {group} (inputs {group * pattern.m} to "
                         f"{min((group + 1) * pattern.m, present.shape[1]) - 1}) have {count[row, group]} non-zeros: "
                         f"the pattern {pattern} allows {pattern.n}")


def _groups(matrix, m):
    """(rows, groups, m), zeros behind the last input."""
    return np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % m))).reshape(len(matrix), -(-matrix.shape[1] // m), m)


@dataclasses.dataclass(frozen=True, eq=False)
class CompressedMatrix:
    """``values`` int64 and ``indices`` (places in the group, rising) of shape (rows, groups, n); ``width`` inputs.

    A group with fewer non-zeros is filled up with zeros at the first free places, so that indices are always n
    different ones in rising order: one form for every matrix.
    """

    values: np.ndarray
    indices: np.ndarray
    pattern: Pattern
    width: int

    @classmethod
    def of(cls, weights, pattern):
        """From a dense integer matrix (outputs, inputs); a ``ValueError`` where it does not obey the pattern."""
        weights = as_integers("weights", weights)
        check_pattern(weights, pattern)
        groups = _groups(weights, pattern.m)
        # Non-zeros first, zeros in order behind them; the n chosen places in rising order.
        indices = np.sort(np.argsort(groups == 0, axis=-1, kind="stable")[..., :pattern.n], -1)
        return cls(np.take_along_axis(groups, indices, -1), indices, pattern, weights.shape[1])

    def dense(self):
        """The dense matrix (outputs, inputs), int64."""
        rows, groups, _ = self.values.shape
        weights = np.zeros((rows, groups, self.pattern.m), np.int64)
        np.put_along_axis(weights, self.indices, self.values, -1)
        return weights.reshape(rows, -1)[:, :self.width]

    def words(self, weight_bits):
        """Stored words, int64: index low, value above it, of log2 M + ``weight_bits`` bits; shape of ``values``."""
        index_bits = (self.pattern.m - 1).bit_length()
        values = check_range("values", self.values, weight_bits) & (1 << weight_bits) - 1
        return self.indices | values << index_bits

    @classmethod
    def from_words(cls, words, pattern, width, weight_bits):
        """The matrix that :meth:`words` stored."""
        index_bits = (pattern.m - 1).bit_length()
        words = check_range("words", words, index_bits + weight_bits, signed=False)
        values, half = words >> index_bits, 1 << weight_bits - 1
        return cls((values ^ half) - half, words & pattern.m - 1, pattern, width)

    def bits(self, weight_bits):
        """Bits of storage."""
        return self.values.size * (weight_bits + (self.pattern.m - 1).bit_length())
