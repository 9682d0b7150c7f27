"""Fixed-point arithmetic: the one definition of rounding and saturation that every block follows.

``requantize(x, shift, width)`` = saturate(floor((x + 2^(shift-1)) / 2^shift)): round half up (toward plus
infinity), then saturate to the ``width``-bit two's complement range.
"""

import numpy as np

__all__ = ["as_flags", "as_integers", "check_range", "requantize", "saturate", "signed_range"]


def signed_range(width):
    """The least and the greatest ``width``-bit two's complement number."""
    return -(1 << (width - 1)), (1 << (width - 1)) - 1


def as_integers(name, values):
    """``values`` as an int64 array.

    Anything that is not of an integer type is a ``TypeError``, a number of 2^63 or more a ``ValueError``.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "iu":
        raise TypeError(f"{name} must be of an integer type, not {values.dtype}")
    if values.dtype == np.uint64 and values.size and values.max() >= 1 << 63:
        raise ValueError(f"{name} holds {values.max()}, outside 64 bits signed")
    return values.astype(np.int64)


def as_flags(name, values):
    """``values`` as a bool array: bools, or integers of which any but 0 and 1 is a ``ValueError``."""
    values = np.asarray(values)
    return values if values.dtype == bool else check_range(name, values, 1, signed=False).astype(bool)


def check_range(name, values, width, signed=True):
    """``values`` as int64, refused with a ``ValueError`` where one does not fit in ``width`` bits."""
    values = as_integers(name, values)
    low, high = signed_range(width) if signed else (0, (1 << width) - 1)
    if values.size and (values.min() < low or values.max() > high):
        worst = values.min() if values.min() < low else values.max()
        raise ValueError(f"{name} holds {worst}, outside {low} to {high} ({width} bits)")
    return values


def saturate(values, width):
    """Clip int64 ``values`` to the ``width``-bit two's complement range."""
    return np.clip(values, *signed_range(width))


def requantize(values, shift, width):
    """Divide int64 ``values`` (|x| < 2^62) by 2^``shift`` (0..61), round half up, saturate to ``width`` bits."""
    values = as_integers("values", values)
    if not 0 <= shift <= 61:
        raise ValueError(f"shift = {shift} is not allowed: shift must be from 0 to 61")
    if values.size and max(int(values.max()), -int(values.min())) >= 1 << 62:
        raise ValueError("values reach 2^62: outside the range of requantize")
    half = (1 << shift) >> 1
    return saturate((values + half) >> shift, width)
