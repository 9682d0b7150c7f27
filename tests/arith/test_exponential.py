# amaranth: UnusedElaboratable=no
"""The exponential against its golden model on every input, and the model against 2^-x."""

import cocotb
import numpy as np
import pytest

from golden.arith import exponential as golden
from golden.arith.exponential import EXP_FRACTION, EXP_INTEGER, RESULT_FRACTION, exponential
from hw.arith.exponential import Exponential

from .bench_pipeline import compare_every_cycle, run

ALL = np.arange(1 << (EXP_FRACTION + EXP_INTEGER))


@cocotb.test()
async def every_input(dut):
    """All inputs in a random order."""
    await compare_every_cycle(dut, lambda rng: rng.permutation(ALL), exponential)


def test_every_input():
    run(Exponential(), __name__)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="expected"):
        run(Exponential(), __name__, corrupt=True)


def test_table_bits_are_the_documented_ones():
    assert Exponential().table_size == 32 * (16 + 10)


def test_error_is_within_the_stated_bounds():
    result, exact = exponential(ALL) / 2.0**RESULT_FRACTION, 2.0 ** (-ALL / 2.0**EXP_FRACTION)
    relative = (result / exact - 1)[:1 << EXP_FRACTION]  # the mantissa; a shift only drops bits from it
    assert -golden.MANTISSA_ERROR[0] <= relative.min() and relative.max() <= golden.MANTISSA_ERROR[1]
    dropped = result - exact * (1 + np.tile(relative, 1 << EXP_INTEGER))
    assert -(2.0**-RESULT_FRACTION) < dropped.min() and dropped.max() < 1e-12
    assert (np.diff(result) <= 0).all() and result[0] == 1.0


@pytest.mark.parametrize("x", [-1, 1 << (EXP_FRACTION + EXP_INTEGER)])
def test_refuses_what_is_out_of_range(x):
    with pytest.raises(ValueError, match="outside"):
        exponential(np.array([x]))


@pytest.mark.parametrize("bad", [{"table_bits": 0}, {"table_bits": 12}, {"result_fraction": 32},
                                 {"result_fraction": 14}])
def test_refuses_bad_sizes(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Exponential(**bad)
