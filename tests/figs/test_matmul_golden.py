"""Whole products on the models: every array and ratio, clustered or not, memory that is too small, refusals."""

import numpy as np
import pytest

from golden.figs.cluster import cluster_rows
from golden.figs.compiler import compile_matrix
from golden.figs.matmul import matmul, pack_x, plan, unpack_y
from golden.figs.patterns import RATIOS, Pattern
from golden.figs.sizes import Sizes
from tests.figs.matrices import KINDS, matrix, random_sizes

ARRAYS = (dict(), dict(array="dense"), dict(array="mux", window=4), dict(array="mux", window=32))


@pytest.mark.parametrize("changes", ARRAYS, ids=lambda changes: "-".join(map(str, changes.values())) or "figs")
@pytest.mark.parametrize("pattern", RATIOS, ids=str)
def test_products(changes, pattern):
    rng = np.random.default_rng([pattern.n, pattern.m])
    for step in range(14):
        bits = 16 if step % 3 == 0 else 8
        sizes = random_sizes(rng, weight_bits=bits, **changes)
        outputs, inputs, batch = (int(rng.integers(1, most)) for most in (90, 80, 20))
        weights = matrix(rng, outputs, inputs, pattern, KINDS[step % len(KINDS)], sizes.beta, bits)
        x = rng.integers(-128, 128, (inputs, batch))
        got = matmul(weights, x, sizes, pattern, cluster=step % 2 == 1)
        np.testing.assert_array_equal(got, weights @ x)


def test_a_small_memory_takes_several_jobs():
    rng, pattern = np.random.default_rng(1), Pattern(1, 4)
    weights, x = matrix(rng, 80, 32, pattern), rng.integers(-128, 128, (32, 7))
    large = Sizes.preset("small", words=256)
    whole = plan(compile_matrix(large, weights, pattern), x, large)
    assert len(whole) == 1 and len(whole[0].commands) == 5 * 7
    words = max(tile.program.cycles for tile in compile_matrix(Sizes.preset("small"), weights, pattern).tiles)
    sizes = Sizes.preset("small", words=2 * words)
    jobs = plan(compile_matrix(sizes, weights, pattern), x, sizes)
    assert len(jobs) == 3 and all(len(job.memory) <= sizes.words for job in jobs)
    assert [place for job in jobs for place in job.places] == whole[0].places
    np.testing.assert_array_equal(np.concatenate([job.beats for job in jobs]), whole[0].beats)
    np.testing.assert_array_equal(matmul(weights, x, sizes, pattern), weights @ x)
    with pytest.raises(ValueError, match="words = 8 is not allowed: a program of"):
        matmul(weights, x, Sizes.preset("small", words=8), pattern)


def test_layout_of_x_and_y():
    sizes = Sizes.preset("small")  # four rows: groups of two and two batch columns
    x = np.arange(9).reshape(3, 3)
    beats = pack_x(x, sizes, Pattern(1, 2))
    np.testing.assert_array_equal(beats, [[[0, 3, 1, 4], [6, 0, 7, 0]], [[2, 5, 0, 0], [8, 0, 0, 0]]])
    mux = pack_x(x, Sizes.preset("small", array="mux", window=4), Pattern(1, 2))
    np.testing.assert_array_equal(mux, [[[0, 3, 6, 0, 1, 4, 7, 0, 2, 5, 8, 0, 0, 0, 0, 0]]])
    words = np.array([[30, 31, 32, 33], [20, 21, 22, 23], [10, 11, 12, 13], [0, 1, 2, 3]])  # row 3 first
    np.testing.assert_array_equal(unpack_y(words, sizes, 2).T, [[0, 1, 2, 3, 10, 11, 12, 13],
                                                                [20, 21, 22, 23, 30, 31, 32, 33]])


@pytest.mark.parametrize("ratio", RATIOS, ids=str)
def test_the_rivals_cycles(ratio):
    """Full patterns: the dense array takes a cycle an input, the mux array N / M of that, once M fits its window."""
    rng = np.random.default_rng(3)
    weights = matrix(rng, 8, 128, ratio)
    dense = compile_matrix(Sizes.preset("small", array="dense"), weights, ratio).report
    assert dense.cycles == 2 * 128 and dense.utilisation == ratio.density
    mux = compile_matrix(Sizes.preset("small", array="mux", window=32), weights, ratio).report
    assert mux.cycles == 2 * 128 * ratio.n // ratio.m and mux.utilisation == 1 and mux.positions == 2 * 4
    narrow = compile_matrix(Sizes.preset("small", array="mux", window=4), weights, ratio).report
    assert narrow.cycles >= 2 * 32 and (narrow.utilisation == 1) == (ratio.m <= 4)


def test_cluster():
    """Rows that were alike and mixed up come together again; the order is a permutation; random rows gain too."""
    rng, pattern = np.random.default_rng(4), Pattern(1, 4)
    sizes = Sizes.preset("paper")
    shared = matrix(rng, 64, 64, pattern, "shared", 4)[rng.permutation(64)]
    order = cluster_rows(shared, 4)
    assert sorted(order) == list(range(64))
    present = (shared != 0)[order].reshape(16, 4, 64)
    assert (present == present[:, :1]).all()
    assert compile_matrix(sizes, shared, pattern, cluster=True).report.utilisation == 1
    assert compile_matrix(sizes, shared, pattern).report.utilisation < 0.5
    weights = matrix(rng, 256, 64, pattern)
    plain, clustered = (compile_matrix(sizes, weights, pattern, cluster=cluster).report for cluster in (False, True))
    assert clustered.cycles < plain.cycles and clustered.nonzeros == plain.nonzeros
    assert cluster_rows(weights, 1).tolist() == list(range(256))
    # By hand: row 2 adds nothing to row 0, then rows 1 and 3.
    assert cluster_rows(np.array([[1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 1]]), 2).tolist() == [0, 2, 1, 3]


def test_refuses():
    sizes, pattern = Sizes.preset("small"), Pattern(1, 2)
    weights, x = np.eye(4, dtype=int), np.ones((4, 2), int)
    for wrong, message in (((weights.astype(float), x), "integer type"), ((weights, x.astype(float)), "integer type")):
        with pytest.raises(TypeError, match=message):
            matmul(*wrong, sizes, pattern)
    for wrong, message in (
            ((weights * 128, x), "weights holds 128"), ((weights, x * 128), "x holds 128"),
            ((np.ones((4, 4), int), x), "row 0, group 0 .* the pattern 1:2 allows 1"),
            ((weights, x[:3]), "weights have 4 inputs"), ((weights, x[:, 0]), "must be"),
            ((weights[0], x), "must be"), ((weights[:0], x), "not empty"), ((weights, x[:, :0]), "not empty")):
        with pytest.raises(ValueError, match=message):
            matmul(*wrong, sizes, pattern)
    sizes = Sizes.preset("small", sum_bits=16)
    x, most = np.ones((4, 1), int), np.array([[0, 0, 0, 0], [0, 128, 0, 128]])
    with pytest.raises(ValueError, match="the sum of output 1 can leave it"):
        matmul(-most, x, sizes, pattern)
    np.testing.assert_array_equal(matmul(-most + most // 64, x, sizes, pattern), [[0], [-252]])
