"""Accuracy of N:M recipes on real digits, over the ratio: in float, and in integers as the engine multiplies them.

Every seed has a dense network of its own, from which all recipes start, with the same samples in the same order. The
recipes' rates, decays and shares were chosen by :func:`search` on a part of the training images; see
docs/figs/training.md.
"""

import dataclasses

import numpy as np

from golden.duet.dsg import cross_entropy
from golden.figs.nm_network import WEIGHT_BITS, export_network
from golden.figs.patterns import Pattern
from golden.figs.perceptron import Perceptron
from golden.figs.recipes import Recipe
from golden.figs.study_rows import best_first, differences, over_seeds
from golden.figs.train import DENSE, dense_recipe, prune, train

__all__ = ["EPOCHS", "GRID", "PATTERNS", "RECIPES", "WIDTHS", "accuracy", "dense_network", "digits_loss", "search",
           "study", "trained_network", "validation_split"]

WIDTHS = (64, 32, 32, 10)
PATTERNS = tuple(Pattern(1, m) for m in (4, 8, 16, 32))
EPOCHS = 30
_DENSE_RATE = 0.01
RECIPES = (
    Recipe("fine-tuned", 0.06, live=False),
    Recipe("SR-STE", 0.05, decay=10.0),
    Recipe("FiGS", 0.08, decay=10.0, length=4, share=0.1),
    Recipe("FiGS, masks nested", 0.05, decay=10.0, length=4, share=0.25, nested=True),
)
_STEPPED = [dict(rate=rate, decay=decay, length=4, share=share) for rate in (0.03, 0.05, 0.08) for decay in (3.0, 10.0)
            for share in (0.1, 0.25)]
#: Twelve candidates of each recipe.
GRID = (
    *(Recipe("fine-tuned", rate, live=False)
      for rate in (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2)),
    *(Recipe("SR-STE", rate, decay=decay) for rate in (0.02, 0.03, 0.05, 0.08) for decay in (3.0, 10.0, 30.0)),
    *(Recipe("FiGS", **values) for values in _STEPPED),
    *(Recipe("FiGS, masks nested", **values, nested=True) for values in _STEPPED),
)
_VALIDATION = 5  # every fifth image
_SEARCH_SEEDS = 1000  # the first seed of the search, far from those of the study


def digits_loss(scores, labels):
    """Softmax cross entropy, and its gradient in the type of the ``scores``."""
    loss, gradient = cross_entropy(scores, labels)
    return float(loss), gradient.astype(scores.dtype)


def accuracy(network, images, labels):
    """Share of images whose greatest score is the right class, of a float or an integer network."""
    return float((network.forward(images).argmax(1) == labels).mean())


def dense_network(images, labels, seed, epochs=EPOCHS):
    """A dense network trained from random weights."""
    return train(Perceptron.initial(WIDTHS, "relu", seed), images, labels, digits_loss, dense_recipe(_DENSE_RATE),
                 epochs=epochs, seed=seed)


def trained_network(images, labels, pattern, recipe="FiGS", seed=0, epochs=EPOCHS, dense=None):
    """A network of ``pattern`` trained by the recipe of :data:`RECIPES` with that name, from ``dense``, or from a dense
    network that is trained first."""
    chosen = {known.name: known for known in RECIPES}
    if recipe not in chosen:
        raise ValueError(f"recipe = {recipe!r} is not allowed: it must be one of {', '.join(chosen)}")
    start = dense or dense_network(images, labels, seed, epochs)
    return _continue(start, images, labels, chosen[recipe], pattern, seed, epochs)


def _continue(start, images, labels, recipe, pattern, seed, epochs):
    return train(start, images, labels, digits_loss, recipe, pattern, epochs, seed=seed)


def validation_split(images, labels):
    """((images, labels) to train on, (images, labels) to choose by): every fifth one is to choose by."""
    chosen = np.arange(len(images)) % _VALIDATION == _VALIDATION - 1
    return (images[~chosen], labels[~chosen]), (images[chosen], labels[chosen])


def search(data, grid=GRID, patterns=PATTERNS, epochs=EPOCHS, seeds=5, progress=None):
    """Validation accuracy of every candidate: rows with "mean" over patterns and seeds, the best of a recipe first.

    ``data``: (images, labels) to train on; a part of them is kept apart to choose by.
    """
    (images, labels), others = validation_split(*data)
    seeds = range(_SEARCH_SEEDS, _SEARCH_SEEDS + seeds)
    dense = [dense_network(images, labels, seed, epochs) for seed in seeds]

    def reached(recipe):
        return [float(np.mean([accuracy(_continue(start, images, labels, recipe, pattern, seed, epochs), *others)
                               for start, seed in zip(dense, seeds)])) for pattern in patterns]

    rows = best_first(grid, "accuracy", reached, progress=progress)
    return {"patterns": list(map(str, patterns)), "seeds": list(seeds), "validation_images": len(others[0]),
            "rows": rows}


def study(data, recipes=RECIPES, patterns=PATTERNS, epochs=EPOCHS, seeds=10, shared_by=1, progress=None):
    """Rows of a table, one for each recipe and pattern; ``data`` from ``golden.workloads.digits``.

    A row has the "accuracy" on images that no choice was made by, mean and "deviation" over the seeds and "each"; the
    "density" of the pruned matrices; "int8" and "int16": mean accuracy of the integer network with such weights. The
    pattern 1:1 is the dense network, trained as long as the others. ``shared_by``: neighbouring outputs
    that share a mask.
    """
    (images, labels), others = data
    dense = [dense_network(images, labels, seed, epochs) for seed in range(seeds)]
    recipes = [dataclasses.replace(recipe, rows=shared_by) for recipe in recipes]
    rows = []

    def add(name, pattern, networks):
        each = [accuracy(network, *others) for network in networks]
        mean, deviation = over_seeds(each)
        integer = {f"int{bits}": round(float(np.mean([
            accuracy(export_network(network, pattern, images, bits), *others) for network in networks])), 5)
            for bits in WEIGHT_BITS}
        kept = np.mean([(network.parameters[part] != 0).mean() for network in networks for part in network.pruned])
        rows.append({"recipe": name, "pattern": str(pattern), "accuracy": mean, "deviation": deviation, **integer,
                     "density": round(float(kept), 4), "each": each})
        if progress:
            progress(f"digits, {name}, {pattern}: {mean:.4f}")

    add("dense", DENSE, [_continue(start, images, labels, dense_recipe(_DENSE_RATE), DENSE, seed, epochs)
                         for seed, start in enumerate(dense)])
    for pattern in patterns:
        add("one-shot", pattern, [prune(start, pattern, shared_by) for start in dense])
        for recipe in recipes:
            add(recipe.name, pattern, [_continue(start, images, labels, recipe, pattern, seed, epochs)
                                       for seed, start in enumerate(dense)])
    return {"widths": list(WIDTHS), "epochs": epochs, "seeds": seeds, "shared_by": shared_by,
            "training_images": len(images), "evaluation_images": len(others[0]), "rows": rows,
            "differences": differences(rows, "each")}
