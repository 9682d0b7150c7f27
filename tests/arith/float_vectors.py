"""Operands of float operations, weighted towards corners, and what they reach."""

import numpy as np

from golden.arith.float_fma import INFINITY, MINUS_ZERO, ONE, multiply

__all__ = ["GROUPS", "KINDS", "POINTS", "cover", "kind", "numbers", "triples"]

KINDS = ("zero", "subnormal", "normal", "infinite", "NaN")
GROUPS = ("kinds", "corners", "cancellation", "ties", "products", "sums", "overflow", "any pattern")
#: What :func:`cover` counts: kinds of the three operands, groups, kinds of results.
POINTS = [*(f"{a} x {b} + {c}" for a in KINDS for b in KINDS for c in KINDS), *GROUPS,
          *(f"result {name}" for name in KINDS), "result -0", "finite operands, result infinite",
          "numbers, result subnormal", "equal numbers subtracted", "product far above", "addend far above",
          "result the least normal number", "result the greatest number"]


def kind(x):
    """Index into :data:`KINDS` of each pattern."""
    size = np.asarray(x).astype(np.int64) & 0x7FFF_FFFF
    return np.select([size == 0, size < 1 << 23, size < INFINITY, size == INFINITY], range(4), 4)


def _kinds(rng, count):
    """Patterns, as many of each of :data:`KINDS`."""
    index = rng.integers(len(KINDS), size=count)
    low = np.array([0, 1, 1 << 23, INFINITY, INFINITY + 1])[index]
    high = np.array([1, 1 << 23, INFINITY, INFINITY + 1, 1 << 31])[index]
    return rng.integers(low, high) | rng.integers(2, size=count) << 31


def numbers(rng, count):
    """Patterns (uint32): kinds alike, exponents and fractions at their corners, or anything."""
    exponent = np.select([rng.random(count) < p for p in (0.25, 0.5)],
                         [rng.choice([0, 0, 0, 1, 2, 23, 24, 25, 253, 254, 255, 255], count),
                          rng.integers(100, 154, count)], rng.integers(256, size=count))
    corners = [0, 0, 0, 1, 2, 3, 0x7F_FFFF, 0x7F_FFFE, 0x40_0000, 0x3F_FFFF, 0x20_0000, 0x55_5555]
    single = 1 << rng.integers(23, size=count)
    fraction = np.select([rng.random(count) < p for p in (0.4, 0.3)], [rng.choice(corners, count), single],
                         rng.integers(1 << 23, size=count))
    found = rng.integers(2, size=count) << 31 | exponent << 23 | fraction
    return np.where(rng.random(count) < 0.1, _kinds(rng, count), found).astype(np.uint32)


def _pattern(number, exponent):
    """Pattern of ``number`` (signed, at most 24 bits) * 2^``exponent``, which must be a float."""
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(number.astype(np.float64), exponent).astype(np.float32).view(np.uint32)


def _odd(rng, bits, count):
    """Odd numbers of exactly ``bits`` bits."""
    return rng.integers(1 << bits - 2, 1 << bits - 1, count) << 1 | 1


def _ties(rng, count):
    """a * b + c is half way between two floats; a quarter of them at the end of the subnormal range."""
    a, b = _odd(rng, 12, count), _odd(rng, 12, count)
    wanted = _odd(rng, 25, count)
    e = rng.integers(-60, 60, count)
    e_b = np.where(rng.random(count) < 0.25, -150 - e, rng.integers(-60, 60, count))
    # Of the products alone, those of 25 bits are ties.
    alone = rng.random(count) < 0.3
    c = np.where(alone, 0, wanted - a * b)
    b = np.where(alone, _odd(rng, 13, count), b)
    flip = rng.choice([-1, 1], count)
    return _pattern(flip * a, e), _pattern(b, e_b), _pattern(flip * c, e + e_b)


def triples(rng, count):
    """``count`` operands of each of :data:`GROUPS`: a, b, c (uint32) and the group's index of each, in random order."""
    a, b, c = (numbers(rng, count * len(GROUPS)).reshape(len(GROUPS), count) for _ in range(3))
    for x in (a, b, c):
        x[0] = _kinds(rng, count)
    product = multiply(a[2], b[2]).astype(np.int64)
    near = (product ^ 1 << 31) + rng.integers(-3, 4, count) + np.where(rng.random(count) < 0.6,
                                                                     rng.integers(-52, 53, count) << 23, 0)
    c[2] = np.clip(near, 0, (1 << 32) - 1)
    a[3], b[3], c[3] = _ties(rng, count)
    c[4] = MINUS_ZERO
    b[5] = ONE
    e = rng.integers(-120, 121, count)
    a[6] = _pattern(rng.choice([-1, 1], count) * ((1 << 24) - rng.integers(1, 4, count)), e)
    b[6] = _pattern((1 << 24) - rng.integers(-1, 4, count), 80 - e + rng.choice([-1, 0, 0, 0], count))
    a[7], b[7], c[7] = rng.integers(1 << 32, size=(3, count))
    order = rng.permutation(count * len(GROUPS))
    return *(x.reshape(-1)[order] for x in (a, b, c)), np.repeat(np.arange(len(GROUPS)), count)[order]


def cover(coverage, a, b, c, result, group):
    """Count in ``coverage`` (of :data:`POINTS`) what these operands and results reach."""
    kinds = [kind(x) for x in (a, b, c)]
    flat = (kinds[0] * 5 + kinds[1]) * 5 + kinds[2]
    for index, times in enumerate(np.bincount(flat, minlength=125)):
        coverage.hit(POINTS[index], int(times))
    for name, times in zip(GROUPS, np.bincount(group, minlength=len(GROUPS))):
        coverage.hit(name, int(times))
    got = kind(result)
    for name, times in zip(KINDS, np.bincount(got, minlength=5)):
        coverage.hit(f"result {name}", int(times))
    finite = np.all(np.array(kinds) < 3, axis=0)
    normal = np.all(np.array(kinds) == 2, axis=0)
    a_power, b_power, c_power = ((x >> 23 & 0xFF).astype(int) for x in (a, b, c))
    apart = a_power + b_power - 127 - c_power
    for name, reached in {
        "result -0": result == MINUS_ZERO,
        "finite operands, result infinite": finite & (got == 3),
        "numbers, result subnormal": normal & (got == 1),
        "equal numbers subtracted": normal & (got == 0),
        "product far above": normal & (apart > 60) & (got == 2),
        "addend far above": normal & (apart < -60) & (got == 2),
        "result the least normal number": (result & 0x7FFF_FFFF) == 1 << 23,
        "result the greatest number": (result & 0x7FFF_FFFF) == INFINITY - 1,
    }.items():
        coverage.hit(name, int(np.count_nonzero(reached)))
