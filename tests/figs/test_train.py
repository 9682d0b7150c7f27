"""Recipes for N:M patterns: gradients, masks in the course of training, determinism; real digits."""

import numpy as np
import pytest

from golden.figs import digits_study
from golden.figs.digits_study import RECIPES, accuracy, digits_loss, search, study, trained_network, validation_split
from golden.figs.patterns import Pattern, chain, is_pattern, magnitude_mask
from golden.figs.perceptron import Perceptron, activate
from golden.figs.recipes import Masks, Recipe
from golden.figs.study_rows import best_first, differences, over_seeds
from golden.figs.train import dense_recipe, prune, train
from tests.workloads.models import digits

WIDTHS = (32, 24, 32, 4)


def _data(samples=96, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(samples, WIDTHS[0])).astype(np.float32), rng.integers(0, WIDTHS[-1], samples)


def _double(network):
    return network.copy({name: value.astype(np.float64) for name, value in network.parameters.items()})


def _square(outputs, targets):
    return np.square(outputs - targets).sum() / (2 * len(outputs)), (outputs - targets) / len(outputs)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_gradients_equal_differences(activation):
    network = _double(Perceptron.initial(WIDTHS, activation, 1))
    x, labels = _data(10)
    targets = np.random.default_rng(2).normal(size=(10, WIDTHS[-1]))
    for loss, wanted in ((digits_loss, labels), (_square, targets)):
        saved = []
        gradients = network.backward(saved, loss(network.forward(x, saved), wanted)[1])
        assert set(gradients) == set(network.parameters)
        rng = np.random.default_rng(3)
        for name, parameter in network.parameters.items():
            for index in [tuple(rng.integers(0, size) for size in parameter.shape) for _ in range(5)]:
                kept, reached = parameter[index], []
                for change in (1e-4, -1e-4):
                    parameter[index] = kept + change
                    reached.append(loss(network.forward(x), wanted)[0])
                parameter[index] = kept
                # The error function is good to 1.5e-7, which limits differences of GELU.
                assert gradients[name][index] == pytest.approx((reached[0] - reached[1]) / 2e-4, rel=2e-2, abs=3e-4)


def test_activations_keep_the_type():
    x = np.linspace(-4, 4, 9, dtype=np.float32)
    for kind in ("relu", "gelu"):
        assert {part.dtype for part in activate(kind, x)} == {np.dtype(np.float32)}
    with pytest.raises(ValueError, match="activation = 'tanh'"):
        activate("tanh", x)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("pattern", [Pattern(1, 4), Pattern(2, 8), Pattern(1, 32)], ids=str)
def test_every_recipe_ends_with_the_pattern(recipe, pattern):
    start, (x, labels) = Perceptron.initial(WIDTHS, "relu", 4), _data()
    before = {name: value.copy() for name, value in start.parameters.items()}
    network = train(start, x, labels, digits_loss, recipe, pattern, epochs=3, batch=32)
    for name in network.pruned:
        assert is_pattern(network.parameters[name], pattern), name
    assert np.count_nonzero(network.parameters["w2"]) == network.parameters["w2"].size  # the last layer stays dense
    assert all(np.array_equal(value, before[name]) for name, value in start.parameters.items())
    again = train(start, x, labels, digits_loss, recipe, pattern, epochs=3, batch=32)
    other = train(start, x, labels, digits_loss, recipe, pattern, epochs=3, batch=32, seed=1)
    assert all(np.array_equal(value, again.parameters[name]) for name, value in network.parameters.items())
    assert any(not np.array_equal(value, other.parameters[name]) for name, value in network.parameters.items())


def test_fine_tuning_keeps_the_mask_of_the_start():
    start, (x, labels) = Perceptron.initial(WIDTHS, "relu", 5), _data()
    pattern = Pattern(1, 8)
    mask = magnitude_mask(start.parameters["w1"], pattern)
    tuned = train(start, x, labels, digits_loss, Recipe("fine-tuned", 0.01, live=False), pattern, epochs=3, batch=32)
    shot = prune(start, pattern)
    assert np.array_equal(shot.parameters["w1"], start.parameters["w1"] * mask)
    assert not tuned.parameters["w1"][~mask].any()
    assert (tuned.parameters["w1"][mask] != shot.parameters["w1"][mask]).all()
    live = train(start, x, labels, digits_loss, Recipe("SR-STE", 0.05), pattern, epochs=3, batch=32)
    assert live.parameters["w1"][~mask].any()  # another mask was found


def test_the_pattern_narrows_step_by_step():
    recipe, rng = Recipe("FiGS", 0.1, length=4, share=0.6), np.random.default_rng(6)
    masks, seen = Masks(recipe, Pattern(1, 4), 100), []
    for step in range(101):
        weights = {"w": rng.normal(size=(6, 64))}
        masks.update(step, weights)
        pattern = chain(Pattern(1, 4), 4)[recipe.stage(step, 100)]
        assert np.array_equal(masks.masks["w"], magnitude_mask(weights["w"], pattern))
        seen.append(str(pattern))
    assert [seen.count(name) for name in ("8:32", "4:16", "2:8", "1:4")] == [20, 20, 20, 41]
    assert seen == sorted(seen, key=lambda name: -int(name.split(":")[0]))
    assert Recipe("SR-STE", 0.1).stage(0, 100) == 0 and Recipe("FiGS", 0.1, length=3, share=0).stage(0, 10) == 2


def test_nested_masks_lie_within_those_before():
    recipe, rng = Recipe("nested", 0.1, length=3, share=0.5, nested=True), np.random.default_rng(7)
    masks, before, stage = Masks(recipe, Pattern(1, 8), 20), None, 0
    for step in range(21):
        last = masks.masks.get("w")
        masks.update(step, {"w": rng.normal(size=(8, 64))})
        if recipe.stage(step, 20) != stage:
            before, stage = last, recipe.stage(step, 20)
        assert before is None or not (masks.masks["w"] & ~before).any()
        assert is_pattern(masks.masks["w"], chain(Pattern(1, 8), 3)[stage])
    assert stage == 2 and 0 < masks.masks["w"].mean() < 1 / 8


def test_gradients_go_straight_through_and_only_what_is_left_out_decays():
    rng = np.random.default_rng(8)
    weight, gradient = (rng.normal(size=(4, 8)).astype(np.float32) for _ in range(2))
    live, kept = Masks(Recipe("SR-STE", 0.1, decay=0.5), Pattern(1, 4), 9), Masks(dense_recipe(0.1), Pattern(1, 4), 9)
    for masks in (live, kept):
        masks.update(0, {"w": weight})
    mask = live.masks["w"]
    assert np.array_equal(live.slope("w", gradient), gradient) and np.array_equal(kept.slope("w", gradient) != 0, mask)
    assert np.array_equal(live.decay("w", weight), np.where(mask, 0, np.float32(0.5) * weight))
    assert not np.any(kept.decay("w", weight)) and not np.any(live.decay("b", weight[0]))
    assert np.array_equal(live.slope("b", gradient[0]), gradient[0])


def test_weights_left_out_shrink_without_a_gradient():
    """No gradient at all: what the mask keeps does not move, the rest goes down to the sum of the rates."""
    network, (x, labels) = Perceptron.initial(WIDTHS, "relu", 9), _data()

    def silent(outputs, _):
        return 0.0, np.zeros_like(outputs)

    masks = Masks(Recipe("SR-STE", 0.05, decay=1.0), Pattern(1, 4), 1)
    masks.update(0, {"w0": network.parameters["w0"]})
    trained = train(network, x, labels, silent, Recipe("SR-STE", 0.05, decay=1.0), Pattern(1, 4), 2, batch=32)
    assert np.array_equal(trained.parameters["w0"], network.parameters["w0"] * masks.masks["w0"])


@pytest.mark.parametrize("changes, field", [
    ({"rate": 0}, "rate = 0"), ({"decay": -1}, "decay = -1"), ({"length": 0}, "length = 0"),
    ({"share": 1}, "share = 1")])
def test_bad_recipes(changes, field):
    with pytest.raises(ValueError, match=f"{field}.*is not allowed"):
        Recipe(**({"name": "x", "rate": 0.1} | changes))


def test_bad_trainings():
    network, (x, labels) = Perceptron.initial(WIDTHS, "relu"), _data()
    for options, field in (({"batch": 97}, "batch = 97"), ({"batch": 0}, "batch = 0"), ({"epochs": 0}, "epochs = 0")):
        with pytest.raises(ValueError, match=field):
            train(network, x, labels, digits_loss, dense_recipe(0.1), **options)
    with pytest.raises(ValueError, match="pruned"):
        Perceptron(network.parameters, "relu", ["w7"])
    with pytest.raises(ValueError, match="activation"):
        Perceptron(network.parameters, "tanh", ["w0"])
    with pytest.raises(ValueError, match="recipe = 'magic'.*fine-tuned, SR-STE"):
        trained_network(x, labels, Pattern(1, 4), "magic")


def test_differences_seed_by_seed():
    rows = [{"recipe": "FiGS", "pattern": "1:4", "each": [0.9, 0.8]},
            {"recipe": "SR-STE", "pattern": "1:4", "each": [0.8, 0.6]}]
    assert differences(rows, "each") == [{"first": "FiGS", "second": "SR-STE", "pattern": "1:4", "of": "each",
                                          "mean": 0.15, "error": 0.05}]
    assert over_seeds([1.0]) == (1.0, None) and over_seeds([1.0, 3.0]) == (2.0, 1.41421)


def test_the_best_of_a_recipe_comes_first():
    grid = [Recipe("b", 0.1, decay=1.0), Recipe("a", 0.2), Recipe("b", 0.3), Recipe("a", 0.4, share=0.25)]
    figures, lines = {0.1: [0.1, 0.3], 0.2: [0.9, 0.7], 0.3: [0.25, 0.35], 0.4: [0.00004, 0.00016]}, []
    rows = best_first(grid, "missed", lambda recipe: figures[recipe.rate], progress=lines.append)
    assert [(row["recipe"], row["rate"]) for row in rows] == [("b", 0.3), ("b", 0.1), ("a", 0.2), ("a", 0.4)]
    assert rows[-1] == {"recipe": "a", "rate": 0.4, "decay": 0.0, "share": 0.25, "missed": [0.0, 0.0002],
                        "mean": 0.0001}
    assert lines[0] == "b 0.1 1.0 0.5 [0.1, 0.3] 0.2" and len(lines) == 4
    rows = best_first(grid, "missed", lambda recipe: figures[recipe.rate], greatest=False)
    assert [row["rate"] for row in rows] == [0.1, 0.3, 0.4, 0.2]


def test_real_digits():
    """A short study on the real images: training repairs what one-shot pruning breaks, in float and in integers."""
    training, others = digits()
    results = study((training, others), patterns=(Pattern(1, 16),), epochs=10, seeds=2)
    rows = {row["recipe"]: row for row in results["rows"]}
    assert list(rows) == ["dense", "one-shot", *(recipe.name for recipe in RECIPES)]
    assert rows["dense"]["accuracy"] > 0.93 and rows["one-shot"]["accuracy"] < 0.6
    for recipe in RECIPES:
        row = rows[recipe.name]
        assert row["accuracy"] > rows["one-shot"]["accuracy"] + 0.2 and len(row["each"]) == 2
        assert abs(row["int8"] - row["accuracy"]) < 0.02 and abs(row["int16"] - row["accuracy"]) < 0.02
        assert 0.02 < row["density"] < 0.0625 if recipe.nested else row["density"] == 0.0625
    assert len(results["differences"]) == 3


def test_a_study_of_masks_that_outputs_share(monkeypatch):
    seen = []
    monkeypatch.setattr(digits_study, "accuracy", lambda network, *_: seen.append(network) or 0.0)
    assert study(digits(), patterns=(Pattern(1, 8),), epochs=1, seeds=1, shared_by=4)["shared_by"] == 4
    sparse = [network for network in seen if isinstance(network, Perceptron)][1:]
    assert len(sparse) == 1 + len(RECIPES)
    for network in sparse:
        for name in network.pruned:
            masks = (network.parameters[name] != 0).reshape(-1, 4, network.parameters[name].shape[1])
            assert masks.any() and (masks == masks[:, :1]).all()


def test_the_search_chooses_on_images_of_its_own():
    training, others = digits()
    (images, labels), (kept, _) = validation_split(*training)
    assert len(images) == 1151 and len(kept) == 287
    whole = {tuple(row) for row in np.concatenate([images, kept])}
    assert not {tuple(row) for row in kept} & {tuple(row) for row in others[0]} and len(whole) > 1400
    grid = [Recipe("SR-STE", 1e-5), Recipe("fine-tuned", 1e-5, live=False), Recipe("SR-STE", 0.02)]
    found = search(training, grid, (Pattern(1, 4),), epochs=4, seeds=1)
    assert [(row["recipe"], row["rate"]) for row in found["rows"]] == [
        ("SR-STE", 0.02), ("SR-STE", 1e-5), ("fine-tuned", 1e-5)]
    assert found["validation_images"] == 287
    reached = trained_network(*training, Pattern(1, 8), seed=3, epochs=6)
    assert accuracy(reached, *others) > 0.8 and is_pattern(reached.parameters["w1"], Pattern(1, 8))
