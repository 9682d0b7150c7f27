"""Random and hostile sparse matrices, and sizes, for the tests of FiGS."""

import numpy as np

from golden.figs.patterns import magnitude_mask
from golden.figs.sizes import Sizes

KINDS = ("random", "shared", "thin", "first", "last", "alternate", "one row")


def random_sizes(rng, *, alphas=(0, 1, 3, 7), depths=range(1, 9), largest=8, **fixed):
    """Sizes of at most ``largest`` rows a group and few elements."""
    alpha = int(rng.choice(alphas))
    groups = 1 << int(rng.integers(0, largest.bit_length()))
    rows = max(groups, alpha + 1) * int(rng.integers(1, 3))
    return Sizes(**{**dict(rows=rows, columns=int(rng.integers(1, 4)), beta=int(rng.integers(1, 5)), alpha=alpha,
                           depth=int(rng.choice(depths)), groups=groups, words=1 << 16), **fixed})


def mask(rng, outputs, inputs, pattern, kind="random", beta=1):
    """A legal mask (outputs, inputs).

    ``shared``: ``beta`` rows alike; ``thin``: half of it left out; ``first``/``last``: the non-zeros at the edge of
    each group, all rows alike; ``alternate``: at the end of one group and at the start of the next, so that they come
    in bursts; ``one row``: only one row has any.
    """
    scores = rng.random((outputs, inputs))
    place = np.arange(inputs)
    if kind == "shared":
        scores = np.repeat(scores[::beta], beta, 0)[:outputs]
    elif kind == "first":
        scores[:] = inputs - place
    elif kind == "last":
        scores[:] = place + 1
    elif kind == "alternate":
        scores[:] = np.where(place // pattern.m % 2, inputs - place, place + 1)
    found = magnitude_mask(scores, pattern)
    if kind == "thin":
        found &= rng.random(found.shape) < 0.5
    elif kind == "one row":
        found[np.arange(outputs) != rng.integers(outputs)] = False
    return found


def matrix(rng, outputs, inputs, pattern, kind="random", beta=1, bits=8):
    """Integers of ``bits`` bits, not 0 where the mask is, extremes among them."""
    values = rng.integers(1, 1 << bits - 1, (outputs, inputs)) * rng.choice([-1, 1], (outputs, inputs))
    values[rng.random(values.shape) < 0.1] = -(1 << bits - 1)
    return values * mask(rng, outputs, inputs, pattern, kind, beta)
