"""Proof by replay: every multiplier gets exactly the products of its row, each once, by index."""

import collections

import numpy as np
import pytest

from golden.figs.baseline_mapping import compile_dense, compile_mux
from golden.figs.compiler import compile_matrix
from golden.figs.mapping import compile_tile
from golden.figs.patterns import RATIOS, Pattern
from golden.figs.program import pack
from golden.figs.sizes import Sizes
from tests.figs.matrices import KINDS, matrix, random_sizes
from tests.figs.plain_engine import replay


def check_tile(sizes, tile, weights, group):
    """Replay a tile's words on named activations: (input, batch column); every product there, once, no other."""
    outputs, inputs = weights.shape
    positions = -(-inputs // group)
    beats = [[(a * group + r % group, r // group) for r in range(sizes.rows)] for a in range(positions)]
    words = pack(sizes, tile.program)
    # The pass runs twice, so that a value left over from the first one would be seen in the second.
    command = (0, tile.program.cycles, group.bit_length() - 1)
    passes, errors = replay(sizes, words, [command] * 2, beats * 2)
    assert not errors and [found.beats for found in passes] == [positions] * 2
    names = {(k, q) for k in range(inputs) for q in range(sizes.rows // group)}
    for found in passes:
        for (r, c, j), products in found.products.items():
            row = (r % group * sizes.columns + c) * sizes.beta + j
            got = [(operand, weight) for operand, weight in products if weight]
            place = f"row {row} of the tile, element ({r}, {c}), lane {j}"
            assert all(operand is not None for operand, _ in got), f"{place}: a weight without a value"
            wanted = [] if row >= outputs else [((int(k), r // group), int(weights[row, k]))
                                                for k in np.flatnonzero(weights[row])]
            assert sorted(got) == wanted, f"{place}: other products"
            assert {operand for operand, weight in products if weight} <= names


def check_report(report, sizes, tile, weights, group):
    """The report counts what the program does."""
    program = tile.program
    assert report.cycles == program.cycles == report.positions + report.held + report.tail
    assert report.positions == program.advance.sum() == -(-weights.shape[1] // group)
    assert report.jobs == program.use.sum() and report.nonzeros == np.count_nonzero(weights)
    assert 0 <= report.tail <= sizes.depth - 1 and report.held >= 0
    assert report.utilisation == pytest.approx(report.nonzeros / (report.cycles * group * sizes.columns * sizes.beta))


@pytest.mark.parametrize("pattern", RATIOS, ids=str)
def test_every_multiplier_gets_its_products(pattern):
    """All kinds of patterns on random sizes; M / N beyond Gmax and beyond alpha + 1 too; all paths must be taken."""
    rng = np.random.default_rng([2, pattern.n, pattern.m])
    seen = set()
    for step in range(42):
        sizes = random_sizes(rng, largest=max(8, pattern.m // pattern.n))
        group = sizes.group(pattern)
        outputs = int(rng.integers(1, sizes.tile_outputs(group) + 1))
        weights = matrix(rng, outputs, int(rng.integers(1, 20 if group < 4 else 60)), pattern, KINDS[step % len(KINDS)],
                         sizes.beta)
        tile = compile_tile(sizes, weights, group)
        check_tile(sizes, tile, weights, group)
        check_report(tile.report, sizes, tile, weights, group)
        seen |= {("held", tile.report.held > 0), ("tail", tile.report.tail > 0),
                 ("beyond reach", group > sizes.reach), ("beyond Gmax", pattern.m // pattern.n > sizes.groups),
                 ("exchange", bool(tile.program.exchange.any())),
                 ("old", bool((tile.program.select >= sizes.reach).any()))}
    wanted = {("held", False), ("tail", False)}
    if pattern != Pattern(1, 1):
        wanted |= {("beyond reach", True), ("beyond reach", False), ("beyond Gmax", True), ("beyond Gmax", False),
                   ("exchange", True), ("old", True), ("held", True), ("tail", True)}
    assert wanted <= seen, wanted - seen


@pytest.mark.parametrize("group", [1, 2, 4, 8])
def test_a_dense_matrix_runs_in_any_group(group):
    """Nothing in the mapping asks for a legal pattern."""
    rng = np.random.default_rng(group)
    for alpha, depth in ((0, 1), (1, 2), (3, 5), (7, 8)):
        sizes = Sizes(rows=8, columns=2, beta=2, alpha=alpha, depth=depth, groups=8, words=1 << 12)
        weights = matrix(rng, sizes.tile_outputs(group), 21, Pattern(1, 1))
        tile = compile_tile(sizes, weights, group)
        check_tile(sizes, tile, weights, group)
        assert tile.report.cycles >= 21


def test_a_wrong_program_is_seen():
    """The checker itself: a changed select, a changed weight, a job left out, one done twice."""
    rng = np.random.default_rng(3)
    sizes, pattern = Sizes.preset("small"), Pattern(2, 8)
    weights = matrix(rng, 16, 32, pattern)
    tile = compile_tile(sizes, weights, 4)
    check_tile(sizes, tile, weights, 4)
    cycle, g, c = np.argwhere(tile.program.use & (tile.program.weights[..., 0] != 0))[5]
    idle = np.argwhere(~tile.program.use[cycle + 1:, g, c])[0, 0] + cycle + 1
    for change, reason in (("select", "other products"), ("weight", "other products"),
                           ("left out", "a weight without a value"), ("twice", "other products")):
        program = compile_tile(sizes, weights, 4).program
        if change == "select":
            program.select[cycle, g, c] ^= 1
        elif change == "weight":
            program.weights[cycle, g, c, 0] ^= 1
        elif change == "left out":
            program.use[cycle, g, c] = False
        else:
            program.use[idle, g, c] = True
            program.weights[idle, g, c] = 1
        with pytest.raises(AssertionError, match=reason):
            check_tile(sizes, type(tile)(0, 16, program, tile.report), weights, 4)


def test_one_of_m_never_holds():
    """N = 1 and G <= alpha + 1, an element's lanes alike: one job a position at most."""
    rng, cases = np.random.default_rng(4), collections.Counter()
    for _ in range(40):
        sizes = random_sizes(rng, alphas=(3, 7), largest=4)
        for pattern in (Pattern(1, 2), Pattern(1, 4)):
            if pattern.m <= sizes.groups:
                weights = matrix(rng, sizes.tile_outputs(pattern.m), 40, pattern, "shared", sizes.beta)
                report = compile_tile(sizes, weights, pattern.m).report
                assert report.held == report.tail == 0 and report.utilisation == 1
                cases[pattern.m, sizes.beta > 1] += 1
    assert len(cases) == 4 and cases.total() > 40, cases


@pytest.mark.parametrize("pattern", [ratio for ratio in RATIOS if 1 < ratio.m // ratio.n <= 8], ids=str)
@pytest.mark.parametrize("kind", ["shared", "alternate", "thin"])
def test_enough_depth_never_holds(pattern, kind):
    """depth > 2 (N - ceil(N / G)) and G <= alpha + 1, lanes alike: no extra cycle but a tail of half of that at most.

    The bound is sharp: with one register less, bursts at the end of one group and the start of the next hold.
    """
    rng = np.random.default_rng(5)
    burst = pattern.n - -(-pattern.n // (pattern.m // pattern.n))
    assert burst <= pattern.n - 1
    for depth in (2 * burst + 1, 2 * pattern.n - 1):
        sizes = Sizes(rows=8, columns=2, beta=1 if kind == "thin" else 2, alpha=7, depth=depth, groups=8)
        group = sizes.group(pattern)
        weights = matrix(rng, sizes.tile_outputs(group), 6 * pattern.m, pattern, kind, sizes.beta)
        report = compile_tile(sizes, weights, group).report
        assert report.held == 0 and report.tail <= burst
    if kind == "alternate" and burst:
        assert report.tail == burst
        sizes = Sizes(rows=8, columns=2, beta=2, alpha=7, depth=2 * burst, groups=8)
        assert compile_tile(sizes, weights, group).report.held > 0


def test_a_worked_example():
    """The example of docs/figs/mapping.md: G = 4, alpha + 1 = 4, depth 2, one element a row, 2:8."""
    sizes = Sizes(rows=4, columns=1, beta=1, alpha=3, depth=2, groups=4)
    weights = np.zeros((4, 16), int)
    weights[0, [2, 3, 8, 9]] = 1, 2, 3, 4
    weights[1, [0, 1, 14, 15]] = 5, 6, 7, 8
    weights[2, [5, 6, 11, 14]] = 1, 2, 3, 4
    weights[3, [6, 7, 8, 9]] = 5, 6, 7, 8
    tile = compile_tile(sizes, weights, 4)
    program, report = tile.program, tile.report
    assert (report.positions, report.held, report.tail, report.jobs) == (4, 1, 1, 16)
    assert program.advance.tolist() == [True, True, True, False, True, False]
    # By cycle and row: (age, rows away, weight), None without a job.
    wanted = [[(0, 2, 1), (0, 1, 5), None, None],
              [(1, 3, 2), (1, 0, 6), (0, 3, 1), (0, 1, 5)],
              [(0, 0, 3), None, (1, 0, 2), (1, 0, 6)],
              [(0, 1, 4), None, (0, 1, 3), (0, 3, 7)],
              [None, (0, 3, 7), (0, 0, 4), (1, 2, 8)],
              [None, (1, 2, 8), None, None]]
    found = [[(int(program.select[n, g, 0]) // 4, int(program.select[n, g, 0]) % 4, int(program.weights[n, g, 0, 0]))
              if program.use[n, g, 0] else None for g in range(4)] for n in range(6)]
    assert found == wanted
    check_tile(sizes, tile, weights, 4)


def test_a_large_matrix_is_compiled():
    """1536 x 384 on the paper preset, every tile proved to be complete by its sums of weights and inputs."""
    rng = np.random.default_rng(6)
    sizes, pattern = Sizes.preset("paper"), Pattern(2, 8)
    weights = matrix(rng, 1536, 384, pattern, "shared", 4)
    compiled = compile_matrix(sizes, weights, pattern)
    assert len(compiled.tiles) == 24 and compiled.report.held == 0 and compiled.report.positions == 24 * 96
    check_tile(sizes, compiled.tiles[7], weights[7 * 64:8 * 64], 4)


@pytest.mark.parametrize("shape, group, message", [
    ((17, 4), 4, "17 outputs are not allowed: a tile has 16"), ((1, 4), 3, "group = 3"), ((1, 4), 8, "at most 4"),
    ((1, 4), True, "group = True"), (4, 4, "shape"), ((1, 0), 4, "not empty"), ((0, 4), 4, "not empty")])
def test_refuses(shape, group, message):
    with pytest.raises(ValueError, match=message):
        compile_tile(Sizes.preset("small"), np.zeros(shape, int), group)


def _compilers():
    small, mux = Sizes.preset("small"), Sizes.preset("small", array="mux", window=4)
    return (lambda weights: compile_tile(small, weights, 4), lambda weights: compile_mux(mux, weights),
            lambda weights: compile_dense(Sizes.preset("small", array="dense"), weights))


@pytest.mark.parametrize("compiler", _compilers())
def test_refuses_numbers(compiler):
    """Nothing is rounded or cut off: what is no integer of ``weight_bits`` is refused."""
    for value, error, message in ((0.5, TypeError, "integer type"), (np.nan, TypeError, "integer type"),
                                  (128, ValueError, "weights holds 128"), (-129, ValueError, "weights holds -129"),
                                  (10 ** 6, ValueError, "weights holds 1000000")):
        with pytest.raises(error, match=message):
            compiler(np.array([[1, 0, 0, value]]))
    assert compiler(np.array([[127, 0, 0, -128]])).report.nonzeros == 2


def test_only_the_figs_array_is_mapped():
    with pytest.raises(ValueError, match="array"):
        compile_tile(Sizes(array="dense"), np.zeros((1, 4), int), 1)
