"""MuxArray against its golden model: sums, rates; the tests are those of all three arrays."""

import pytest

from hw.config import ConfigError
from hw.figs.mux_array import MuxArrayConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge

from .bench_nm_array import points
from .nm_array_tests import *  # noqa: F403


def test_bit_exact_and_covered():
    merge("mux_array", points("mux_array"), [
        simulate("mux_array", preset="small", overrides=dict(sum_bits=16), seed=1),
        simulate("mux_array", preset="small", seed=2)]).check()


@pytest.mark.parametrize("sizes", [
    dict(rows=2, columns=1, beta=1, weight_bits=16, window=8), dict(columns=3, beta=3, window=16),
    dict(rows=2, columns=4, beta=2, window=32, multiplier="operator"),
])
def test_bit_exact(sizes):
    simulate("mux_array", preset="small", overrides=sizes, seed=4)


@pytest.mark.slow
def test_paper():
    simulate("mux_array", preset="paper", seed=5)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="results: job"):
        simulate("mux_array", preset="small", options={"corrupt": 1}, testcase="latency")


def test_pass_that_is_too_short_fails():
    with pytest.raises(AssertionError, match="sums come before"):
        simulate("mux_array", preset="small", options={"early": 1}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="a sum that wraps"):
        Coverage("mux_array", points("mux_array")).check()


@pytest.mark.parametrize("field, values", [
    ("rows", dict(rows=12)), ("rows", dict(rows=1)), ("rows", dict(rows=128)), ("columns", dict(columns=0)),
    ("columns", dict(columns=65)), ("beta", dict(beta=0)), ("weight_bits", dict(weight_bits=12)),
    ("activation_bits", dict(activation_bits=16)), ("sum_bits", dict(sum_bits=15)),
    ("sum_bits", dict(weight_bits=16, sum_bits=20)),
    ("window", dict(window=2)), ("window", dict(window=12)), ("window", dict(window=64)),
])
def test_config_refuses(field, values):
    with pytest.raises(ConfigError, match=f"^{field} ="):
        MuxArrayConfig(**values)
