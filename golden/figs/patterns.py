"""N:M patterns: of every group of M neighbouring weights of a row, at most N are not zero.

Groups are aligned and run along the inputs (the second axis of a weight matrix (outputs, inputs)). Where M does not
divide the inputs, the last group is ragged: of its r < M weights ceil(N r / M) are kept, so that a row keeps the
density N / M; that is never more than N, so the engine takes the row as if zeros followed.
"""

import dataclasses

import numpy as np

from golden.arith.fixed import as_flags, as_integers

__all__ = ["LARGEST_GROUP", "RATIOS", "Pattern", "chain", "check_pattern", "is_pattern", "magnitude_mask",
           "pattern_of", "shared_strength", "split_groups"]

#: The largest M that the engine runs; training may use larger groups on the way.
LARGEST_GROUP = 32


def _is_integer(value):
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


@dataclasses.dataclass(frozen=True, order=True)
class Pattern:
    """At most ``n`` of every ``m`` weights; both powers of two, n <= m. 1:1, 2:2, ... are dense."""

    n: int
    m: int

    def __post_init__(self):
        for name, value in (("m", self.m), ("n", self.n)):
            if not _is_integer(value) or value < 1 or value & (value - 1):
                raise ValueError(f"{name} = {value!r} is not allowed: it must be a power of two, 1 or more")
            object.__setattr__(self, name, int(value))
        if self.n > self.m:
            raise ValueError(f"n = {self.n} is not allowed: it must be at most m = {self.m}")

    def __str__(self):
        return f"{self.n}:{self.m}"

    @property
    def density(self):
        """N / M."""
        return self.n / self.m

    def kept(self, width):
        """Weights that a row of ``width`` keeps."""
        if not _is_integer(width) or width < 0:
            raise ValueError(f"width = {width!r} is not allowed: it must be an integer, at least 0")
        return width // self.m * self.n + -(-self.n * (width % self.m) // self.m)


#: The ratios that tables and tests go through: those at full rate for four rows a group, then those beyond.
RATIOS = tuple(Pattern(n, m) for n, m in ((1, 1), (1, 2), (2, 4), (1, 4), (2, 8), (4, 8), (4, 16), (8, 32),
                                          (1, 8), (1, 16), (1, 32)))


def pattern_of(text):
    """The pattern written as ``N:M``, of those that the engine runs. Raises ``ValueError``."""
    n, colon, m = text.partition(":")
    if not (colon and n.isdecimal() and m.isdecimal()):
        raise ValueError(f"pattern = {text!r} is not allowed: it must be N:M, as in 2:8")
    pattern = Pattern(int(n), int(m))
    if pattern.m > LARGEST_GROUP:
        raise ValueError(f"m = {pattern.m} is not allowed: it must be at most {LARGEST_GROUP}")
    return pattern


def chain(target, length):
    """The FiGS schedule to ``target``: ``length`` patterns of one density whose groups halve from step to step.

    chain(1:4, 4) is 8:32, 4:16, 2:8, 1:4 (slides, "Fine-Grained Sparsification"). Every matrix that obeys one of them
    obeys all before it.
    """
    if length < 1:
        raise ValueError(f"length = {length} is not allowed: it must be at least 1")
    return [Pattern(target.n << step, target.m << step) for step in reversed(range(length))]


def _greatest(values, count):
    """Mask of the ``count`` greatest along the last axis; of equal ones the first."""
    size = values.shape[-1]
    if count == size:
        return np.ones(values.shape, bool)
    if count == 1:  # the same as below, in a third of the time
        return values.argmax(-1)[..., None] == np.arange(size)
    mask = values >= np.partition(values, -count, -1)[..., -count, None]
    tied = np.count_nonzero(mask, -1) > count
    if tied.any():
        order = np.argsort(-values[tied], -1, kind="stable")[:, :count]
        chosen = np.zeros((len(order), size), bool)
        np.put_along_axis(chosen, order, True, -1)
        mask[tied] = chosen
    return mask


def shared_strength(weights, rows):
    """What :func:`magnitude_mask` takes for masks that ``rows`` neighbouring outputs share: the root of the sum of
    their squares, the same for all of them; of shape (outputs, inputs). A last set may have fewer outputs.
    """
    weights = np.asarray(weights)
    if rows < 1:
        raise ValueError(f"rows = {rows} is not allowed: it must be at least 1")
    if rows == 1:
        return weights
    first = np.arange(0, len(weights), rows)
    strength = np.sqrt(np.add.reduceat(np.square(weights.astype(np.float64)), first))
    return np.repeat(strength, np.diff([*first, len(weights)]), 0)


def magnitude_mask(weights, pattern, within=None):
    """Mask, bool, of the greatest magnitudes of each group of ``weights`` (outputs, inputs), numbers without NaN; of
    equal ones the first.

    ``within``: a mask of the same shape that the result must be a subset of; a group with fewer than N of its weights
    keeps fewer.
    """
    weights = _matrix(weights)
    if weights.dtype.kind == "f":
        if np.isnan(weights).any():
            raise ValueError("weights hold NaN: they must be numbers")
    else:
        weights = as_integers("weights", weights)  # wide enough for the magnitude of the least number
    magnitude = np.abs(weights)
    if within is not None:
        within = as_flags("within", within)
        if within.shape != weights.shape:
            raise ValueError(f"within of shape {within.shape} is not allowed: it must be that of weights, "
                             f"{weights.shape}")
        magnitude = np.where(within, magnitude, -1)
    rows, width = weights.shape
    whole = width - width % pattern.m
    mask = np.empty(weights.shape, bool)
    mask[:, :whole] = _greatest(magnitude[:, :whole].reshape(rows, -1, pattern.m), pattern.n).reshape(rows, whole)
    if whole < width:
        mask[:, whole:] = _greatest(magnitude[:, whole:], pattern.kept(width - whole))
    return mask if within is None else mask & within


def _matrix(weights):
    weights = np.asarray(weights)
    if weights.ndim != 2:
        raise ValueError(f"weights of shape {weights.shape} are not allowed: they must be (outputs, inputs)")
    return weights


def split_groups(matrix, m):
    """(rows, groups, m) of ``matrix`` (rows, inputs), zeros behind the last input."""
    return np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % m))).reshape(len(matrix), -(-matrix.shape[1] // m), m)


def _count(weights, pattern):
    """Non-zeros of each aligned group of M in the rows of ``weights``: (outputs, groups)."""
    return split_groups(_matrix(weights) != 0, pattern.m).sum(-1)


def is_pattern(weights, pattern):
    """Whether every aligned group of M in the rows of ``weights`` (outputs, inputs), numbers or a mask, has at most N
    that are not zero; a ragged last group too."""
    return bool((_count(weights, pattern) <= pattern.n).all())


def check_pattern(weights, pattern):
    """Refuse with a ``ValueError``, which names the first row and group, a matrix that does not obey ``pattern``."""
    count = _count(weights, pattern)
    wrong = np.argwhere(count > pattern.n)
    if len(wrong):
        row, group = wrong[0]
        last = min((group + 1) * pattern.m, np.shape(weights)[1]) - 1
        raise ValueError(f"weights of row {row}, group {group} (inputs {group * pattern.m} to {last}) have "
                         f"{count[row, group]} non-zeros: the pattern {pattern} allows {pattern.n}")
