"""What screening does to the answers of a real output layer, and what it saves (thesis 6.3; docs/enmc/screening.md).

Every vector is classified in full and with screening. Agreement of the greatest result hides damage, since results that
are not among the candidates keep their estimates: so the perplexity is measured beside where the right class is known.
"""

import dataclasses

import numpy as np

from golden.enmc.layout import MAX_CHUNKS, Layout, chunks
from golden.enmc.screener_training import KINDS, calibrated_threshold, classifier_scores, train
from golden.enmc.screening import above_threshold, greatest, log_sum_exp, real_scores, traffic

__all__ = ["COUNTS", "REDUCTIONS", "SELECTIONS", "Vectors", "agreement", "losses", "perplexity", "study"]

COUNTS = (32, 128, 512)
REDUCTIONS = (8, 4, 2)
SELECTIONS = ("top", "threshold")
_ITEMS_AT_ONCE = 64
_THRESHOLD_ITEMS = 1024  # vectors to find a threshold on
_BEST = 5


@dataclasses.dataclass(frozen=True)
class Vectors:
    """Hidden vectors (n, d) float32 and the class that is right for each (n,), -1 where none is known."""

    hidden: np.ndarray
    targets: np.ndarray

    def parts(self):
        """A part of the vectors at a time: results of all classes are large."""
        for start in range(0, len(self.hidden), _ITEMS_AT_ONCE):
            yield (self.hidden[start:start + _ITEMS_AT_ONCE], self.targets[start:start + _ITEMS_AT_ONCE])


def losses(scores, targets):
    """-log softmax(scores)[target] of each row: float64 (n,), nan where there is no target."""
    known = targets >= 0
    loss = np.full(len(scores), np.nan)
    loss[known] = log_sum_exp(scores[known]) - scores[known, targets[known]]
    return loss


def perplexity(loss):
    """exp of the mean ``loss`` of the vectors that have one, three decimals; None where none has."""
    return round(float(np.exp(np.nanmean(loss))), 3) if np.isfinite(loss).any() else None


def _best(scores):
    """The classes of the five greatest scores in each row, in no order: (n, 5)."""
    return np.argpartition(scores, -_BEST, 1)[:, -_BEST:]


def agreement(full, mixed, candidates, targets):
    """How the results ``mixed`` (n, classes) stand to those of the ``full`` layer: dict of arrays (n,).

    "candidates": how many. "found1", "found5": the greatest full result is a candidate; share of the five greatest that
    are. "top1", "top5": the greatest mixed result is the full layer's; share of the five greatest that both have.
    "loss": -log of the target's probability in ``mixed``.
    """
    rows, top, five = np.arange(len(full)), full.argmax(1), _best(full)
    common = (_best(mixed)[:, :, None] == five[:, None]).any(2)
    return {"candidates": candidates.sum(1), "found1": candidates[rows, top].astype(float),
            "found5": np.take_along_axis(candidates, five, 1).mean(1),
            "top1": (mixed.argmax(1) == top).astype(float), "top5": common.mean(1), "loss": losses(mixed, targets)}


def study(weight, bias, training, sets, counts=COUNTS, reductions=REDUCTIONS, kinds=KINDS, integers=(False, True),
          selections=SELECTIONS, seed=0, progress=None):
    """Screening of the layer ``weight`` (classes, d), ``bias`` (classes,) on ``sets`` {name: :class:`Vectors`}.

    ``training``: hidden vectors (n, d) to train on, from other text. A row for each projection, k = d / reduction,
    numbers ("INT4", or "float" for a reference; ``integers`` says which), set, one of ``selections``, and count: "top"
    has exactly that many candidates an item, "threshold", for INT4, a threshold that gives as many on average in
    training. Returns plain data for a report.
    """
    if len(weight) < max(max(counts), _BEST + 1):
        raise ValueError(f"counts = {counts} is not allowed: the layer has {len(weight)} classes")
    thinned = training[::max(1, len(training) // _THRESHOLD_ITEMS)]
    rows = []
    for kind in kinds:
        for reduction in reductions:
            for integer in integers:
                screener = train(weight, bias, training, weight.shape[1] // reduction, kind, integer=integer, seed=seed)
                chosen = {}
                if "top" in selections:
                    chosen = {("top", count): (lambda scores, count=count: greatest(scores, count)) for count in counts}
                if integer and "threshold" in selections:
                    for count in counts:
                        threshold = calibrated_threshold(screener, thinned, count)
                        chosen["threshold", count] = (
                            lambda scores, threshold=threshold: above_threshold(scores, threshold))
                for name, vectors in sets.items():
                    rows += _rows(weight, bias, screener, name, vectors, chosen)
                if progress and chosen:
                    last = [row for row in rows[-len(chosen):] if row["selection"] == selections[0]]
                    progress(f"{kind}, k = {screener.k}, {rows[-1]['numbers']}, {rows[-1]['text']}: found " + ", ".join(
                        f"{row['found1']:.3f} with {row['count']}" for row in last))
    return {"classes": len(weight), "hidden": weight.shape[1], "training_vectors": len(training), "seed": seed,
            "sets": {name: _full(weight, bias, vectors) for name, vectors in sets.items()}, "rows": rows}


def _full(weight, bias, vectors):
    """Number of vectors; the full layer's perplexity; standard deviations of its results.

    "deviation": over the classes, the mean of all vectors. "level_deviation": of the mean over the classes, from vector
    to vector.
    """
    loss, spread, level = [], [], []
    for hidden, targets in vectors.parts():
        full = classifier_scores(weight, bias, hidden)
        loss.append(losses(full, targets))
        spread.append(full.std(1))
        level.append(full.mean(1))
    return {"vectors": len(vectors.hidden), "perplexity": perplexity(np.concatenate(loss)),
            "deviation": round(float(np.concatenate(spread).mean()), 3),
            "level_deviation": round(float(np.concatenate(level).std()), 3)}


def _rows(weight, bias, screener, name, vectors, selections):
    measured, squares = {key: [] for key in selections}, 0.0
    for hidden, targets in vectors.parts():
        full, scores = classifier_scores(weight, bias, hidden), screener.scores(hidden)
        estimates = scores if screener.items is None else real_scores(scores)
        squares += np.square(estimates - full, dtype=np.float64).sum()
        for key, select in selections.items():
            candidates = select(scores)
            measured[key].append(agreement(full, np.where(candidates, full, estimates), candidates, targets))
    error = np.sqrt(squares / (len(vectors.hidden) * len(weight)))
    batch = min(4, MAX_CHUNKS // chunks(screener.k))
    rows = []
    for (selection, count), parts in measured.items():
        values = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        number = values["candidates"]
        sizes = {"classes": len(weight), "hidden": weight.shape[1], "k": screener.k}
        one, many = (traffic(Layout(items=items, **sizes), items * number.mean()) for items in (1, batch))
        rows.append({
            "projection": screener.kind, "k": screener.k, "numbers": "float" if screener.items is None else "INT4",
            "text": name, "selection": selection, "count": count, "candidates": round(float(number.mean()), 1),
            "candidates_95": int(np.quantile(number, 0.95)), "candidates_most": int(number.max()),
            **{key: round(float(values[key].mean()), 4) for key in ("found1", "found5", "top1", "top5")},
            "perplexity": perplexity(values["loss"]), "error": round(float(error), 4),
            "bytes": round(one.ratio, 5), "batch": batch, "bytes_batch": round(many.ratio, 5),
            "int4_macs": round(one.int4_macs / one.full_macs, 5), "fp32_macs": round(one.fp32_macs / one.full_macs, 6)})
    return rows
