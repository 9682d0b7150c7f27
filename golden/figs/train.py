"""Training with an N:M pattern: the loop that all recipes share.

Adam without weight decay; the learning rate falls to 0 linearly. What differs between recipes, masks and gradients, is
in :mod:`golden.figs.recipes`.
"""

import numpy as np

from golden.figs.patterns import Pattern
from golden.figs.recipes import Masks, Recipe

__all__ = ["DENSE", "dense_recipe", "prune", "train"]

DENSE = Pattern(1, 1)
_MEANS = np.float32(0.9), np.float32(0.999)  # weights of the past in the means of the gradient and of its square
_EPSILON = np.float32(1e-8)


def dense_recipe(rate):
    """Training without a pattern."""
    return Recipe("dense", rate, live=False)


def prune(network, target, rows=1):
    """A copy of ``network`` with the one-shot mask of the pattern ``target``, shared by ``rows`` outputs."""
    masks = Masks(Recipe("one-shot", 1, live=False, rows=rows), target, 1)
    masks.update(0, _pruned(network))
    return network.copy(_masked(network, masks))


def train(network, inputs, targets, loss, recipe, target=DENSE, epochs=20, batch=64, seed=0):
    """A network trained from ``network``, which stays as it is; its pruned matrices obey the pattern ``target``.

    ``inputs`` (samples, n), ``targets`` (samples, ...); ``loss(outputs, targets)`` gives its value and its gradient.
    ``seed`` decides the order of the samples; what is left of an epoch after whole batches is not used. Same arguments,
    same result.
    """
    if not 1 <= batch <= len(inputs):
        raise ValueError(f"batch = {batch} is not allowed: it must be from 1 to {len(inputs)}")
    if epochs < 1:
        raise ValueError(f"epochs = {epochs} is not allowed: it must be at least 1")
    network, rng, adam = network.copy(), np.random.default_rng(seed), _Adam()
    per_epoch = len(inputs) // batch
    steps = epochs * per_epoch
    masks = Masks(recipe, target, steps)
    for step in range(steps):
        if step % per_epoch == 0:
            order = rng.permutation(len(inputs))
        pick = order[step % per_epoch * batch:][:batch]
        masks.update(step, _pruned(network))
        masked, saved = network.copy(_masked(network, masks)), []
        _, gradient = loss(masked.forward(inputs[pick], saved), targets[pick])
        rate = np.float32(recipe.rate * (1 - step / steps))
        for name, slope in masked.backward(saved, gradient).items():
            change = adam.step(name, masks.slope(name, slope))
            network.parameters[name] -= rate * (change + masks.decay(name, network.parameters[name]))
    masks.update(steps, _pruned(network))
    return network.copy(_masked(network, masks))


class _Adam:
    """Means of gradients by name."""

    def __init__(self):
        self._state = {}

    def step(self, name, gradient):
        """The change of the array ``name`` at a learning rate of 1."""
        count, mean, square = self._state.get(name, (0, np.float32(0), np.float32(0)))
        mean = _MEANS[0] * mean + (1 - _MEANS[0]) * gradient
        square = _MEANS[1] * square + (1 - _MEANS[1]) * np.square(gradient)
        count += 1
        self._state[name] = count, mean, square
        return mean / (1 - _MEANS[0] ** count) / (np.sqrt(square / (1 - _MEANS[1] ** count)) + _EPSILON)


def _pruned(network):
    return {name: network.parameters[name] for name in network.pruned}


def _masked(network, masks):
    return network.parameters | {name: network.parameters[name] * mask for name, mask in masks.masks.items()}
