# amaranth: UnusedElaboratable=no
"""The reciprocal against its golden model, and the model against 1/x."""

import cocotb
import numpy as np
import pytest

from golden.arith import reciprocal as golden
from golden.arith.reciprocal import ARGUMENT_FRACTION, MANTISSA_FRACTION, RESULT_FRACTION, reciprocal
from hw.arith.reciprocal import Reciprocal

from .bench_pipeline import compare_every_cycle, run

WIDTH = 32
ONE = 1 << ARGUMENT_FRACTION
#: Every mantissa that is told apart, as a number from one to two, with the bits after it all clear.
MANTISSAS = ((1 << MANTISSA_FRACTION) + np.arange(1 << MANTISSA_FRACTION)) << (ARGUMENT_FRACTION - MANTISSA_FRACTION)
REST = (1 << (ARGUMENT_FRACTION - MANTISSA_FRACTION)) - 1


def mantissas_and_powers(rng):
    """Every mantissa with random exponents and low bits, and all powers of two, in a random order."""
    exponents = rng.integers(0, WIDTH - ARGUMENT_FRACTION, len(MANTISSAS))
    low = rng.integers(0, 1 << exponents)
    powers = ONE << np.arange(WIDTH - ARGUMENT_FRACTION)
    return rng.permutation(np.concatenate([(MANTISSAS << exponents) + low, powers, 2 * powers - 1, [ONE + 1]]))


@cocotb.test()
async def every_mantissa(dut):
    await compare_every_cycle(dut, mantissas_and_powers, reciprocal)


def test_every_mantissa():
    run(Reciprocal(WIDTH), __name__)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="expected"):
        run(Reciprocal(WIDTH), __name__, corrupt=True)


def test_table_bits_are_the_documented_ones():
    assert Reciprocal(WIDTH).table_size == 64 * (18 + 11)


def test_error_is_within_the_stated_bounds():
    x = np.concatenate([MANTISSAS, MANTISSAS + REST])
    relative = reciprocal(x) / 2.0**RESULT_FRACTION * (x / ONE) - 1
    assert -golden.MANTISSA_ERROR[0] <= relative.min() and relative.max() <= golden.MANTISSA_ERROR[1]
    assert reciprocal(np.array([ONE]))[0] == 1 << RESULT_FRACTION
    for power in range(1, 11):  # the shift only drops bits
        exact = 1 / (MANTISSAS * 2.0**power / ONE)
        error = reciprocal(MANTISSAS << power) / 2.0**RESULT_FRACTION - exact
        assert error.min() > -(2.0**-RESULT_FRACTION) - golden.MANTISSA_ERROR[0]
        assert (error <= golden.MANTISSA_ERROR[1] * exact).all()


@pytest.mark.parametrize("x", [0, ONE - 1, 1 << 52])
def test_refuses_what_is_out_of_range(x):
    with pytest.raises(ValueError, match="not allowed"):
        reciprocal(np.array([x]))


def test_refuses_bad_sizes():
    with pytest.raises(ValueError, match="width = 22"):
        Reciprocal(22)
