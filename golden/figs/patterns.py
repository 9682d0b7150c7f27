"""N:M patterns: of every group of M neighbouring weights of a row, at most N are not zero.

Groups are aligned and run along the inputs (the second axis of a weight matrix (outputs, inputs)). Where M does not
divide the inputs, the last group is ragged: of its r < M weights ceil(N r / M) are kept, so that a row keeps the
density N / M; that is never more than N, so the engine takes the row as if zeros followed.
"""

import dataclasses

import numpy as np

__all__ = ["LARGEST_GROUP", "Pattern", "chain", "is_pattern", "magnitude_mask", "pattern_of",
           "shared_strength"]

#: The largest M that the engine runs; training may use larger groups on the way.
LARGEST_GROUP = 32


@dataclasses.dataclass(frozen=True, order=True)
class Pattern:
    """At most ``n`` of every ``m`` weights; both powers of two, n <= m. 1:1, 2:2, ... are dense."""

    n: int
    m: int

    def __post_init__(self):
        for name, value in (("m", self.m), ("n", self.n)):
            if value < 1 or value & (value - 1):
                raise ValueError(f"{name} = {value} is not allowed: it must be a power of two, 1 or more")
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
        return width // self.m * self.n + -(-self.n * (width % self.m) // self.m)


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
    """Mask, bool, of the greatest magnitudes of each group of ``weights`` (outputs, inputs); of equal ones the first.

    ``within``: a mask that the result must be a subset of; a group with fewer than N of its weights keeps fewer.
    """
    weights = np.asarray(weights)
    if weights.ndim != 2:
        raise ValueError(f"weights of shape {weights.shape} are not allowed: it must be (outputs, inputs)")
    magnitude = np.abs(weights)
    if within is not None:
        magnitude = np.where(within, magnitude, -1)
    rows, width = weights.shape
    whole = width - width % pattern.m
    mask = np.empty(weights.shape, bool)
    mask[:, :whole] = _greatest(magnitude[:, :whole].reshape(rows, -1, pattern.m), pattern.n).reshape(rows, whole)
    if whole < width:
        mask[:, whole:] = _greatest(magnitude[:, whole:], pattern.kept(width - whole))
    return mask if within is None else mask & within


def is_pattern(weights, pattern):
    """Whether every aligned group of M in the rows of ``weights`` (outputs, inputs), numbers or a mask, has at most N
    that are not zero; a ragged last group too."""
    present = np.asarray(weights) != 0
    padded = np.pad(present, ((0, 0), (0, -present.shape[1] % pattern.m)))
    return bool((padded.reshape(len(padded), -1, pattern.m).sum(-1) <= pattern.n).all())
