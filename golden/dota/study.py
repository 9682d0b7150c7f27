"""Quality of dynamic sparse attention on a whole trained model, without retraining (thesis 7.4.3).

Every head of every layer selects its connections with the integer predictor; the rest of the model is float32.
Two kinds of numbers: per layer and head, on the dense model's activations, prediction accuracy, retained mass
and output error; and for the whole model, selection active in all layers at once, the cosine between its
sentence embeddings and the dense model's.
"""

import copy
import dataclasses

import numpy as np

from golden.dota.calibrate import calibrate
from golden.dota.dsa import balanced_mask, cosine, estimated_scores, prediction_accuracy, retained_mass
from golden.workloads.fold import replace_column
from golden.workloads.head_job import selected_count
from golden.workloads.minilm import HEAD_WIDTH, LAYERS, softmax
from golden.workloads.text import calibration_windows, evaluation_windows

__all__ = ["DEFAULT_CHOICES", "PRECISIONS", "RETENTIONS", "SIGMAS", "DetectorChoice", "Study", "full_choices", "study"]

RETENTIONS = (0.05, 0.1, 0.2, 0.4)
SIGMAS = (0.1, 0.16, 0.2, 0.25, 0.33)
PRECISIONS = (16, 8, 4, 2)
#: Built-in evaluation passages that no choice in ``golden.dota.calibrate`` was made on; it was made on the six before.
HELD_OUT = slice(6, 14)


@dataclasses.dataclass(frozen=True)
class DetectorChoice:
    """A predictor to study; ``sigma`` counts for "ternary" only, ``rank`` None is the default of ``calibrate``."""

    kind: str = "ternary"
    bits: int = 4
    sigma: float = 0.25
    rank: int | None = None

    def record(self):
        """Plain data for a report."""
        precision = "FX16" if self.bits == 16 else f"INT{self.bits}"
        size = {"sigma": self.sigma} if self.kind == "ternary" else {"rank": self.rank or 8}
        return {"detector": self.kind, "precision": precision, **size}


DEFAULT_CHOICES = (
    *(DetectorChoice(bits=bits) for bits in PRECISIONS),
    *(DetectorChoice(sigma=sigma) for sigma in SIGMAS if sigma != 0.25),
    *(DetectorChoice("svd", bits, rank=8) for bits in PRECISIONS),
    DetectorChoice("svd", 4, rank=4), DetectorChoice("svd", 4, rank=16))


def full_choices():
    """Every sigma at every precision, and ranks 4, 8, 16 at every precision (several minutes)."""
    return (*(DetectorChoice(bits=bits, sigma=sigma) for sigma in SIGMAS for bits in PRECISIONS),
            *(DetectorChoice("svd", bits, rank=rank) for rank in (4, 8, 16) for bits in PRECISIONS))


def _true_scores(trace):
    return trace.q @ trace.k.swapaxes(-1, -2) * np.float32(HEAD_WIDTH ** -0.5)


class Study:
    """Calibration and evaluation data of one model, and the measurements on them.

    ``ids`` and ``calibration_ids``: int64 (texts, tokens), from disjoint texts. Calibrated predictors are kept.
    """

    def __init__(self, model, ids, calibration_ids, seed=0):
        self.model, self.seed = model, seed
        self.folds = [replace_column(*model.layer_norm_parameters(layer)) for layer in range(LAYERS)]
        self.calibration, self._predictors = [], {}
        model.forward(calibration_ids, traces=self.calibration)
        self._evaluate_on(ids)

    def _evaluate_on(self, ids):
        self.ids, self.traces = ids, []
        hidden = self.model.forward(ids, traces=self.traces).mean(1)
        self.reference = hidden / np.linalg.norm(hidden, axis=-1, keepdims=True)
        self.scores = [_true_scores(trace) for trace in self.traces]

    def on(self, ids):
        """A study of other passages with the same predictors."""
        other = copy.copy(self)
        other._evaluate_on(ids)
        return other

    def predictors(self, choice):
        """Calibrated predictors of all layers."""
        if choice not in self._predictors:
            self._predictors[choice] = [
                calibrate(fold.inputs(trace.x), trace.q, trace.k, choice.kind, choice.bits, choice.sigma, choice.rank,
                          self.seed) for fold, trace in zip(self.folds, self.calibration)]
        return self._predictors[choice]

    def masks(self, choice, layer, trace, count):
        """Selected connections, bool (texts, heads, tokens, tokens); ``choice`` may be "oracle" or "random"."""
        if choice == "oracle":
            scores = _true_scores(trace)
        elif choice == "random":
            shape = (*trace.q.shape[:3], trace.q.shape[2])
            scores = np.random.default_rng((self.seed, layer)).random(shape, np.float32)
        else:
            scores = estimated_scores(self.predictors(choice)[layer], self.folds[layer].inputs(trace.x))
        return balanced_mask(scores, count)

    def embedding_cosine(self, choice, retention):
        """Cosine to the dense model's embedding with selection in all layers: (texts,)."""
        count = selected_count(self.ids.shape[1], retention)

        def attention(layer, trace):
            return softmax(_true_scores(trace), self.masks(choice, layer, trace, count)) @ trace.v

        return cosine(self.model.embed(self.ids, attention), self.reference)

    def heads(self, choice, retention):
        """Per layer and head, on dense activations: dict of (layers, heads) arrays, means over texts."""
        count = selected_count(self.ids.shape[1], retention)
        accuracy, mass, error = [], [], []
        for layer, (trace, scores) in enumerate(zip(self.traces, self.scores)):
            mask = self.masks(choice, layer, trace, count)
            weights = softmax(scores)
            dense, sparse = weights @ trace.v, softmax(scores, mask) @ trace.v
            accuracy.append(prediction_accuracy(scores, mask).mean(0))
            mass.append(retained_mass(weights, mask).mean(0))
            error.append(np.sqrt(np.square(sparse - dense).sum((0, 2, 3)) / np.square(dense).sum((0, 2, 3))))
        return {"accuracy": np.array(accuracy), "mass": np.array(mass), "error": np.array(error)}


def study(model, tokens=128, texts=4, calibration_texts=32, retentions=RETENTIONS, choices=DEFAULT_CHOICES,
          head_retention=0.1, seed=0, ids=None, progress=None):
    """Sweep retention x detector: a dict of plain lists and numbers for a report.

    ``ids``: int64 (texts, tokens) to evaluate on instead of the built-in evaluation text. "whole_model" has a row per
    choice and retention, the oracle (exact top n) and a random selection first; "heads" has, per choice at
    ``head_retention``, accuracy, mass and error as [layer][head] and their means per layer; "held_out" the cosines of
    the bounds and the two main detectors at ``head_retention`` on the passages :data:`HELD_OUT` (None with ``ids``).
    Raises ValueError on bad input.
    """
    for retention in (*retentions, head_retention):
        selected_count(tokens, retention)
    held_out = evaluation_windows(model, tokens, HELD_OUT.stop)[HELD_OUT] if ids is None else None
    ids = evaluation_windows(model, tokens, texts) if ids is None else np.atleast_2d(ids)
    work = Study(model, ids, calibration_windows(model, tokens, calibration_texts), seed)
    whole, heads = [], []
    for choice in ("oracle", "random", *choices):
        record = _record(choice)
        for retention in retentions:
            cosines = work.embedding_cosine(choice, retention)
            whole.append({**record, "retention": retention, "cosine": round(float(cosines.mean()), 4),
                          "cosine_least": round(float(cosines.min()), 4)})
        measured = work.heads(choice, head_retention)
        heads.append({**record, "retention": head_retention,
                      **{name: values.round(4).tolist() for name, values in measured.items()},
                      **{name + "_per_layer": values.mean(1).round(4).tolist() for name, values in measured.items()}})
        if progress:
            progress(", ".join(f"{key} {value}" for key, value in record.items()) + ": cosine "
                     + " ".join(f"{row['retention']:.0%} {row['cosine']:.3f}" for row in whole[-len(retentions):]))
    return {"tokens": int(ids.shape[1]), "evaluation_texts": len(ids), "calibration_texts": calibration_texts,
            "seed": seed, "retraining": False, "whole_model": whole, "heads": heads,
            "held_out": None if held_out is None else _held_out(work.on(held_out), head_retention)}


def _record(choice):
    return {"detector": choice} if isinstance(choice, str) else choice.record()


def _held_out(work, retention):
    """Cosines on passages that nothing was chosen on."""
    rows = [{**_record(choice), "retention": retention,
             "cosine": round(float(work.embedding_cosine(choice, retention).mean()), 4)}
            for choice in ("oracle", "random", DetectorChoice(), DetectorChoice("svd", 4, rank=8))]
    return {"texts": len(work.ids), "rows": rows}
