"""IEEE 754 binary32 arithmetic in integers: fused multiply-add, multiply, add.

Numbers are bit patterns (uint32). ``fma(a, b, c)`` is a * b + c, exact, rounded once to nearest, ties to even.
Subnormals are ordinary numbers on input and output, overflow gives infinity, every NaN that results is
:data:`NAN`. The sign of an exact zero sum is plus unless both terms are negative (IEEE 754-2019, 6.3).

Each operand is written as significand * 2^exponent, product and addend are normalised to 48 bits, the one of lesser
exponent is moved right in a number of 128 bits (two uint64). What falls out below is jammed into the lowest bit, which
is at least 38 places below the rounding.
"""

import numpy as np

from golden.arith.fixed import check_range

__all__ = ["INFINITY", "MINUS_ZERO", "NAN", "ONE", "add", "bits", "fma", "multiply", "round_to_float"]

ONE = 0x3F80_0000
MINUS_ZERO = 0x8000_0000
INFINITY = 0x7F80_0000
NAN = 0x7FC0_0000
"""The one NaN that operations give: quiet, positive, no payload."""

_LEAST = -149
"""Exponent of the lowest bit of a subnormal number."""
_FAR = -(1 << 20)
"""Exponent given to a zero, below that of every other number."""


def bits(name, values):
    """``values`` as int64, refused (``ValueError``, ``TypeError``) where one is no bit pattern of 32 bits."""
    return check_range(name, values, 32, signed=False)


def _length(x):
    """Number of bits of uint64 ``x`` without its leading zeros."""
    high, low = x >> np.uint64(32), x & np.uint64(0xFFFF_FFFF)
    return np.where(high != 0, 32 + np.frexp(high.astype(np.float64))[1], np.frexp(low.astype(np.float64))[1])


def _right(x, count):
    """uint64 ``x`` moved right by int64 ``count`` >= 0 places, any number of them."""
    return np.where(count < 64, x >> np.minimum(count, 63).astype(np.uint64), np.uint64(0))


def _left(x, count):
    """uint64 ``x`` moved left by int64 ``count`` >= 0 places modulo 2^64."""
    return np.where(count < 64, x << np.minimum(count, 63).astype(np.uint64), np.uint64(0))


def _split(x):
    """Sign, significand (24 bits, uint64) and exponent of its lowest bit, of a finite number's pattern."""
    field = x >> 23 & 0xFF
    significand = (x & 0x7F_FFFF) | np.where(field != 0, 1 << 23, 0)
    return x >> 31, significand.astype(np.uint64), np.maximum(field, 1) - 150


def _normal(significand, exponent):
    """The same value with bit 47 of the significand set; zero gets the exponent :data:`_FAR`."""
    shift = 48 - _length(significand)
    return _left(significand, shift), np.where(significand == 0, _FAR, exponent - shift)


def round_to_float(sign, high, low, exponent):
    """The pattern (uint32) of (-1)^``sign`` * (``high`` * 2^64 + ``low``) * 2^``exponent``, rounded to nearest even.

    ``high`` (below 2^62) and ``low`` are uint64, ``sign`` and ``exponent`` int64; all of one shape.
    """
    length = np.where(high != 0, 64 + _length(high), _length(low))
    # Exponent of the result's last bit.
    quantum = np.where(length == 0, _LEAST, np.maximum(length - 24 + exponent, _LEAST))
    drop = quantum - exponent
    right = np.clip(drop, 0, 127)
    # 2x the result: one more bit than is kept, and whether anything is below it.
    below = np.maximum(right - 1, 0)
    kept = _right(low, below) | np.where(below < 64, _left(high, 64 - below), _right(high, below - 64))
    lost = np.where(below < 64, _left(low, 64 - below) != 0,
                    (low != 0) | (_left(high, np.maximum(128 - below, 0)) != 0))
    half, whole = (kept & np.uint64(1)).astype(np.int64), (kept >> np.uint64(1)).astype(np.int64)
    rounded = whole + (half & (lost | (whole & 1)))
    result = np.where(right == 0, _left(low, np.maximum(-drop, 0)).astype(np.int64), rounded)
    # The significand's top bit adds one to the exponent field; a carry out of it does as well.
    pattern = np.minimum((quantum - _LEAST << 23) + result, INFINITY)
    return (pattern | sign << 31).astype(np.uint32)


def fma(a, b, c):
    """a * b + c with one rounding. Bit patterns (integers, 0 to 2^32 - 1) of shapes that broadcast; uint32."""
    a, b, c = np.broadcast_arrays(bits("a", a), bits("b", b), bits("c", c))
    a_size, b_size, c_size = a & 0x7FFF_FFFF, b & 0x7FFF_FFFF, c & 0x7FFF_FFFF
    a_sign, a_number, a_exponent = _split(a)
    b_sign, b_number, b_exponent = _split(b)
    c_sign, c_number, c_exponent = _split(c)
    sign = a_sign ^ b_sign

    product, exponent = _normal(a_number * b_number, a_exponent + b_exponent)
    addend, c_exponent = _normal(c_number, c_exponent)
    swap = (c_exponent > exponent) | (c_exponent == exponent) & (addend > product)
    big, small = np.where(swap, addend, product), np.where(swap, product, addend)
    top = np.where(swap, c_exponent, exponent)
    apart = np.minimum(np.abs(c_exponent - exponent), 127)

    # The big one's lowest bit stands at place 63.
    zero = np.uint64(0)
    big_high, big_low = big >> np.uint64(1), big << np.uint64(63)
    near = apart <= 63
    small_high = np.where(near, _right(small, apart + 1), zero)
    outside = np.maximum(apart - 63, 0)
    jam = _left(_right(small, outside), outside) != small
    small_low = np.where(near, _left(small, np.maximum(63 - apart, 0)), _right(small, outside) | jam.astype(np.uint64))
    minus = sign != c_sign
    low = np.where(minus, big_low - small_low, big_low + small_low)
    carry = np.where(minus, big_low < small_low, low < big_low).astype(np.uint64)
    high = np.where(minus, big_high - small_high - carry, big_high + small_high + carry)

    is_zero = (high | low) == 0
    sum_sign = np.where(is_zero, sign & c_sign, np.where(swap, c_sign, sign))
    result = round_to_float(sum_sign, high, low, top - 63)

    product_infinite = (a_size == INFINITY) | (b_size == INFINITY)
    c_infinite = c_size == INFINITY
    result = np.where(product_infinite, INFINITY | sign << 31, np.where(c_infinite, c, result))
    invalid = (a_size > INFINITY) | (b_size > INFINITY) | (c_size > INFINITY)
    invalid |= product_infinite & ((a_size == 0) | (b_size == 0) | c_infinite & minus)
    return np.where(invalid, NAN, result).astype(np.uint32)


def multiply(a, b):
    """a * b, rounded once; patterns as for :func:`fma`. It is ``fma(a, b, -0)``, whose zero has the product's sign."""
    return fma(a, b, MINUS_ZERO)


def add(a, b):
    """a + b, rounded once; patterns as for :func:`fma`. It is ``fma(a, 1, b)``."""
    return fma(a, ONE, b)
