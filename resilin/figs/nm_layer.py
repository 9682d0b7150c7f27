"""A real linear layer pruned to N:M, in integers: a layer of MiniLM's last feed-forward block."""

import dataclasses

import numpy as np

from golden.figs.minilm_study import RECIPES, Distillation
from golden.figs.nm_network import export_network
from golden.figs.train import prune
from golden.workloads.minilm import MiniLm

__all__ = ["PrunedLayer", "PrunedLayers"]

_RECIPE = next(recipe for recipe in RECIPES if recipe.name == "FiGS")


@dataclasses.dataclass(frozen=True, eq=False)
class PrunedLayer:
    """``weights`` INT8 (outputs, inputs), ``x`` INT8 (inputs, tokens) of text that it was not trained on; ``quality``
    of the whole block with both layers pruned, in integers: ``golden.figs.minilm_study.Distillation.quality``."""

    weights: np.ndarray
    x: np.ndarray
    quality: dict

    @property
    def nonzeros(self):
        return int(np.count_nonzero(self.weights))


class PrunedLayers:
    """The block for any pattern, each trained once. ``which``: "first" or "second" layer; ``epochs`` of the FiGS
    recipe, 0: the greatest magnitudes; ``config`` of the engine: its ``beta`` outputs share a pattern where that is
    asked for, its ``weight_bits`` are the weights'."""

    def __init__(self, tell, which, epochs, seed, tokens, config):
        self._data = Distillation(MiniLm.load(tell))
        self._place, self._epochs, self._seed, self._tell = which == "second", epochs, seed, tell
        self._rows, self._bits = config.beta, config.weight_bits
        inputs = self._data.part("evaluation").inputs
        self._x = inputs.reshape(-1, inputs.shape[-1])[:tokens]
        if len(self._x) < tokens:
            raise ValueError(f"tokens = {tokens} is not allowed: it must be at most {len(self._x)}")
        self.outputs, self.inputs = self._data.block.parameters[f"w{int(self._place)}"].shape
        self._made = {}

    def get(self, pattern, shared):
        """The :class:`PrunedLayer` of a pattern."""
        rows = self._rows if shared and pattern.n < pattern.m else 1
        if (pattern, rows) not in self._made:
            self._made[pattern, rows] = self._make(pattern, rows)
        return self._made[pattern, rows]

    def _make(self, pattern, rows):
        data = self._data
        if self._epochs and pattern.n < pattern.m:
            self._tell(f"training to {pattern}, patterns of {rows} outputs")
            network = data.train(dataclasses.replace(_RECIPE, rows=rows), pattern, self._epochs, self._seed)
        else:
            network = prune(data.block, pattern, rows)
        training = data.part("training").inputs
        exported = export_network(network, pattern, training.reshape(-1, training.shape[-1]),
                                  self._bits)
        layer, seen = exported.layers[self._place], []

        def product(layer, x):
            seen.append(x)
            return layer.weights @ x

        exported.forward(self._x, product)
        return PrunedLayer(layer.weights, seen[self._place], data.quality(exported))
