"""Compiled programs of an output layer on the golden rank: results, candidates, probabilities; refusals."""

import numpy as np
import pytest

from golden.enmc.compiler import Classifier, split
from golden.enmc.enmc_rank import EnmcRank
from golden.enmc.isa import assemble
from golden.enmc.screener_training import calibrated_threshold, classifier_scores, train
from golden.enmc.screening import above_threshold, mixed_scores

ROW_BITS = 8


def layer(classes, hidden, k, *, base=0, candidates=10):
    """A classifier with a trained screener, hidden vectors, the screener, its threshold."""
    rng = np.random.default_rng(classes + hidden)
    weight, bias = rng.normal(size=(classes, hidden)).astype(np.float32), rng.normal(size=classes).astype(np.float32)
    vectors = rng.normal(size=(100, hidden)).astype(np.float32)
    screener = train(weight, bias, vectors, k)
    threshold = calibrated_threshold(screener, vectors, candidates)
    classifier = Classifier(weight, bias, base)
    classifier.screener(screener, threshold)
    return classifier, vectors, screener, threshold


def rank_of(classifier, items):
    """A golden rank with the weights, set up for batches of up to ``items``."""
    rank = EnmcRank(ROW_BITS, fill=None)
    rank.store(classifier.base, classifier.image())
    rank.run(classifier.setup(items))
    return rank


def run(rank, programs):
    """The results of programs, one after the other on a rank."""
    results = []
    for program in programs:
        for address, content in program.writes:
            rank.store(address, content)
        # Padding of results and logs is not written by the rank, and this memory refuses to read such bytes.
        layout = program.layout
        rank.store(layout.result_base, np.zeros(layout.end - layout.result_base, np.uint8))
        results.append(program.results(rank.fetch, rank.run(program.instructions)))
    return results


@pytest.mark.parametrize("classes, hidden, k, items, base", [
    (300, 40, 16, 1, 0), (300, 40, 16, 5, 32768), (65, 33, 33, 2, 0), (130, 20, 7, 3, 0), (64, 16, 100, 4, 0)])
def test_results_are_those_of_screening(classes, hidden, k, items, base):
    classifier, vectors, screener, threshold = layer(classes, hidden, min(k, hidden), base=base)
    programs = classifier.compile(vectors[:items])
    results = run(rank_of(classifier, items), programs)
    scores = np.concatenate([result.scores for result in results])
    approximate = screener.scores(vectors[:items])
    chosen = above_threshold(approximate, threshold)
    full = classifier_scores(classifier.weight, classifier.bias, vectors[:items])
    assert scores.shape == (items, classes) and chosen.any()
    expected = mixed_scores(approximate, chosen, full)
    assert np.array_equal(scores[~chosen], expected[~chosen])
    np.testing.assert_allclose(scores[chosen], expected[chosen], rtol=1e-4, atol=1e-4)
    found = [candidates for result in results for candidates in result.candidates]
    accurate = [values for result in results for values in result.accurate]
    for item in range(items):
        assert np.array_equal(found[item], np.flatnonzero(chosen[item]))  # in the order of classes
        assert np.array_equal(accurate[item], scores[item][found[item]])


def test_probabilities_and_programs_one_after_the_other():
    classifier, vectors, screener, threshold = layer(200, 24, 12)
    rank = rank_of(classifier, 3)
    first = run(rank, classifier.compile(vectors[:3], probabilities=True))
    plain = run(rank, classifier.compile(vectors[:3]))
    again = run(rank, classifier.compile(vectors[:3], probabilities=True))
    scores = np.concatenate([result.scores for result in plain]).astype(np.float64)
    expected = np.exp(scores - scores.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    probabilities = np.concatenate([result.scores for result in first])
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-9)
    assert np.array_equal(probabilities, np.concatenate([result.scores for result in again]))


def test_full_classification_on_the_same_rank():
    classifier, vectors, _, _ = layer(100, 30, 15)
    (result,) = run(rank_of(classifier, 2), classifier.compile(vectors[:2], accurate=True))
    np.testing.assert_allclose(result.scores, classifier_scores(classifier.weight, classifier.bias, vectors[:2]),
                               rtol=1e-4, atol=1e-4)
    assert [len(candidates) for candidates in result.candidates] == [0, 0]


def test_a_program_is_text_that_assembles_to_it():
    classifier, vectors, _, _ = layer(70, 20, 10)
    for program in classifier.compile(vectors[:3], probabilities=True):
        assert assemble("\n".join(map(str, program.instructions))) == program.instructions


@pytest.mark.parametrize("seed", range(4))
def test_a_call_classifies_batches_of_any_layer(seed):
    """Random sizes, trained and called as a user does; one batch after the other on the same rank."""
    rng = np.random.default_rng(seed)
    classes, hidden = (int(rng.integers(1, most)) for most in (200, 70))
    k, base = int(rng.integers(1, hidden + 1)), int(rng.integers(0, 3)) << 15
    weight, bias = rng.normal(size=(classes, hidden)).astype(np.float32), rng.normal(size=classes).astype(np.float32)
    vectors = rng.normal(size=(80, hidden)).astype(np.float32)
    classifier = Classifier(weight, bias, base)
    classifier.train(vectors, k, max(1, classes // 16))
    screener = train(weight, bias, vectors, k)
    threshold = calibrated_threshold(screener, vectors, max(1, classes // 16))
    for items in rng.permutation([1, 2, 3, 4, 7]):
        batch = rng.normal(size=(items, hidden)).astype(np.float32)
        approximate = screener.scores(batch)
        chosen, full = above_threshold(approximate, threshold), classifier_scores(weight, bias, batch)
        scores = mixed_scores(approximate, chosen, full)
        results = classifier(batch, probabilities=False)
        np.testing.assert_allclose(results.scores, scores, rtol=1e-4, atol=1e-4)
        assert len(results.candidates) == len(results.accurate) == items
        for item, (found, values) in enumerate(zip(results.candidates, results.accurate)):
            assert np.array_equal(found, np.flatnonzero(chosen[item]))
            assert np.array_equal(values, results.scores[item, found])
        if items == 2:
            likely = np.exp(scores - scores.max(1, keepdims=True))
            np.testing.assert_allclose(classifier(batch).scores, likely / likely.sum(1, keepdims=True), rtol=1e-3,
                                       atol=1e-9)
            np.testing.assert_allclose(classifier(batch, accurate=True, probabilities=False).scores, full, rtol=1e-4,
                                       atol=1e-4)


def test_a_call_has_the_screener_of_the_moment():
    classifier, vectors, screener, _ = layer(100, 20, 10)
    first = classifier(vectors[:2], probabilities=False)
    classifier.screener(screener, (1 << 31) - 1)
    assert not any(map(len, classifier(vectors[:2]).candidates)) and any(map(len, first.candidates))
    classifier.train(vectors, 5, 20, "pca", seed=3)
    assert classifier.layout(1).k == 5 and any(map(len, classifier(vectors[:2]).candidates))


def test_too_large_a_layer_for_a_rank_is_refused():
    classifier, vectors, _, _ = layer(70, 20, 10, base=(8 << 30) - (5 << 15))
    with pytest.raises(ValueError, match="base = 8589770752 is not allowed: the layer ends at byte 8589967360"):
        classifier(vectors[:1])


def test_split():
    assert split(1, 144) == [1] and split(4, 144) == [2, 2] and split(7, 144) == [3, 2, 2]
    assert split(8, 128) == [4, 4] and split(3, 512) == [1, 1, 1] and split(5, 16) == [3, 2]
    with pytest.raises(ValueError, match="k = 513 is not allowed: at least one vector, of at most 512 features"):
        split(1, 513)
    with pytest.raises(ValueError, match="items = 0"):
        split(0, 16)


def test_refusals():
    classifier, vectors, screener, _ = layer(70, 20, 10)
    with pytest.raises(ValueError, match="weight has shape"):
        Classifier(classifier.weight, classifier.bias[:5])
    with pytest.raises(ValueError, match=r"call train\(\) or screener\(\) first"):
        Classifier(classifier.weight, classifier.bias)(vectors[:1])
    with pytest.raises(ValueError, match="items = 0"):
        classifier(vectors[:0])
    with pytest.raises(ValueError, match="weight has numbers that are not finite"):
        Classifier(np.full((3, 2), np.nan, np.float32), np.zeros(3, np.float32))
    for wrong in (vectors[:1, :1], vectors[0], vectors[:1].astype(np.float64)):
        for accurate in (False, True):
            with pytest.raises(ValueError, match=r"hidden has shape .* it must be \(n, 20\) of float32"):
                classifier.compile(wrong, accurate=accurate)
    with pytest.raises(ValueError, match="hidden has numbers that are not finite"):
        classifier.compile(np.full((1, 20), np.inf, np.float32))
    with pytest.raises(ValueError, match=r"hidden has shape \(1, 1\): it must be \(n, 20\)"):
        screener.features(vectors[:1, :1])
    with pytest.raises(ValueError, match="as many classes as the layer"):
        Classifier(classifier.weight[:50], classifier.bias[:50]).screener(screener, 0)
    with pytest.raises(ValueError, match="threshold = 2147483648 is not allowed"):
        classifier.screener(screener, 1 << 31)
    program = classifier.compile(vectors[:1])[0]
    with pytest.raises(ValueError, match="the rank reports an error"):
        program.results(None, [0, 0, 4])
    with pytest.raises(ValueError, match="the rank is not done"):
        program.results(None, [0, 0, 1])
