"""Training of the Screener (thesis 6.3.3, Algorithm 3) and its integers.

The loss of Eq. 6.4, E ||(W h + b) - (W' P h + b')||^2 over hidden vectors h, is quadratic, so its minimum is found in
closed form where the thesis descends by gradients. W h is linear in h: the best W' P h + b' is W, b of the best
prediction of h from P h. One regression of d numbers on k trains all classes, and W h is never computed.

Stage by stage, each fitted to the quantized output of the one before:

1. P and the mean mu of the hidden vectors: features P (h - mu), computed on the host.
2. Features become INT4 with a scale an item (unsigned 16 bits), chosen at run time where the squared error is least.
3. W' by ridge regression on the quantized features, then to INT4: a class's clipping point is where the error of its
   product with the features is least, its scale the least-squares one for its integers.
4. Scales become 16-bit integers, with one shift for all; the bias (Q15.16) fits the quantized weights.

Formats: docs/enmc/machine.md.
"""

import dataclasses

import numpy as np

from golden.arith.fixed import signed_range
from golden.dota.calibrate import orthogonal, round_to
from golden.duet.dmi import Regression, quantize_rows, random_projection
from golden.enmc.screening import FRACTION, MAX_SHIFT, approximate_scores

__all__ = ["KINDS", "ItemFormat", "TrainedScreener", "calibrated_threshold", "centred_layer",
           "classifier_scores", "projection_matrix", "train"]

KINDS = ("ternary", "pca")
_SCALE_MAX = (1 << 16) - 1
_CLIPPINGS = (1, 0.9, 0.8, 0.7, 0.6, 0.5)  # of an item's greatest feature
_MARGIN = 2  # scale of an item above the greatest one seen in training, before it saturates
_BITS = 4
_CLASSES_AT_ONCE = 4096
_ITEMS_AT_ONCE = 128


def projection_matrix(kind, k, hidden, seed=0):
    """P, float64 (k, d), for hidden vectors ``hidden`` (samples, d).

    "ternary": sqrt(3 / k) times +-1 with probability 1/6 each, else 0 (thesis 6.3.2). "pca": the k directions of
    greatest variance, turned so that the variance is spread over all features, as INT4 needs; dense.
    """
    d = hidden.shape[1]
    if kind not in KINDS:
        raise ValueError(f"kind = {kind!r} is not allowed: it must be one of {', '.join(KINDS)}")
    if not 1 <= k <= d:
        raise ValueError(f"k = {k} is not allowed: it must be from 1 to {d}, the width of a hidden vector")
    if kind == "ternary":
        return random_projection(k, d, seed)
    _, directions = np.linalg.eigh(np.cov(hidden, rowvar=False))
    return orthogonal(k) @ directions[:, ::-1][:, :k].T


@dataclasses.dataclass(frozen=True)
class ItemFormat:
    """How an item's features become INT4: x = integer * scale / 2^``fraction``, scale of 16 bits unsigned."""

    fraction: int

    @classmethod
    def for_features(cls, features):
        """The finest format that holds ``features`` (samples, k) with a margin."""
        step = _MARGIN * max(float(np.abs(features).max()), np.finfo(np.float32).tiny) / signed_range(_BITS)[1]
        return cls(int(np.clip(np.floor(np.log2(_SCALE_MAX / step)), 0, 31)))

    def quantize(self, features):
        """(INT4 (n, k), scales (n,)), both int64, of least squared error for float ``features`` (n, k).

        An item whose features are too large for 16 bits of scale saturates.
        """
        high = signed_range(_BITS)[1]
        least = np.full(len(features), np.inf)
        integers, scales = np.zeros(features.shape, np.int64), np.ones(len(features), np.int64)
        greatest = np.abs(features).max(1)
        for clipping in _CLIPPINGS:
            trial = np.clip(np.round(greatest * clipping / high * 2.0 ** self.fraction), 1, _SCALE_MAX)
            step = trial[:, None] / 2.0 ** self.fraction
            rounded = round_to(features, step, _BITS)
            errors = np.square(rounded * step - features).sum(1)
            better = errors < least
            least = np.where(better, errors, least)
            integers[better], scales[better] = rounded[better], trial[better]
        return integers, scales

    def real(self, integers, scales):
        """Features (n, k) that ``integers`` and ``scales`` stand for, float64."""
        return integers * (scales[:, None] / 2.0 ** self.fraction)


@dataclasses.dataclass(frozen=True)
class TrainedScreener:
    """The Screener's parameters, host and machine, for a layer with ``classes`` outputs and d inputs.

    Host: ``projection`` P (k, d) and ``mean`` (d,), float64; ``items``: format of the features, None for a float
    reference. Machine: ``weight`` INT4 (classes, k), ``scale`` unsigned 16 bits (classes,), ``bias`` INT32 (classes,),
    ``shift``. Float reference: ``weight``, ``bias`` as they are in Eq. 6.3; ``scale`` None.
    """

    kind: str
    projection: np.ndarray
    mean: np.ndarray
    items: ItemFormat | None
    weight: np.ndarray
    scale: np.ndarray | None
    bias: np.ndarray
    shift: int

    @property
    def k(self):
        """Features."""
        return len(self.projection)

    def features(self, hidden):
        """P (h - mu): float64 (n, k) of ``hidden`` (n, d). Raises ``ValueError`` for another shape."""
        if hidden.ndim != 2 or hidden.shape[1] != len(self.mean):
            raise ValueError(f"hidden has shape {hidden.shape}: it must be (n, {len(self.mean)})")
        return (hidden - self.mean) @ self.projection.T

    def quantized(self, hidden):
        """What the host sends: INT4 features (n, k) and scales (n,)."""
        return self.items.quantize(self.features(hidden))

    def scores(self, hidden):
        """Scores of all classes: int64 (n, classes) Q15.16, or float32 of a float reference."""
        if self.items is None:
            features = self.features(hidden).astype(np.float32)
            return features @ self.weight.astype(np.float32).T + self.bias.astype(np.float32)
        integers, scales = self.quantized(hidden)
        return approximate_scores(self.weight, integers, self.scale, scales, self.bias, self.shift)


def centred_layer(weight, bias):
    """The layer less its mean class: float32 (weight, bias) whose results have mean 0 over the classes of every item.

    Softmax, and the order of the classes, are the same. The machine has one threshold, while the mean of a layer's
    results may differ much from item to item: without this a threshold finds thousands of candidates for one item and
    none for the next. Not for a layer that ends in sigmoid.
    """
    return ((weight - weight.mean(0, dtype=np.float64)).astype(np.float32),
            (bias - bias.mean(dtype=np.float64)).astype(np.float32))


def classifier_scores(weight, bias, hidden):
    """The full layer, W h + b: float32 (n, classes) of ``hidden`` (n, d)."""
    return hidden.astype(np.float32) @ weight.T + bias


def train(weight, bias, hidden, k, kind="ternary", *, integer=True, seed=0):
    """The :class:`TrainedScreener` of a layer ``weight`` (classes, d), ``bias`` (classes,).

    ``hidden`` (samples, d): vectors to train on, float. ``integer`` False: a float reference. Raises ``ValueError`` on
    bad shapes, numbers that are not finite, or a layer whose results do not fit Q15.16.
    """
    if weight.ndim != 2 or bias.shape != weight.shape[:1] or hidden.ndim != 2 or hidden.shape[1] != weight.shape[1]:
        raise ValueError(f"weight has shape {weight.shape}, bias {bias.shape}, hidden {hidden.shape}: they must be "
                         "(classes, d), (classes,) and (samples, d)")
    if len(hidden) < 2 or not all(np.isfinite(array).all() for array in (weight, bias, hidden)):
        raise ValueError("hidden must have at least 2 samples, and all numbers must be finite")
    hidden = hidden.astype(np.float64)
    projection, mean = projection_matrix(kind, k, hidden, seed), hidden.mean(0)
    features = (hidden - mean) @ projection.T
    items = ItemFormat.for_features(features) if integer else None
    if integer:
        features = items.real(*items.quantize(features))
    regression = Regression(k, hidden.shape[1])
    regression.add(features, hidden)
    to_hidden, offset = regression.solve()  # h is about to_hidden x + offset
    small, target = weight @ to_hidden, bias + weight @ offset
    if not integer:
        return TrainedScreener(kind, projection, mean, None, small, None, target, 0)
    integers, scales = _quantized_weights(small, regression.covariance)
    scale_integers, fraction = _scale_integers(scales, items.fraction)
    target = bias + weight @ mean - scale_integers / 2.0 ** fraction * (integers @ features.mean(0))
    fixed = np.round(target * 2.0 ** FRACTION)
    low, high = signed_range(32)
    if fixed.min() < low or fixed.max() > high:
        raise ValueError(f"bias reaches {np.abs(target).max():g}: outside of Q15.16")
    return TrainedScreener(kind, projection, mean, items, integers, scale_integers, fixed.astype(np.int64),
                    fraction + items.fraction - FRACTION)


def _quantized_weights(small, covariance):
    """INT4 integers and scales of ``small`` (classes, k), for features of ``covariance``; some classes at a time."""
    integers, scales = [], []
    for start in range(0, len(small), _CLASSES_AT_ONCE):
        part = small[start:start + _CLASSES_AT_ONCE]
        rounded, _ = quantize_rows(part, _BITS, covariance)
        spread = rounded @ covariance
        power = (spread * rounded).sum(1)
        integers.append(rounded)
        scales.append(np.where(power > 0, np.maximum((spread * part).sum(1), 0) / np.where(power > 0, power, 1), 0))
    return np.concatenate(integers), np.concatenate(scales)


def _scale_integers(scales, item_fraction):
    """(16-bit integers, fraction bits) of the classes' ``scales``, such that the shift is one the machine has."""
    fraction = int(np.floor(np.log2(_SCALE_MAX / max(scales.max(), np.finfo(np.float32).tiny))))
    fraction = min(fraction, MAX_SHIFT + FRACTION - item_fraction)
    if fraction + item_fraction < FRACTION:
        raise ValueError(f"the layer's scores are too large for Q15.16: scale {scales.max():g} of a class")
    return np.round(scales * 2.0 ** fraction).astype(np.int64), fraction


def calibrated_threshold(screener, hidden, candidates):
    """The least threshold (Q15.16) at which ``hidden`` (samples, d) have at most ``candidates`` a sample on average.

    Raises ``ValueError`` for a count that is not from 1 to the number of classes.
    """
    classes = len(screener.weight)
    if not 1 <= candidates <= classes:
        raise ValueError(f"candidates = {candidates} is not allowed: it must be from 1 to {classes}")
    wanted = int(candidates * len(hidden))
    pool = np.zeros(0, np.int64)  # the wanted + 1 greatest scores so far
    bound = signed_range(32)[0]
    for start in range(0, len(hidden), _ITEMS_AT_ONCE):
        scores = screener.scores(hidden[start:start + _ITEMS_AT_ONCE])
        pool = np.concatenate([pool, scores[scores > bound]])
        if len(pool) > wanted:
            pool = np.partition(pool, -wanted - 1)[-wanted - 1:]
            bound = int(pool[0])
    return bound
