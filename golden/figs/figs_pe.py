"""Golden model of an element: ``beta`` multipliers that share the operand chosen from the taps of swap registers."""

import numpy as np

from golden.figs.errors import Error

__all__ = ["operands", "run"]


def operands(sizes, seen, use, select, age):
    """The operand of each element and cycle, and error bits.

    ``seen`` (..., taps) of :func:`golden.figs.swap_register.taps`; ``use``, ``select`` and ``age`` broadcast to (...).
    Without ``use`` the operand is 0 and nothing is checked. A select beyond the taps is SELECT (and not STALE), a tap
    of more than ``age`` cycles, fed before the pass, is STALE; the operand is 0.
    """
    seen, use, select = np.asarray(seen), np.asarray(use, bool), np.asarray(select)
    beyond = use & (select >= sizes.taps)
    stale = use & ~beyond & (select // sizes.reach > age)
    good = use & ~beyond & ~stale
    shape = np.broadcast_shapes(seen.shape[:-1], select.shape)
    index = np.broadcast_to(np.where(good, select, 0), shape)
    chosen = np.take_along_axis(np.broadcast_to(seen, (*shape, seen.shape[-1])), index[..., None], -1)[..., 0]
    errors = Error.SELECT * bool(beyond.any()) | Error.STALE * bool(stale.any())
    return np.where(good, chosen, 0), Error(errors)


def run(sizes, seen, use, select, weights):
    """Sums of a pass, (..., beta) int64, and error bits, of any number of elements.

    ``seen`` (cycles, ..., taps); ``use``, ``select`` (cycles, ...); ``weights`` (cycles, ..., beta).
    """
    age = np.arange(len(use)).reshape(-1, *[1] * (np.ndim(use) - 1))
    chosen, errors = operands(sizes, seen, use, select, age)
    return np.einsum("n...,n...j->...j", chosen.astype(np.int64), np.asarray(weights, np.int64)), errors
