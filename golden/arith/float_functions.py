"""exp, reciprocal and sigmoid of binary32 numbers, as sequences of fused multiply-adds.

Numbers are bit patterns (uint32). Every arithmetic step is one ``golden.arith.float_fma.fma``; between steps, only
fields of a pattern are read and set: bit for bit what hardware does. Thesis 6.5: exp in the Executor is a Taylor
expansion to the 4th order.

:func:`exponential`: x is clamped to +-128; n = round(x * 8 / ln 2) comes out of the low bits of x * 8 / ln 2 + 1.5 *
2^23; r = x - n * ln 2 / 8, in two steps, is at most .0434; q = r + r^2/2 + r^3/6 + r^4/24; exp = (T + T * q) * 2^m
with n = 8 * m + j and T = 2^(j/8) from a table. To reach all exponents, T enters with exponent m - 64 (m + 64 for
m < 0) and a last step multiplies by 2^64 (2^-64); subnormal results are so rounded twice.

:func:`reciprocal`: x (times 2^32 where its exponent field is 0) is b * 2^e with 1 <= b < 2; y0 from a table of 16
entries, one step of third order (y1 = y0 + y0 * (d + d^2), d = 1 - b * y0), one of Newton (y2 = y1 + y1 * (1 - b *
y1)), y1 of the last sum already with the result's exponent, as above.

:func:`sigmoid`: ``reciprocal`` of 1 + ``exponential`` (-x).
"""

import numpy as np

from golden.arith.float_fma import MINUS_ZERO, NAN, ONE, bits, fma

__all__ = ["EXP_ERROR", "EXP_SUBNORMAL_ERROR", "RECIPROCAL_ERROR", "SIGMOID_ERROR", "exponential",
           "reciprocal", "sigmoid"]

EXP_ERROR = 0.92
"""Greatest error of ``exponential`` where its result is normal, in units of the exact result's last place; this and the
others are checked by the tests."""
EXP_SUBNORMAL_ERROR = 0.96
"""The same where the result is subnormal."""
RECIPROCAL_ERROR = 0.54
"""The same of ``reciprocal`` where its result is normal."""
SIGMOID_ERROR = 2.6
"""The same of ``sigmoid`` above -87."""

_MINUS = 1 << 31
_SPLIT = 64


def _pattern(value):
    """Pattern of a number rounded to binary32."""
    return int(np.float32(value).view(np.uint32))


_LN2 = 0.6931471805599453
_STEPS = _pattern(8 / _LN2)
_MAGIC = _pattern(1.5 * 2**23)
_STEP_HIGH = _pattern(_LN2 / 8)
_STEP_LOW = _pattern(_LN2 / 8 - float(np.float32(_LN2 / 8)))
_TAYLOR = [_pattern(1 / 24), _pattern(1 / 6), _pattern(1 / 2), ONE]
_POWERS = np.array([_pattern(2 ** (j / 8)) for j in range(8)])
_LIMIT = _pattern(128.0)
_UP, _DOWN, _PRE = (_pattern(2.0**power) for power in (_SPLIT, -_SPLIT, 32))

_SEEDS = np.array([round(64 * 32 / (33 + 2 * i)) - 32 for i in range(16)])
"""y0 = (32 + seed) / 64 for the 16 sixteenths of 1 <= b < 2: the reciprocal of each one's middle, to 1/64."""


def _scaled(number, m):
    """``number`` * 2^m * 2^-64, 2^64 where m < 0: by its exponent field alone."""
    return number + (m + np.where(m < 0, _SPLIT, -_SPLIT) << 23) & 0xFFFF_FFFF


def _unscaled(number, m):
    return fma(number, np.where(m < 0, _DOWN, _UP), MINUS_ZERO)


def exponential(x):
    """exp(x), uint32 of x's shape, at most :data:`EXP_ERROR` off; NaN gives NaN.

    From 88.72284 on infinity, below -103.9721 zero, from -87.33655 down subnormal.
    """
    x = bits("x", x)
    size = x & ~_MINUS
    x = np.where((size > _LIMIT) & (size <= 0x7F80_0000), _LIMIT | x & _MINUS, x)
    shifted = fma(x, _STEPS, _MAGIC).astype(np.int64)
    n = (shifted & 0xFFF) - (shifted << 1 & 0x1000)
    j, m = n & 7, n >> 3
    whole = fma(shifted, ONE, _MAGIC | _MINUS)
    r = fma(whole, _STEP_HIGH ^ _MINUS, x)
    r = fma(whole, _STEP_LOW ^ _MINUS, r)
    q = fma(r, _TAYLOR[0], _TAYLOR[1])
    for coefficient in (*_TAYLOR[2:], MINUS_ZERO):
        q = fma(q, r, coefficient)
    power = _scaled(_POWERS[j], m)
    return _unscaled(fma(q, power, power), m)


def _reciprocal(v, base):
    """1 / v * 2^(base - 127) for v whose exponent field is not 0 unless v is."""
    v = v.astype(np.int64)
    field, fraction = v >> 23 & 0xFF, v & 0x7F_FFFF
    full = field == 0xFF
    m = base - 32 * full - field
    b = np.where(full & (fraction != 0), NAN, ONE | fraction)
    seed = (126 << 23) + (_SEEDS[fraction >> 19] << 18)
    d = fma(b, seed | _MINUS, ONE)
    y = fma(fma(d, d, d), seed, seed).astype(np.int64)
    d = fma(y, b | _MINUS, ONE)
    result = _scaled(y, m) & ~_MINUS | v & _MINUS
    return _unscaled(fma(d, result, result), m)


def reciprocal(x):
    """1 / x, uint32 of x's shape, at most :data:`RECIPROCAL_ERROR` off.

    Signed zeros give infinities and the reverse, NaN gives NaN. Subnormal x (up to 2^-128: infinity) and subnormal
    results are supported, the latter rounded twice.
    """
    x = bits("x", x)
    pre = x >> 23 & 0xFF == 0
    return _reciprocal(fma(x, np.where(pre, _PRE, ONE), MINUS_ZERO), np.where(pre, 159, 127))


def sigmoid(x):
    """1 / (1 + exp(-x)), uint32 of x's shape, at most :data:`SIGMOID_ERROR` off from -87 on; NaN gives NaN.

    Where exp(-x) is infinite, from -88.72284 down, the result is 0 (exactly it is below 2^-127).
    """
    x = bits("x", x)
    return _reciprocal(fma(exponential(x ^ _MINUS), ONE, ONE), 127)
