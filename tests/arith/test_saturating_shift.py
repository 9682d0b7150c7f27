# amaranth: UnusedElaboratable=no
"""The saturating shift against its definition, every number and shift of small sizes, corners of large ones."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.arith.fixed import requantize, saturate, signed_range
from hw.arith.saturating_shift import SaturatingShift


def check(in_width, width, max_shift, values, corrupt=False):
    unit = SaturatingShift(in_width, width, max_shift)

    async def bench(ctx):
        for shift in range(max_shift + 1):
            ctx.set(unit.shift, shift)
            expected = saturate(np.array(values) >> shift, width) + corrupt
            for value, wanted in zip(values, expected):
                ctx.set(unit.x, int(value))
                await ctx.delay(1e-9)
                assert ctx.get(unit.y) == wanted, f"x = {value}, shift = {shift}"

    simulator = Simulator(unit)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("in_width, width, max_shift", [(7, 4, 6), (5, 5, 1), (4, 3, 9), (6, 2, 0), (8, 3, 4)])
def test_every_value_and_shift(in_width, width, max_shift):
    low, high = signed_range(in_width)
    check(in_width, width, max_shift, range(low, high + 1))


@pytest.mark.parametrize("in_width, width, max_shift", [(17, 4, 15), (33, 8, 20)])
def test_corners_and_random_values(in_width, width, max_shift):
    rng = np.random.default_rng(1)
    low, high = signed_range(in_width)
    powers = [sign * (1 << power) + step for power in range(in_width - 1) for sign in (1, -1) for step in (-1, 0, 1)]
    check(in_width, width, max_shift, [
        low, high, *(value for value in powers if low <= value <= high),
        *(int(value) >> int(rng.integers(in_width)) for value in rng.integers(low, high, 20))])


def test_with_half_added_it_is_requantize():
    values = np.arange(-500, 500)
    for shift in range(1, 8):
        half = 1 << shift - 1
        np.testing.assert_array_equal(saturate((values + half) >> shift, 4), requantize(values, shift, 4))


def test_a_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="x = "):
        check(6, 4, 3, range(-8, 8), corrupt=True)


@pytest.mark.parametrize("width", [1, 9])
def test_refuses(width):
    with pytest.raises(ValueError, match=f"width = {width} is not allowed"):
        SaturatingShift(8, width, 3)
