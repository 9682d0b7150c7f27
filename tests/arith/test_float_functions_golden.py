"""The golden float functions against float64 over their whole ranges, and at the values that matter."""

import numpy as np
import pytest

from golden.arith import float_functions as golden
from golden.arith.float_functions import exponential, reciprocal, sigmoid


def to_float(pattern):
    return np.asarray(pattern, np.uint32).view(np.float32).astype(np.float64)


def patterns(*values):
    return np.array(values, np.float32).view(np.uint32)


def ulps(found, exact):
    """Distance in units of the last place that ``exact`` has as a binary32 number."""
    place = np.floor(np.log2(np.abs(exact)))
    return np.abs(to_float(found) - exact) / 2.0 ** np.maximum(place - 23, -149)


def report(name, x, error, bound):
    """Print the error of ``name`` and hold it to its documented bound, which must not be far from it either."""
    print(f"{name}: {len(x)} arguments, greatest error {error.max():.3f} ulp (x = {x[error.argmax()]:.9g}), "
          f"mean {error.mean():.3f}, more than half an ulp {np.mean(error > 0.5):.2%}")
    assert 0.8 * bound < error.max() <= bound


def ends(low, high, count, rng):
    """Random arguments from ``low`` to ``high``, evenly and by their magnitude, as binary32."""
    even = rng.uniform(low, high, count)
    tiny = rng.choice([-1, 1], count // 4) * 2.0 ** rng.uniform(-40, 6, count // 4)
    return np.concatenate([even, tiny[(tiny > low) & (tiny < high)]]).astype(np.float32)


def check_exponential(count, seed=1):
    x = ends(-103.97, 88.7228, count, np.random.default_rng(seed))
    exact = np.exp(x.astype(np.float64))
    error = ulps(exponential(x.view(np.uint32)), exact)
    normal = exact >= 2.0**-126
    report("exponential, normal results", x[normal], error[normal], golden.EXP_ERROR)
    report("exponential, subnormal results", x[~normal], error[~normal], golden.EXP_SUBNORMAL_ERROR)


def test_exponential():
    check_exponential(150_000)


def check_reciprocal(fractions):
    """One binade: elsewhere the exponent differs only, up to subnormal results."""
    worst, wrong = np.zeros(2), 0
    for part in np.array_split(fractions, -(-len(fractions) // (1 << 18))):
        x = 0x3F80_0000 | part
        error = ulps(reciprocal(x), 1 / to_float(x))
        worst = max(worst, np.array([error.max(), part[error.argmax()]]), key=lambda pair: pair[0])
        wrong += int(np.sum(error > 0.5))
    print(f"reciprocal: {len(fractions)} mantissas, greatest error {worst[0]:.3f} ulp (fraction {worst[1]:.0f}), "
          f"{wrong} are not the nearest number")
    assert 0.8 * golden.RECIPROCAL_ERROR < worst[0] <= golden.RECIPROCAL_ERROR


def test_reciprocal():
    check_reciprocal(np.random.default_rng(5).integers(1 << 23, size=1 << 17))


@pytest.mark.slow
def test_reciprocal_of_every_mantissa():
    check_reciprocal(np.arange(1 << 23))


def test_reciprocal_of_every_exponent():
    """The mantissa of the result does not depend on the exponent, down to where results are subnormal."""
    fractions = np.random.default_rng(2).integers(1 << 23, size=20)
    base = reciprocal(127 << 23 | fractions).astype(np.int64)
    field, sign = np.mgrid[1:253, 0:2][..., None]
    found = reciprocal(sign << 31 | field << 23 | fractions)
    assert np.array_equal(found, base + (127 - field << 23) + (sign << 31))
    x = np.concatenate([253 << 23 | fractions, 254 << 23 | fractions])
    assert ulps(reciprocal(x), 1 / to_float(x)).max() < 0.77
    x = (1 << 22) + fractions // 2  # subnormal, 2^-127 and above
    assert ulps(reciprocal(x), 1 / to_float(x)).max() <= golden.RECIPROCAL_ERROR


def test_sigmoid():
    x = ends(-87, 104, 120_000, np.random.default_rng(3))
    error = ulps(sigmoid(x.view(np.uint32)), 1 / (1 + np.exp(-x.astype(np.float64))))
    report("sigmoid", x, error, golden.SIGMOID_ERROR)


def test_sigmoid_far_below():
    x = np.linspace(-200, -87, 100_000).astype(np.float32)
    found = to_float(sigmoid(x.view(np.uint32)))
    assert np.abs(found - 1 / (1 + np.exp(-x.astype(np.float64)))).max() < 2.0**-127


@pytest.mark.slow
def test_exponential_many():
    for seed in range(4):
        check_exponential(500_000, seed)


def test_special_values():
    infinity, nan = 0x7F80_0000, 0x7FC0_0000
    minus = 1 << 31
    x = np.append(patterns(0, -0.0, np.inf, -np.inf, 1e30, -1e30, 128, -128, 127.99999, 1e-45), [nan, 0xFF80_0001])
    one = 0x3F80_0000
    assert exponential(x).tolist() == [one, one, infinity, 0, infinity, 0, infinity, 0, infinity, one, nan, nan]
    assert exponential(patterns(88.72283, 88.72284, -103.972, -103.9722)).tolist()[1:] == [infinity, 1, 0]
    x = np.append(patterns(0, -0.0, np.inf, -np.inf, 2.0**-128, -(2.0**-128), 1, -1), [nan, minus | infinity + 1])
    found = reciprocal(x).tolist()
    assert found[:4] == [infinity, minus | infinity, 0, minus] and found[6:] == [one, minus | one, nan, nan]
    assert found[4] == infinity and found[5] == minus | infinity
    assert reciprocal(patterns(2.0**-127, 2.0**127)).tolist() == patterns(2.0**127, 2.0**-127).tolist()
    x = np.append(patterns(0, -0.0, np.inf, -np.inf, 100, -100), [nan, infinity + 1])
    assert sigmoid(x).tolist() == [one - (1 << 23)] * 2 + [one, 0, one, 0, nan, nan]


def test_monotonic_where_it_matters():
    """exp of neighbours a step of the range reduction apart does not fall by more than the errors allow."""
    x = np.linspace(-20, 20, 50_001).astype(np.float32)
    y = to_float(exponential(x.view(np.uint32)))
    assert (np.diff(y) >= 0).all()


@pytest.mark.parametrize("function", [exponential, reciprocal, sigmoid])
@pytest.mark.parametrize("bad, error", [(-1, ValueError), (1 << 32, ValueError), (0.5, TypeError)])
def test_refuses_what_is_no_pattern(function, bad, error):
    with pytest.raises(error, match="x"):
        function(bad)
