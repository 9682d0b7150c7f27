"""N:M recipes on a real transformer block by distillation: the feed-forward block of MiniLM's last layer.

The block learns to give the dense block's outputs for its inputs on real text; both matrices obey the pattern. Texts to
train on and to evaluate on are disjoint; the recipes' rates, decays and shares were chosen by :func:`search` on
passages apart from both; see docs/figs/training.md.
"""

import dataclasses

import numpy as np

from golden.dota.dsa import cosine
from golden.figs.digits_study import PATTERNS
from golden.figs.feed_forward import LastBlock, last_block
from golden.figs.nm_network import WEIGHT_BITS, export_network
from golden.figs.recipes import Recipe
from golden.figs.study_rows import best_first, differences, over_seeds
from golden.figs.train import DENSE, prune, train
from golden.workloads.text import calibration_windows, evaluation_windows

__all__ = ["EPOCHS", "GRID", "PASSAGES", "RECIPES", "Distillation", "search", "study"]

EPOCHS = 4
BATCH = 128
TOKENS = 128
PASSAGES = {"training": 64, "validation": 16, "evaluation": 32}
RECIPES = (
    Recipe("fine-tuned", 2.2e-2, live=False),
    Recipe("SR-STE", 4e-3, decay=1.0),
    Recipe("FiGS", 4e-3, decay=1.0, length=4, share=0.1),
    Recipe("FiGS, masks nested", 4e-3, decay=1.0, length=4, share=0.25, nested=True),
)
_STEPPED = [dict(rate=rate, decay=decay, length=4, share=share) for rate in (2e-3, 4e-3) for decay in (0.1, 1.0)
            for share in (0.1, 0.25)]
#: Eight candidates of each recipe.
GRID = (
    *(Recipe("fine-tuned", rate, live=False) for rate in (2e-3, 2.8e-3, 4e-3, 5.6e-3, 8e-3, 1.1e-2, 1.6e-2, 2.2e-2)),
    *(Recipe("SR-STE", rate, decay=decay) for rate in (1e-3, 2e-3, 4e-3, 8e-3) for decay in (0.1, 1.0)),
    *(Recipe("FiGS", **values) for values in _STEPPED),
    *(Recipe("FiGS, masks nested", **values, nested=True) for values in _STEPPED),
)
#: What the search trains for: one pattern, where the slides see a difference; a training takes seconds.
SEARCH_PATTERNS = (PATTERNS[2],)


@dataclasses.dataclass(frozen=True)
class Part:
    """Passages: the block's ``inputs`` and the dense block's ``outputs`` on them (texts, tokens, 384), the dense
    model's sentence ``vectors`` (texts, 384)."""

    inputs: np.ndarray
    outputs: np.ndarray
    vectors: np.ndarray


class Distillation:
    """The dense ``block`` and its data; ``passages``: how many of "training", "validation", "evaluation"."""

    def __init__(self, model, passages=None):
        self.model, self.block = LastBlock(model), last_block(model)
        counts = PASSAGES | (passages or {})
        known = calibration_windows(model, TOKENS, counts["training"] + counts["validation"])
        self._ids = {"training": known[:counts["training"]], "validation": known[counts["training"]:],
                     "evaluation": evaluation_windows(model, TOKENS, counts["evaluation"])}
        self._parts = {}
        # Every output counts by its own variance: a few of them vary far more than the rest.
        self._deviation = _flat(self.part("training").outputs).std(0)

    def part(self, name):
        """The passages of "training", "validation" or "evaluation", computed when first asked for."""
        if name not in self._parts:
            inputs, vectors = self.model.inputs(self._ids[name])
            outputs = self.block.forward(_flat(inputs)).reshape(inputs.shape)
            self._parts[name] = Part(inputs, outputs, vectors)
        return self._parts[name]

    def loss(self, outputs, targets):
        """(half the mean square error, every output in units of its standard deviation, its gradient)."""
        wrong = (outputs - targets) / self._deviation
        return float(np.square(wrong).mean() / 2), wrong / (self._deviation * np.float32(wrong.size))

    def train(self, recipe, pattern, epochs=EPOCHS, seed=0):
        """The block trained to ``pattern``."""
        part = self.part("training")
        return train(self.block, _flat(part.inputs), _flat(part.outputs), self.loss, recipe, pattern, epochs, BATCH,
                     seed)

    def quality(self, network, name="evaluation"):
        """Of a float or an integer block on a part: "missed", the share of the outputs' variance that it gets wrong,
        mean over the outputs; "cosine" to the dense outputs, "sentence" to the dense sentence vectors, means."""
        part = self.part(name)
        wanted = _flat(part.outputs).astype(np.float64)
        outputs = np.asarray(network.forward(_flat(part.inputs)), np.float64)
        missed = np.square(outputs - wanted).mean(0) / wanted.var(0)
        sentences = self.model.sentences(part.inputs, outputs.reshape(part.outputs.shape))
        return {"missed": float(missed.mean()), "cosine": float(cosine(outputs, wanted).mean()),
                "sentence": float(cosine(sentences, part.vectors).mean())}


def _flat(x):
    return x.reshape(-1, x.shape[-1])


def search(data, grid=GRID, patterns=SEARCH_PATTERNS, epochs=EPOCHS, progress=None):
    """"missed" on the validation passages for every candidate, one training each; the best of a recipe first."""
    def reached(recipe):
        return [data.quality(data.train(recipe, pattern, epochs), "validation")["missed"] for pattern in patterns]

    rows = best_first(grid, "missed", reached, greatest=False, progress=progress)
    return {"patterns": list(map(str, patterns)), "rows": rows}


def study(data, recipes=RECIPES, patterns=PATTERNS, epochs=EPOCHS, seeds=1, shared_by=1, progress=None):
    """Rows of a table, one for each recipe and pattern, measured on the evaluation passages of the ``Distillation``.

    A row has "missed", "cosine" and "sentence" of :meth:`Distillation.quality`, means over the seeds; "deviation" of
    "missed" over the seeds and "each"; the "density" of the matrices; "int8" and "int16": the same three figures of the
    integer block, of the first seed. The pattern 1:1 is the dense block, which integers alone change.
    ``shared_by``: neighbouring outputs that share a mask.
    """
    recipes = [dataclasses.replace(recipe, rows=shared_by) for recipe in recipes]
    rows, training = [], data.part("training").inputs

    def add(name, pattern, blocks):
        found = [data.quality(block) for block in blocks]
        each = [quality["missed"] for quality in found]
        kept = np.mean([(block.parameters[part] != 0).mean() for block in blocks for part in block.pruned])
        rows.append({"recipe": name, "pattern": str(pattern),
                     **{key: round(float(np.mean([quality[key] for quality in found])), 4) for key in found[0]},
                     "deviation": over_seeds(each)[1], "density": round(float(kept), 4), "each": each,
                     **{f"int{bits}": _rounded(data.quality(export_network(blocks[0], pattern, _flat(training), bits)))
                        for bits in WEIGHT_BITS}})
        if progress:
            progress(f"block, {name}, {pattern}: {rows[-1]['missed']:.4f}")

    add("dense", DENSE, [data.block])
    for pattern in patterns:
        add("one-shot", pattern, [prune(data.block, pattern, shared_by)])
        for recipe in recipes:
            add(recipe.name, pattern, [data.train(recipe, pattern, epochs, seed) for seed in range(seeds)])
    return {"epochs": epochs, "seeds": seeds, "shared_by": shared_by, "training_vectors": _flat(training).shape[0],
            "evaluation_vectors": _flat(data.part("evaluation").inputs).shape[0], "rows": rows,
            "differences": differences(rows, "each")}


def _rounded(quality):
    return {key: round(value, 4) for key, value in quality.items()}
