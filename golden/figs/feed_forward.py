"""The feed-forward block of MiniLM's last layer as a network of its own, with its inputs on real text.

The block is linear 384 -> 1536, GELU, linear 1536 -> 384. A residual, a normalisation and the mean over the tokens
follow it, so that sentence vectors with another block in its place cost little.
"""

import numpy as np

from golden.figs.perceptron import Perceptron
from golden.workloads.minilm import LAYERS, MiniLm

__all__ = ["LastBlock", "last_block"]

_LAYER = f"encoder.layer.{LAYERS - 1}."
_FIRST, _SECOND, _NORMALISATION = (_LAYER + name for name in ("intermediate.dense", "output.dense", "output.LayerNorm"))


def last_block(model):
    """The trained block as a ``Perceptron``, both matrices pruned."""
    parameters = {f"{kind[0]}{number}": model.weights[f"{name}.{kind}"]
                  for number, name in enumerate((_FIRST, _SECOND)) for kind in ("weight", "bias")}
    return Perceptron(parameters, "gelu", ("w0", "w1"))


class LastBlock(MiniLm):
    """MiniLM around its last block: what goes into the block, and what becomes of that which comes out."""

    def __init__(self, model):
        super().__init__(model.weights, model.tokenizer)
        self._seen = None

    def _linear(self, name, x):
        if name == _FIRST:
            self._seen = x
        return super()._linear(name, x)

    def inputs(self, ids):
        """(the block's inputs, float32 (texts, tokens, 384), sentence vectors (texts, 384)) of ``ids`` (texts,
        tokens)."""
        vectors = self.embed(ids)
        return self._seen, vectors

    def sentences(self, inputs, outputs):
        """Sentence vectors (texts, 384), each of length 1, for a block's ``inputs`` and ``outputs`` (texts, tokens,
        384)."""
        mean = self._layer_norm(_NORMALISATION, inputs + np.asarray(outputs, np.float32)).mean(1)
        return mean / np.linalg.norm(mean, axis=-1, keepdims=True)
