"""FigsArray against its golden model: sums, errors, rates; the tests are those of all three arrays."""

import pytest

from hw.config import ConfigError
from hw.figs.figs_array import FigsArrayConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge

from .bench_nm_array import points
from .nm_array_tests import *  # noqa: F403


def test_bit_exact_and_covered():
    merge("figs_array", points("figs_array"), [
        simulate("figs_array", preset="small", overrides=dict(depth=3, sum_bits=16), seed=1),
        simulate("figs_array", preset="small", seed=2)]).check()


@pytest.mark.parametrize("sizes", [
    dict(alpha=0, depth=4, beta=1, groups=2, columns=1),
    dict(alpha=3, depth=3, beta=3, groups=2, columns=3, weight_bits=16),
    dict(alpha=7, depth=1, rows=8, groups=8, beta=4, columns=1),
    dict(rows=2, groups=1, alpha=1, depth=2, columns=4, beta=1, multiplier="operator"),
])
def test_bit_exact(sizes):
    simulate("figs_array", preset="small", overrides=sizes, seed=4)


@pytest.mark.slow
def test_paper():
    simulate("figs_array", preset="paper", seed=5)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="results: job"):
        simulate("figs_array", preset="small", options={"corrupt": 1}, testcase="latency")


def test_pass_that_is_too_short_fails():
    with pytest.raises(AssertionError, match="sums come before"):
        simulate("figs_array", preset="small", options={"early": 1}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="a sum that wraps"):
        Coverage("figs_array", points("figs_array")).check()


@pytest.mark.parametrize("field, values", [
    ("rows", dict(rows=12)), ("rows", dict(rows=1)), ("rows", dict(rows=128)), ("columns", dict(columns=0)),
    ("columns", dict(columns=65)), ("beta", dict(beta=0)), ("weight_bits", dict(weight_bits=12)),
    ("activation_bits", dict(activation_bits=16)), ("sum_bits", dict(sum_bits=15)),
    ("sum_bits", dict(weight_bits=16, sum_bits=20)),
    ("alpha", dict(alpha=2)), ("alpha", dict(rows=4, alpha=7)), ("depth", dict(alpha=0, depth=1)),
    ("depth", dict(depth=0)), ("groups", dict(groups=3)), ("groups", dict(rows=8, groups=16)),
])
def test_config_refuses(field, values):
    with pytest.raises(ConfigError, match=f"^{field} ="):
        FigsArrayConfig(**values)
