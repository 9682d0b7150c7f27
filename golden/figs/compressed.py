"""N:M matrices in compressed form: N values and N indices of log2 M bits for each group of M."""

import dataclasses

import numpy as np

from golden.arith.fixed import as_integers
from golden.figs.patterns import Pattern, check_pattern, split_groups

__all__ = ["CompressedMatrix"]


@dataclasses.dataclass(frozen=True, eq=False)
class CompressedMatrix:
    """``values`` int64 and ``indices`` (places in the group, rising) of shape (rows, groups, n); ``width`` inputs.

    A group with fewer non-zeros is filled up with zeros at the first free places, so that indices are always n
    different ones in rising order: one form for every matrix. Raises a ``ValueError`` for indices that do not rise or
    are not in the group, for another number of groups than ``width`` has, and for a value behind the last input.
    """

    values: np.ndarray
    indices: np.ndarray
    pattern: Pattern
    width: int

    def __post_init__(self):
        values, indices = as_integers("values", self.values), as_integers("indices", self.indices)
        n, m = self.pattern.n, self.pattern.m
        if type(self.width) is not int or self.width < 0:
            raise ValueError(f"width = {self.width!r} is not allowed: it must be an integer, at least 0")
        if values.ndim != 3 or values.shape[1:] != (-(-self.width // m), n):
            raise ValueError(f"values of shape {values.shape} are not allowed: {self.width} inputs of {self.pattern} "
                             f"take (rows, {-(-self.width // m)}, {n})")
        if indices.shape != values.shape:
            raise ValueError(f"indices of shape {indices.shape} are not allowed: they must be of shape {values.shape}")
        if indices.size and not (0 <= indices.min() and indices.max() < m and (np.diff(indices, axis=-1) > 0).all()):
            raise ValueError(f"indices are not allowed: those of a group must rise, from 0 to {m - 1}")
        place = np.arange(values.shape[1])[:, None] * m + indices
        if values[place >= self.width].any():
            raise ValueError(f"width = {self.width} is not allowed: a value stands behind the last input")

    @classmethod
    def of(cls, weights, pattern):
        """From a dense integer matrix (outputs, inputs); a ``ValueError`` where it does not obey the pattern."""
        weights = as_integers("weights", weights)
        check_pattern(weights, pattern)
        groups = split_groups(weights, pattern.m)
        # Non-zeros first, zeros in order behind them; the n chosen places in rising order.
        indices = np.sort(np.argsort(groups == 0, axis=-1, kind="stable")[..., :pattern.n], -1)
        return cls(np.take_along_axis(groups, indices, -1), indices, pattern, weights.shape[1])

    def dense(self):
        """The dense matrix (outputs, inputs), int64."""
        rows, groups, _ = self.values.shape
        weights = np.zeros((rows, groups, self.pattern.m), np.int64)
        np.put_along_axis(weights, self.indices, self.values, -1)
        return weights.reshape(rows, -1)[:, :self.width]

    def bits(self, weight_bits):
        """Bits of storage: values of ``weight_bits``, indices of log2 M."""
        return self.values.size * (weight_bits + (self.pattern.m - 1).bit_length())
