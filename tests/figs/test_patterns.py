"""N:M patterns: masks against a plain loop, ties, ragged groups, the FiGS chain."""

import numpy as np
import pytest

from golden.figs.patterns import (LARGEST_GROUP, RATIOS, Pattern, chain, check_pattern, is_pattern, magnitude_mask,
                                  pattern_of, shared_strength)

ENGINE = [Pattern(n, m) for m in (1, 2, 4, 8, 16, 32) for n in (1, 2, 4, 8, 16, 32) if n <= m]


def _plain_mask(weights, pattern, within=None):
    """Group by group, weight by weight."""
    mask = np.zeros(weights.shape, bool)
    for row in range(weights.shape[0]):
        for start in range(0, weights.shape[1], pattern.m):
            group = list(range(start, min(start + pattern.m, weights.shape[1])))
            kept = -(-pattern.n * len(group) // pattern.m)
            alive = [column for column in group if within is None or within[row, column]]
            for column in sorted(alive, key=lambda column: (-abs(weights[row, column]), column))[:kept]:
                mask[row, column] = True
    return mask


@pytest.mark.parametrize("width", [1, 7, 32, 40, 96])
def test_masks_equal_a_plain_loop(width):
    rng = np.random.default_rng(width)
    for weights in (rng.normal(size=(5, width)), rng.integers(-2, 3, (5, width)), np.zeros((2, width)),
                    rng.normal(size=(3, width)).astype(np.float32)):
        for pattern in ENGINE:
            mask = magnitude_mask(weights, pattern)
            assert np.array_equal(mask, _plain_mask(weights, pattern)), pattern
            assert is_pattern(mask, pattern) and is_pattern(weights * mask, pattern)
            assert (mask.sum(1) == pattern.kept(width)).all()


def test_of_equal_magnitudes_the_first_stays():
    weights = np.array([[1, -1, 1, -1, 2, 0, 0, 0]])
    assert magnitude_mask(weights, Pattern(2, 4)).tolist() == [[1, 1, 0, 0, 1, 1, 0, 0]]
    assert magnitude_mask(weights, Pattern(1, 8)).tolist() == [[0, 0, 0, 0, 1, 0, 0, 0]]


def test_a_ragged_group_keeps_the_density_and_never_more_than_n():
    for pattern in ENGINE:
        for rest in range(1, pattern.m):
            kept = pattern.kept(2 * pattern.m + rest) - 2 * pattern.n
            assert 1 <= kept <= min(pattern.n, rest) and 0 <= kept - rest * pattern.density < 1


def test_what_is_no_pattern():
    assert not is_pattern([[1, 1, 0, 0]], Pattern(1, 4)) and is_pattern([[1, 0, 0, 0]], Pattern(1, 4))
    assert not is_pattern([[0, 0, 0, 0, 2, 3]], Pattern(1, 4))  # in the ragged group
    assert is_pattern([[0, 0, 0, 1, 2, 0]], Pattern(1, 4))  # neighbours in two groups
    assert is_pattern(np.ones((2, 5)), Pattern(1, 1))


def test_the_check_says_where():
    """The same as ``is_pattern``, with the place of the first group that is wrong."""
    rng = np.random.default_rng(5)
    for _ in range(50):
        weights = rng.integers(0, 2, (3, int(rng.integers(1, 9))))
        for pattern in ENGINE[:6]:
            wrong = [(row, start // pattern.m) for row in range(3) for start in range(0, weights.shape[1], pattern.m)
                     if np.count_nonzero(weights[row, start:start + pattern.m]) > pattern.n]
            assert is_pattern(weights, pattern) == (not wrong)
            if wrong:
                with pytest.raises(ValueError, match=f"row {wrong[0][0]}, group {wrong[0][1]} "):
                    check_pattern(weights, pattern)
            else:
                check_pattern(weights, pattern)
    for check in (is_pattern, check_pattern, magnitude_mask):
        with pytest.raises(ValueError, match="outputs, inputs"):
            check(np.ones(4), Pattern(1, 4))


def test_ratios():
    assert len(set(RATIOS)) == len(RATIOS) and set(RATIOS) <= set(ENGINE)
    assert all(pattern_of(str(ratio)) == ratio for ratio in RATIOS)


def test_refuses_numbers_without_an_order():
    """NaN is neither kept nor left out; a mask of another shape is not broadcast."""
    weights = np.array([[1.0, np.nan, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]])
    with pytest.raises(ValueError, match="weights hold NaN"):
        magnitude_mask(weights, Pattern(2, 4))
    weights[0, 1] = -np.inf
    assert magnitude_mask(weights, Pattern(2, 4)).tolist() == [[0, 1, 0, 1], [0, 0, 1, 1]]
    for within in (np.ones((1, 4), bool), np.ones(4, bool), np.ones((2, 1), bool)):
        with pytest.raises(ValueError, match=r"within of shape .* it must be that of weights, \(2, 4\)"):
            magnitude_mask(weights, Pattern(2, 4), within)
    with pytest.raises(ValueError, match="within holds 2"):
        magnitude_mask(weights, Pattern(2, 4), np.full((2, 4), 2))
    with pytest.raises(TypeError, match="integer type"):
        magnitude_mask(weights.astype(str), Pattern(2, 4))


def test_the_least_integer_has_the_greatest_magnitude():
    weights = np.array([[127, -128, 3, 0]], np.int8)
    assert magnitude_mask(weights, Pattern(1, 4)).tolist() == [[0, 1, 0, 0]]
    assert magnitude_mask(weights, Pattern(2, 4), np.array([[0, 1, 1, 1]])).tolist() == [[0, 1, 1, 0]]


@pytest.mark.parametrize("n, m, reason", [
    (True, 4, "n = True"), (1, 4.0, "m = 4.0"), (1, True, "m = True"), ("1", 4, "n = '1'"), (-1, 4, "n = -1")])
def test_patterns_are_of_integers(n, m, reason):
    with pytest.raises(ValueError, match=f"{reason} is not allowed"):
        Pattern(n, m)
    assert str(Pattern(np.int64(1), np.int32(4))) == "1:4" and type(Pattern(np.int64(1), 4).n) is int


@pytest.mark.parametrize("width", [-5, -1, 2.0, True])
def test_widths_are_not_negative(width):
    with pytest.raises(ValueError, match=f"width = {width} is not allowed"):
        Pattern(1, 4).kept(width)
    assert Pattern(1, 4).kept(0) == 0


def test_the_chain_of_the_slides():
    assert list(map(str, chain(Pattern(1, 4), 4))) == ["8:32", "4:16", "2:8", "1:4"]
    assert list(map(str, chain(Pattern(1, 32), 3))) == ["4:128", "2:64", "1:32"]
    assert chain(Pattern(2, 4), 1) == [Pattern(2, 4)]


@pytest.mark.parametrize("target", [Pattern(1, 4), Pattern(1, 16), Pattern(2, 8), Pattern(1, 32)])
def test_whatever_obeys_a_pattern_of_the_chain_obeys_all_before(target):
    weights = np.random.default_rng(1).normal(size=(16, 512))
    patterns = chain(target, 4)
    masks = [magnitude_mask(weights, pattern) for pattern in patterns]
    assert {mask.mean() for mask in masks} == {target.density}  # "same number of non-zeros in a row"
    for step, mask in enumerate(masks):
        assert all(is_pattern(mask, pattern) for pattern in patterns[:step + 1])
        assert not any(is_pattern(mask, pattern) for pattern in patterns[step + 1:])


@pytest.mark.parametrize("width", [64, 72])
def test_a_mask_within_another(width):
    rng = np.random.default_rng(2)
    first = rng.normal(size=(8, width))
    before = magnitude_mask(first, Pattern(8, 32))
    for pattern in chain(Pattern(1, 4), 4)[1:]:
        weights = rng.normal(size=first.shape) * rng.integers(0, 2, first.shape)
        mask = magnitude_mask(weights, pattern, before)
        assert np.array_equal(mask, _plain_mask(weights, pattern, before))
        assert not (mask & ~before).any() and is_pattern(mask, pattern)
        before = mask
    assert before.mean() < 0.25  # groups without survivors keep fewer


@pytest.mark.parametrize("text, reason", [
    ("3:4", "n = 3.*power of two"), ("1:6", "m = 6.*power of two"), ("4:2", "n = 4.*at most m = 2"),
    ("1:64", f"m = 64.*at most {LARGEST_GROUP}"), ("2", "N:M"), ("a:b", "N:M"), ("-1:4", "N:M"), ("0:4", "n = 0")])
def test_bad_patterns(text, reason):
    with pytest.raises(ValueError, match=f"{reason}|is not allowed.*{reason}"):
        pattern_of(text)


def test_patterns_as_text():
    assert pattern_of("8:32") == Pattern(8, 32) and str(Pattern(1, 4)) == "1:4"
    with pytest.raises(ValueError, match="length = 0"):
        chain(Pattern(1, 4), 0)
    with pytest.raises(ValueError, match="outputs, inputs"):
        magnitude_mask(np.ones(4), Pattern(1, 4))


def test_masks_that_rows_share():
    weights = np.random.default_rng(3).normal(size=(10, 24))
    strength = shared_strength(weights, 4)
    for first in (0, 4, 8):
        wanted = np.sqrt(np.square(weights[first:first + 4]).sum(0))
        assert np.allclose(strength[first:first + 4], wanted)
    mask = magnitude_mask(strength, Pattern(2, 8))
    assert is_pattern(mask, Pattern(2, 8)) and (mask[:4] == mask[0]).all() and (mask[8:] == mask[8]).all()
    assert shared_strength(weights, 1) is weights
    with pytest.raises(ValueError, match="rows = 0"):
        shared_strength(weights, 0)
