"""Golden model of the Projection: a ternary matrix times INT4 activations (thesis 5.1.1, step 2; Eq. 3.6)."""

import numpy as np

from golden.arith.fixed import check_range, requantize

__all__ = ["decode_ternary", "encode_ternary", "project", "project_sum"]


def encode_ternary(p):
    """The 2-bit fields that the hardware stores for entries of {-1, 0, 1}: 0, 1 and 3 (two's complement)."""
    return _ternary(p) & 3


def decode_ternary(fields):
    """Inverse of :func:`encode_ternary`; the field 2 (binary 10) is refused with a ``ValueError``."""
    fields = check_range("fields", fields, 2, signed=False)
    if np.any(fields == 2):
        raise ValueError("fields holds 2 (binary 10): a ternary entry must be 0, 1 or 3")
    return fields - 4 * (fields == 3)


def project_sum(x, p, *, bits=4):
    """P x, exact: ``x`` (..., d) signed integers of ``bits`` bits, ``p`` (k, d) of {-1, 0, 1}. Returns int64 (..., k).

    Raises ``ValueError`` for a number out of range or shapes that do not fit.
    """
    x, p = check_range("x", x, bits), _ternary(p)
    if p.ndim != 2 or x.ndim < 1 or x.shape[-1] != p.shape[1]:
        raise ValueError(f"x has shape {x.shape} and p {p.shape}: they must be (..., d) and (k, d)")
    return x @ p.T


def project(x, p, shift, *, bits=4):
    """The projected inputs: ``requantize(P x, shift, bits)``; shapes as in :func:`project_sum`, ``shift`` 0 to 61.

    The sum over d is exact however many passes the hardware takes; it is rounded (half up) and saturated once.
    """
    return requantize(project_sum(x, p, bits=bits), shift, bits)


def _ternary(p):
    p = check_range("p", p, 2)
    if np.any(p == -2):
        raise ValueError("p holds -2: an entry of P must be -1, 0 or 1")
    return p
