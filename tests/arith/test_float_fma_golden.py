"""The golden float arithmetic against exact rationals and against numpy's float32, and its refusals."""

from fractions import Fraction

import numpy as np
import pytest

from golden.arith.float_fma import INFINITY, MINUS_ZERO, NAN, ONE, add, fma, multiply
from golden.arith.int_to_float import int_to_float

from .float_vectors import GROUPS, KINDS, kind, triples


def value(pattern):
    """Sign and exact value of a finite pattern."""
    field, fraction = pattern >> 23 & 0xFF, pattern & 0x7F_FFFF
    size = Fraction(fraction | (1 << 23 if field else 0)) * Fraction(2) ** (max(field, 1) - 150)
    return -size if pattern >> 31 else size


def rounded(exact, sign_of_zero):
    """The pattern of a rational number: IEEE 754's rounding to nearest even, from its definition."""
    sign = exact < 0 or exact == 0 and sign_of_zero
    if exact == 0:
        return sign << 31
    size = abs(exact)
    exponent = max(size.numerator.bit_length() - size.denominator.bit_length() - 25, -149)
    while size >= Fraction(2) ** (exponent + 24):  # the least exponent, of -149 and above, that leaves 24 bits
        exponent += 1
    number = round(size / Fraction(2) ** exponent)  # of a Fraction: to nearest, ties to even
    pattern = min((exponent + 149 << 23) + number, INFINITY)
    return pattern | sign << 31


def exact_fma(a, b, c):
    """a * b + c by rationals, infinities and NaN by the cases of the standard; and whether it was a tie."""
    kinds = [KINDS[int(kind(x))] for x in (a, b, c)]
    sign, c_sign = (a ^ b) >> 31, c >> 31
    if "NaN" in kinds or {"zero", "infinite"} == set(kinds[:2]):
        return NAN, False
    if "infinite" in kinds[:2]:
        return (NAN if kinds[2] == "infinite" and sign != c_sign else INFINITY | sign << 31), False
    if kinds[2] == "infinite":
        return c, False
    product = value(a) * value(b)
    exact = product + value(c)
    result = rounded(exact, sign & c_sign)
    grid = max((result >> 23 & 0xFF) - 1, 0) - 149
    return result, result & 0x7FFF_FFFF < INFINITY and (exact / Fraction(2) ** (grid - 1)).denominator == 1 \
        and (exact / Fraction(2) ** (grid - 1)) % 2 == 1


def compare_with_rationals(count, seed):
    a, b, c, group = triples(np.random.default_rng(seed), count)
    found = fma(a, b, c)
    ties = 0
    for x, y, z, got in zip(*(values.tolist() for values in (a, b, c, found))):
        want, tie = exact_fma(x, y, z)
        ties += tie
        assert got == want, f"fma({x:#010x}, {y:#010x}, {z:#010x}): expected {want:#010x}, got {got:#010x}"
    print(f"{len(found)} operations compared with exact rationals, {ties} of them ties")
    assert ties > count / 2


def test_fma_is_exact_then_rounded():
    compare_with_rationals(1_500, 1)


@pytest.mark.slow
def test_fma_is_exact_then_rounded_many():
    compare_with_rationals(12_000, 2)


def compare_with_numpy(count):
    a, b, c, _ = triples(np.random.default_rng(3), count)
    for name, ours, theirs in (("multiply", multiply, np.multiply), ("add", add, np.add)):
        for x, y in ((a, b), (b, c), (a, c)):
            with np.errstate(all="ignore"):
                want = theirs(x.view(np.float32), y.view(np.float32))
            want = np.where(np.isnan(want), np.uint32(NAN), want.view(np.uint32))
            assert want.dtype == np.uint32 and np.array_equal(ours(x, y), want), name
        print(f"{3 * len(a)} operations {name} compared with numpy's float32")


def test_multiply_and_add_are_numpys():
    compare_with_numpy(8000)


@pytest.mark.slow
def test_multiply_and_add_are_numpys_many():
    compare_with_numpy(45_000)


def test_one_rounding_not_two():
    """1 + 2^-12, squared, less its rounded square: what a multiplication and an addition lose."""
    x = int(np.float32(1 + 2.0**-12).view(np.uint32))
    square = int(multiply(x, x)) | 1 << 31
    assert fma(x, x, square) == np.float32(2.0**-24).view(np.uint32)
    assert add(multiply(x, x), square) == 0


def test_rationals_would_notice_a_wrong_rounding():
    """Truncation in place of rounding, and a tie away from zero, differ from the reference."""
    assert rounded(Fraction(3, 2) * Fraction(2) ** -149, 0) == 2 != 1
    assert rounded(Fraction(5, 2) * Fraction(2) ** -149, 0) == 2 != 3


def test_int_to_float_is_numpys():
    rng = np.random.default_rng(4)
    corners = [0, 1, -1, 2**31 - 1, -2**31, 2**24 - 1, 2**24, 2**24 + 1, 2**25 + 2, 2**25 + 6, -2**24 - 1]
    x = np.append(corners, rng.integers(-2**31, 2**31, 100_000) >> rng.integers(0, 31, 100_000))
    assert np.array_equal(int_to_float(x), x.astype(np.int32).astype(np.float32).view(np.uint32))


def test_shapes_broadcast():
    assert fma(np.full((3, 1), ONE), np.full(4, ONE), MINUS_ZERO).shape == (3, 4)
    assert fma(ONE, ONE, MINUS_ZERO).dtype == np.uint32


@pytest.mark.parametrize("bad, error", [(-1, ValueError), (1 << 32, ValueError), (1.0, TypeError)])
@pytest.mark.parametrize("name", "abc")
def test_refuses_what_is_no_pattern(name, bad, error):
    with pytest.raises(error, match=name):
        fma(**{"a": ONE, "b": ONE, "c": ONE, name: bad})


@pytest.mark.parametrize("bad", [1 << 31, -(1 << 31) - 1])
def test_int_to_float_refuses_more_than_32_bits(bad):
    with pytest.raises(ValueError, match="x holds"):
        int_to_float(bad)


def test_groups_are_all_drawn():
    assert set(triples(np.random.default_rng(5), 2)[3]) == set(range(len(GROUPS)))
