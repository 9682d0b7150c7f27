"""Golden model of the Quantizer: the most significant bits of each activation (thesis 5.1.1, step 1)."""

from golden.arith.fixed import check_range

__all__ = ["quantize"]


def quantize(x, *, in_bits=16, out_bits=4):
    """The ``out_bits`` most significant bits of each number: floor(x / 2^(in_bits - out_bits)), no rounding.

    ``x``: ``in_bits``-bit signed integers of any shape. Returns int64, the same shape, -2^(out_bits-1) to
    2^(out_bits-1) - 1; the scale grows by 2^(in_bits - out_bits) (4096 for INT16 to INT4). The error is at most 1 LSB
    of the result, always downward. Raises ``ValueError`` for a number out of range, ``TypeError`` for floats.
    """
    if not 1 <= out_bits <= in_bits:
        raise ValueError(f"out_bits = {out_bits} is not allowed: out_bits must be from 1 to in_bits = {in_bits}")
    return check_range("x", x, in_bits) >> (in_bits - out_bits)
