"""Recipes to reach an N:M pattern: which mask when, and which gradient the weights get.

All start from the same dense network and end with weights that obey the pattern.

* ``one-shot``: the greatest magnitudes of the dense network, no training.
* ``fine-tuned``: the same mask, kept; only the weights that it leaves are trained.
* ``SR-STE`` (Zhou et al. 2021): the forward pass takes the greatest magnitudes of the moment; the gradient at the
  masked weights goes straight through to all weights, and those left out decay with lambda. The decay acts beside
  Adam's change, as in AdamW; within the gradient Adam would normalise it away.
* ``FiGS``: SR-STE whose pattern goes through the chain of :func:`golden.figs.patterns.chain`: many non-zeros of a large
  group, then half of each, with the density kept.
* ``FiGS, masks nested``: the other reading of "each step is a subset": a mask lies within the mask of the step before.
  A group then may hold fewer than N, so the density falls.
"""

import dataclasses

import numpy as np

from golden.figs.patterns import chain, magnitude_mask, shared_strength

__all__ = ["Masks", "Recipe"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """``live``: the mask follows the weights, the gradient goes straight through; else the first mask stays.

    ``decay``: lambda of SR-STE. ``length``: patterns of the chain, 1 for the target alone. ``share``: the last pattern
    begins after this share of the training; those before it take equal parts. ``nested``: each mask within the last
    mask of the pattern before. ``rate``: learning rate at the beginning. ``rows``: neighbouring outputs that share a
    mask, as the units of an element do that share its activations (docs/figs/figs_engine.md).
    """

    name: str
    rate: float
    live: bool = True
    decay: float = 0.0
    length: int = 1
    share: float = 0.5
    nested: bool = False
    rows: int = 1

    def __post_init__(self):
        for name, value, good, allowed in (
                ("rate", self.rate, self.rate > 0, "above 0"), ("decay", self.decay, self.decay >= 0, "at least 0"),
                ("length", self.length, self.length >= 1, "at least 1"),
                ("rows", self.rows, self.rows >= 1, "at least 1"),
                ("share", self.share, 0 <= self.share < 1, "at least 0 and below 1")):
            if not good:
                raise ValueError(f"{name} = {value} is not allowed: it must be {allowed}")

    def stage(self, done, total):
        """Index into the chain at step ``done`` of ``total``."""
        if done >= self.share * total:
            return self.length - 1
        return min(int(done * (self.length - 1) / (self.share * total)), self.length - 1)


class Masks:
    """The masks of some weight matrices in the course of a training of ``steps`` steps to the pattern ``target``."""

    def __init__(self, recipe, target, steps):
        self.recipe, self.steps = recipe, steps
        self.patterns, self.stage = chain(target, recipe.length), 0
        self.masks, self._within = {}, {}

    def update(self, step, weights):
        """Bring ``masks`` up to date for the step; ``weights``: dict name -> (outputs, inputs)."""
        stage = self.recipe.stage(step, self.steps)
        if stage != self.stage and self.recipe.nested:
            self._within = self.masks
        self.stage = stage
        if self.recipe.live or not self.masks:
            self.masks = {name: magnitude_mask(shared_strength(weight, self.recipe.rows), self.patterns[stage],
                                               self._within.get(name))
                          for name, weight in weights.items()}

    def slope(self, name, gradient):
        """The gradient that array ``name`` gets, from the ``gradient`` at its masked values."""
        return gradient if self.recipe.live or name not in self.masks else gradient * self.masks[name]

    def decay(self, name, weight):
        """What is added to the optimiser's change of array ``name``: lambda times the weights that are left out."""
        if not self.recipe.decay or name not in self.masks:
            return np.float32(0)
        return np.where(self.masks[name], np.float32(0), np.float32(self.recipe.decay) * weight)
