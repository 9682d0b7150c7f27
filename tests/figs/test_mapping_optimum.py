"""Cycles of compiled tiles against the fewest possible, found by exhaustive search on small cases."""

import collections

import numpy as np
import pytest

from golden.figs.mapping import compile_tile
from golden.figs.patterns import RATIOS, Pattern
from golden.figs.sizes import Sizes
from tests.figs.exhaustive import fewest_cycles, lower_bound
from tests.figs.matrices import KINDS, matrix


def elements_of(weights, sizes, group):
    """For each element its jobs (position, exchange, value): what the compile step has to place."""
    found = []
    for g in range(group):
        for c in range(sizes.columns):
            first = (g * sizes.columns + c) * sizes.beta
            inputs = np.flatnonzero(weights[first:first + sizes.beta].any(0))
            found.append([(int(k) // group, ((int(k) % group) ^ g) // (sizes.alpha + 1), int(k) % group)
                          for k in inputs])
    return found


def gaps(seed, group, alpha, positions, count, **fixed):
    """How many random tiles take how many cycles more than the fewest."""
    rng, found = np.random.default_rng(seed), collections.Counter()
    for _ in range(count):
        sizes = Sizes(rows=16, alpha=alpha, groups=16, **{"depth": int(rng.integers(1, 4)), "beta": 1, "columns": 1,
                                                        **fixed})
        inputs = group * int(rng.integers(1, positions + 1)) - int(rng.integers(0, 2))
        weights = rng.random((sizes.tile_outputs(group), max(1, inputs))) < rng.choice([0.2, 0.4, 0.6, 0.8])
        report = compile_tile(sizes, weights.astype(int), group).report
        fewest = fewest_cycles(elements_of(weights, sizes, group), report.positions, max(1, group // (alpha + 1)),
                               sizes.depth, report.cycles)
        found[report.cycles - fewest] += 1
    return dict(found)


@pytest.mark.parametrize("group, alpha, positions, fixed", [
    (1, 0, 8, {}), (2, 1, 7, {}), (2, 3, 6, dict(columns=2, beta=2)), (4, 3, 5, {}), (4, 3, 4, dict(beta=2)),
    (8, 7, 3, {})])
def test_the_fewest_cycles_within_reach(group, alpha, positions, fixed):
    """G <= alpha + 1: never a cycle more than the optimum."""
    assert gaps([8, group, alpha], group, alpha, positions, 80, **fixed) == {0: 80}


@pytest.mark.parametrize("group, alpha, positions", [(2, 0, 5), (4, 1, 3), (4, 0, 2)])
def test_near_the_fewest_cycles_beyond_reach(group, alpha, positions):
    """G > alpha + 1, where the order of the exchanges is searched for, against every order, interleaved ones too."""
    assert gaps([9, group, alpha], group, alpha, positions, 60) == {0: 60}


def test_where_interleaved_exchanges_are_better():
    """Many jobs in two exchanges of one position: to feed one, the other and the first again may save cycles."""
    found = gaps([9, 16, 7], 16, 7, 1, 40, depth=3)
    assert 0 < max(found) <= 3 and found[0] >= 20, found


@pytest.mark.slow
@pytest.mark.parametrize("group, alpha, positions, fixed, share", [
    (2, 0, 7, {}, 1.0), (4, 1, 3, {}, 0.99), (4, 0, 3, {}, 0.99), (16, 7, 1, dict(depth=3), 0.8)])
def test_distribution_of_the_gap(group, alpha, positions, fixed, share):
    found = gaps([10, group, alpha], group, alpha, positions, 300, **fixed)
    print(f"G = {group}, alpha = {alpha}: cycles above the fewest: {dict(sorted(found.items()))}")
    assert max(found) <= 3 and found[0] >= share * 300, found


def above_bound(seed, sizes, pattern, kind, inputs):
    """Cycles of a whole tile and the bound that no schedule is below."""
    group = sizes.group(pattern)
    weights = matrix(np.random.default_rng(seed), sizes.tile_outputs(group), inputs, pattern, kind, sizes.beta)
    report = compile_tile(sizes, weights, group).report
    bound = lower_bound(elements_of(weights != 0, sizes, group), report.positions, sizes.depth)
    assert report.cycles >= bound
    return report.cycles - bound


@pytest.mark.parametrize("depth", [1, 2, 6])
def test_whole_tiles_within_reach(depth):
    """Preset paper: every ratio and kind of pattern takes just as many cycles as the bound."""
    sizes = Sizes.preset("paper", depth=depth)
    assert not any(above_bound([11, depth, place], sizes, pattern, kind, 96)
                   for place, (pattern, kind) in enumerate((pattern, kind) for pattern in RATIOS for kind in KINDS))


@pytest.mark.parametrize("alpha, most", [(0, 0), (1, 1), (3, 2)])
def test_whole_tiles_beyond_reach(alpha, most):
    """Depth 4 and 6, groups of up to 16: hardly ever a cycle above the bound."""
    found = [above_bound([12, alpha, group, depth, n, beta],
                         Sizes(rows=16, columns=16 // beta, beta=beta, alpha=alpha, depth=depth, groups=16),
                         Pattern(n, n * group), "random", 96)
             for group in (4, 8, 16) if group > alpha + 1 for depth in (4, 6) for n in (1, 8) for beta in (1, 4)]
    print(f"alpha = {alpha}: cycles above the bound: {dict(sorted(collections.Counter(found).items()))}")
    assert max(found) <= most


def test_the_bound_itself():
    """By hand: a burst, a feed for every job at depth 1, two exchanges."""
    burst = [[(0, 0, 0), (0, 0, 1), (0, 0, 2), (2, 0, 0)]]
    assert lower_bound(burst, 3, 1) == 5 and lower_bound(burst, 3, 3) == 4
    assert lower_bound([[(0, 0, 0), (0, 0, 1)], [(0, 1, 0)]], 1, 1) == 3
    assert lower_bound([[(0, 0, 0), (0, 0, 1)], [(0, 1, 0)]], 1, 2) == 2


def test_the_search_itself():
    """Cases by hand: bursts, depth, an exchange that two elements want in turn."""
    burst = [[(0, 0, 0), (0, 0, 1), (0, 0, 2)]]
    assert fewest_cycles(burst, 1, 1, 1, 9) == 3
    assert fewest_cycles([[*burst[0], (2, 0, 0)]], 3, 1, 1, 9) == 5  # three, then a position without jobs, then one
    assert fewest_cycles([[*burst[0], (2, 0, 0)]], 3, 1, 3, 9) == 4
    assert fewest_cycles([[(0, 0, 0)], [(0, 1, 0)]], 1, 2, 1, 9) == 2
    assert fewest_cycles([[(0, 0, 0), (0, 0, 1)], [(0, 1, 0)]], 1, 2, 2, 9) == 2
    assert fewest_cycles([[(0, 0, 0), (0, 0, 1)], [(0, 1, 0)]], 1, 2, 1, 9) == 3
