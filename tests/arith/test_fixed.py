# amaranth: UnusedElaboratable=no
"""Rounding and saturation in hardware against their one definition."""

import warnings
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.arith.fixed import as_flags, check_range, requantize, saturate, signed_range
from hw.arith.fixed import Requantize


def check(in_width, width, max_shift, values, shifts, corrupt=False):
    """Drive every value with every shift; each output must be the golden model's."""
    unit = Requantize(in_width, width, max_shift)

    async def bench(ctx):
        for shift in shifts:
            ctx.set(unit.shift, shift)
            expected = requantize(np.array(values), shift, width) + corrupt
            for value, wanted in zip(values, expected):
                ctx.set(unit.x, int(value))
                await ctx.delay(1e-9)
                assert ctx.get(unit.y) == wanted, f"x = {value}, shift = {shift}"

    simulator = Simulator(unit)
    simulator.add_testbench(bench)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulator.run()


@pytest.mark.parametrize("in_width, width, max_shift", [(6, 6, 7), (6, 3, 6), (5, 1, 4), (1, 1, 2), (4, 2, 0)])
def test_every_value_and_shift(in_width, width, max_shift):
    low, high = signed_range(in_width)
    check(in_width, width, max_shift, range(low, high + 1), range(max_shift + 1))


@pytest.mark.parametrize("in_width, width, max_shift", [(44, 16, 43), (48, 16, 47), (16, 8, 15), (32, 2, 31)])
def test_corners_and_random_values(in_width, width, max_shift):
    rng = np.random.default_rng(1)
    low, high = signed_range(in_width)
    corners = [low, low + 1, -1, 0, 1, high - 1, high]
    powers = [sign * (1 << power) + step for power in range(in_width - 1) for sign in (1, -1) for step in (-1, 0, 1)]
    values = [*corners, *(value for value in powers if low <= value <= high),
              *(int(value) >> int(rng.integers(in_width)) for value in rng.integers(low, high, 40))]
    check(in_width, width, max_shift, values, range(0, max_shift + 1, 3 if in_width > 16 else 1))


def test_a_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="x = "):
        check(6, 6, 3, range(-8, 8), range(2), corrupt=True)


def test_definition_is_round_half_up_then_saturate():
    values = np.arange(-200, 200)
    for shift in range(6):
        exact = [floor(Fraction(int(value), 1 << shift) + Fraction(1, 2)) for value in values]
        assert requantize(values, shift, 5).tolist() == [max(-16, min(15, value)) for value in exact]


@pytest.mark.parametrize("call, message", [
    (lambda: requantize(np.array([1]), 62, 8), "shift = 62 is not allowed"),
    (lambda: requantize(np.array([1]), -1, 8), "shift = -1 is not allowed"),
    (lambda: requantize(np.array([1 << 62]), 1, 8), "values reach"),
    (lambda: requantize(np.array([-1 << 62]), 1, 8), "values reach"),
    (lambda: requantize(np.array([-1 << 63]), 1, 8), "values reach"),
    (lambda: check_range("x", np.array([(1 << 64) - 1], np.uint64), 4), "x holds 18446744073709551615, outside 64"),
    (lambda: check_range("x", np.array([8]), 4), "x holds 8, outside -8 to 7"),
    (lambda: Requantize(8, 9, 3), "width = 9 is not allowed"),
])
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_floats_are_refused():
    with pytest.raises(TypeError, match="values must be of an integer type"):
        requantize(np.array([1.0]), 0, 8)


def test_flags():
    assert as_flags("x", [0, 1, 1]).tolist() == as_flags("x", [False, True, True]).tolist() == [False, True, True]
    with pytest.raises(ValueError, match="x holds 2"):
        as_flags("x", [1, 2])
    with pytest.raises(TypeError, match="x must be of an integer type"):
        as_flags("x", [1.0])


def test_saturate():
    assert saturate(np.array([-9, -8, 0, 7, 8]), 4).tolist() == [-8, -8, 0, 7, 7]
