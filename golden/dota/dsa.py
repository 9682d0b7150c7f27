"""Dynamic sparse attention: estimated scores, selection, metrics, and one head in integers (thesis 7.3, 7.4.3).

Scores are estimated in low precision, the strongest connections of each row are selected, and only those are
computed exactly. The calibration of the predictor is in ``golden.dota.calibrate``.
"""

import numpy as np

from golden.arith.fixed import requantize
from golden.dota import mfu
from golden.dota.calibrate import round_to, shift_right

__all__ = ["balanced_mask", "cosine", "estimated_scores", "integer_head", "output_error", "prediction_accuracy",
           "retained_mass", "threshold_mask"]


def estimated_scores(predictor, x):
    """S~ of all heads, (texts, heads, tokens, tokens), whole numbers in floats; x real (texts, tokens, d).

    Bit-exact to the integer pipeline: X to FX16, then Xq, XP, Q~ and K~ at the predictor's precision and S~,
    each one requantized.
    """
    longest = max(predictor.query.shape[-1], 0 if predictor.projection is None else predictor.projection.shape[-1])
    # No sum of products exceeds this; float32 holds whole numbers up to 2^24 exactly.
    real = np.float32 if longest << 2 * (predictor.bits - 1) <= 1 << 24 else np.float64
    view = shift_right(round_to(x.astype(np.float64), predictor.input_scale, 16), predictor.shift_x, predictor.bits)
    view = view.astype(real)
    if predictor.projection is not None:
        view = shift_right(view @ predictor.projection.T.astype(real), predictor.shift_p, predictor.bits)
    factors = []
    for weights, shift in ((predictor.query, predictor.shift_query), (predictor.key, predictor.shift_key)):
        heads, rank, columns = weights.shape
        sums = (view @ weights.reshape(-1, columns).T.astype(real)).reshape(*view.shape[:2], heads, rank)
        factors.append(shift_right(sums.swapaxes(1, 2), _per_head(shift, real), predictor.bits))
    scores = factors[0] @ factors[1].swapaxes(-1, -2)
    return shift_right(scores, _per_head(predictor.shift_score, real), predictor.score_bits)


def _per_head(shift, real):
    return np.asarray(shift, real)[:, None, None]


def balanced_mask(scores, count):
    """True at each row's min(count, keys) greatest scores; among equal scores the lower key index first.

    ``scores``: whole numbers or reals, (..., rows, keys). The rule of the detector's balanced mode.
    """
    keys = scores.shape[-1]
    if count < 1:
        raise ValueError(f"count = {count} is not allowed: it must be at least 1")
    if count >= keys:
        return np.ones(scores.shape, bool)
    least = np.partition(scores, keys - count, axis=-1)[..., keys - count, None]
    above = scores > least
    equal = scores == least
    room = count - above.sum(-1, keepdims=True)
    return above | (equal & (np.cumsum(equal, -1) <= room))


def threshold_mask(scores, threshold):
    """True where score >= threshold. The rule of the detector's threshold mode; rows may be empty."""
    return scores >= threshold


def prediction_accuracy(true_scores, mask):
    """Share of the selected connections that are among the true top n of their row, n = selected in that row.

    Thesis 7.4.3. Shapes (..., rows, keys); the result drops the last two axes. Rows with n = 0 count as 1.
    """
    order = np.argsort(-true_scores, axis=-1, kind="stable")
    hits = np.take_along_axis(mask, order, -1)
    chosen = mask.sum(-1)
    found = np.where(np.arange(mask.shape[-1]) < chosen[..., None], hits, False).sum(-1)
    return np.where(chosen, found / np.maximum(chosen, 1), 1.0).mean(-1)


def retained_mass(weights, mask):
    """Share of the attention weights that falls on selected connections, mean over rows."""
    return np.where(mask, weights, 0).sum(-1).mean(-1)


def output_error(output, reference):
    """Relative error ||output - reference|| / ||reference||."""
    return float(np.linalg.norm(output - reference) / np.linalg.norm(reference))


def cosine(a, b):
    """Cosine similarity along the last axis."""
    return (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


def integer_head(job, mode="dense"):
    """Every stage of one head's job in integers: dict of int64 arrays.

    ``job``: ``golden.workloads.head_job.HeadJob``; ``mode``: "dense", "balanced" or "threshold". Keys: q, k, v
    (n, w), scores (n, n; 0 outside the mask), mask (n, n) bool, weights (n, n) Q0.15, z (n, w); with detection
    also x_low, xp, q_low, k_low, scores_low; "saturated": how many values of q, k, v, scores, z hit a limit.
    """
    if mode not in ("dense", "balanced", "threshold"):
        raise ValueError(f"mode = {mode!r} is not allowed: it must be one of dense, balanced, threshold")
    stages = {name: _product(job.x, getattr(job, "w" + name), getattr(job, "shift_" + name), 16) for name in "qkv"}
    if mode == "dense":
        mask = np.ones((job.tokens, job.tokens), bool)
    else:
        stages |= _detect(job)
        low = stages["scores_low"]
        mask = balanced_mask(low, job.count) if mode == "balanced" else threshold_mask(low, job.threshold)
    scores = np.where(mask, _product(stages["q"], stages["k"], job.shift_s, 16), 0)
    weights = mfu.softmax(scores, mask, *mfu.softmax_scale(job.softmax_scale)).astype(np.int64)
    stages |= {"mask": mask, "scores": scores, "weights": weights,
               "z": _product(weights, stages["v"].T, job.shift_z, 16)}
    stages["saturated"] = int(sum((np.abs(stages[name]) >= 32767).sum() for name in ("q", "k", "v", "scores", "z")))
    return stages


def _product(a, b, shift, bits):
    """requantize(a . b^T), exact."""
    return requantize(a @ b.T, shift, bits)


def _detect(job):
    bits = job.precision.bits
    low = requantize(job.x, job.shift_x, bits)
    projected = low if job.p is None else _product(low, job.p, job.shift_p, bits)
    q = _product(projected, job.wq_low, job.shift_q_low, bits)
    k = _product(projected, job.wk_low, job.shift_k_low, bits)
    return {"x_low": low, "xp": projected, "q_low": q, "k_low": k, "scores_low": _product(q, k, job.shift_d, 8)}
