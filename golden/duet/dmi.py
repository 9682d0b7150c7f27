"""Dual-module inference: a little module that imitates a trained layer, and the switching to it (thesis, chapter 3).

A layer z = f(y), y = W x + b, gets a little module y' = W' P x + b' with a ternary random projection P (k x d) and a
small W' (n x k). Outputs for which y' is in the *insensitive* region of f keep the little module's result (m = 0);
the others are computed by the layer (m = 1): y = y_acc * m + y' * (1 - m) (Eq. 3.5).

Numbers are float here; ``golden.duet.calibrate`` makes the integers of the hardware. Arrays hold a position or a time
step a row. A function f is a ``speculator_mfu.Function``: RELU, SIGMOID or TANH.
"""

import dataclasses
import math

import numpy as np

from golden.arith.fixed import signed_range
from golden.dota.calibrate import ternary_matrix
from golden.duet.speculator_mfu import Function

__all__ = ["LittleModule", "Regression", "adaptive_threshold", "assemble", "block_projection", "insensitive_ratio",
           "needed", "quantize_rows", "random_projection", "reduced_dimension", "top_k_needed", "train_sgd"]

_CLIPPINGS = (1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)  # of the greatest weight of a row
_RIDGE = 1e-4


def reduced_dimension(outputs, epsilon):
    """k of Eq. 3.9, 4 ln(n) / (epsilon^2 / 2 - epsilon^3 / 3), rounded down as in Table 3.4.

    ``outputs``: n, for an LSTM the neurons of all four gates. ``epsilon`` between 0 and 1.
    """
    if outputs < 2:
        raise ValueError(f"outputs = {outputs} is not allowed: it must be at least 2")
    if not 0 < epsilon < 1:
        raise ValueError(f"epsilon = {epsilon} is not allowed: it must be between 0 and 1")
    return int(4 * math.log(outputs) / (epsilon ** 2 / 2 - epsilon ** 3 / 3))


def random_projection(k, d, seed=0):
    """P of Eq. 3.6, float64 (k, d): sqrt(3 / k) times +1 (probability 1/6), 0 (2/3) or -1 (1/6)."""
    return math.sqrt(3 / k) * ternary_matrix(k, d, seed)


def block_projection(sizes, seed=0):
    """A block-diagonal P of independent projections; ``sizes``: (k, d) of each block.

    Two blocks are the Px and Ph of a recurrent layer (Eq. 3.20), which are applied to x and h side by side.
    """
    projection = np.zeros([sum(size) for size in zip(*sizes)])
    row = column = 0
    for number, (k, d) in enumerate(sizes):
        projection[row:row + k, column:column + d] = random_projection(k, d, (seed, number))
        row, column = row + k, column + d
    return projection


def quantize_rows(weight, bits, gram=None):
    """One-time uniform quantization of ``weight`` (n, k): ``bits``-bit integers (n, k), and a scale a row (n,).

    A row is clipped where its squared error is least; with ``gram`` = E[z z^T] (k, k) the error of its product with z.
    """
    low, high = signed_range(bits)
    greatest = np.abs(weight).max(1)
    greatest = np.where(greatest > 0, greatest, 1)
    scales = np.array([greatest * clipping / high for clipping in _CLIPPINGS])
    integers = np.clip(np.round(weight / scales[:, :, None]), low, high)
    errors = integers * scales[:, :, None] - weight
    best = (errors * (errors if gram is None else errors @ gram)).sum(2).argmin(0)
    rows = np.arange(len(weight))
    return integers[best, rows].astype(np.int64), scales[best, rows]


class Regression:
    """Least squares of y (n columns) on z (k columns) and a constant, from data that come in pieces.

    The minimiser of Eq. 3.12, and so of the Kullback-Leibler divergence that it stands for, in closed form.
    """

    def __init__(self, k, n):
        self.samples = 0
        self.gram = np.zeros((k + 1, k + 1))
        self.cross = np.zeros((k + 1, n))
        self.squares = np.zeros(n)

    def add(self, z, y):
        """Take in ``z`` (samples, k) and ``y`` (samples, n)."""
        z = np.concatenate([z, np.ones((len(z), 1), z.dtype)], 1)
        self.samples += len(z)
        self.gram += z.T @ z
        self.cross += z.T @ y
        self.squares += np.square(y, dtype=np.float64).sum(0)

    @property
    def covariance(self):
        """Of z, without the mean: (k, k)."""
        mean = self.gram[-1, :-1] / self.samples
        return self.gram[:-1, :-1] / self.samples - np.outer(mean, mean)

    def solve(self):
        """(W' (n, k), b' (n,)) of least squared error; a ridge of 1e-4 of the mean variance keeps it defined."""
        mean, target = self.gram[-1, :-1] / self.samples, self.cross[-1] / self.samples
        covariance = self.covariance
        ridge = _RIDGE * np.trace(covariance) / len(covariance) + np.finfo(float).tiny
        cross = self.cross[:-1] / self.samples - np.outer(mean, target)
        weight = np.linalg.solve(covariance + ridge * np.eye(len(covariance)), cross).T
        return weight, target - weight @ mean

    def error(self, weight, bias):
        """Mean squared error (n,) of y on W' z + b'."""
        joined = np.concatenate([weight, bias[:, None]], 1)
        return (self.squares - 2 * (joined * self.cross.T).sum(1) + (joined @ self.gram * joined).sum(1)) / self.samples


def train_sgd(z, y, epochs=20, batch=32, rate=0.5, seed=0):
    """(W' (n, k), b' (n,)) by stochastic gradient descent on Eq. 3.12, as Algorithm 1 has it; rate falls to 0 linearly.

    ``z`` (samples, k) is P x, ``y`` (samples, n) the layer's pre-activations. Columns of z are standardised first and
    the rate is divided by the greatest eigenvalue of their covariance, so 0 < ``rate`` <= 1 converges.
    """
    rng = np.random.default_rng(seed)
    mean, deviation = z.mean(0), z.std(0) + 1e-9
    u = (z - mean) / deviation
    rate = rate / (np.linalg.eigvalsh(u.T @ u / len(u))[-1] + 1)
    weight, bias = np.zeros((y.shape[1], z.shape[1])), np.zeros(y.shape[1])
    steps, done = epochs * -(-len(u) // batch), 0
    for _ in range(epochs):
        order = rng.permutation(len(u))
        for start in range(0, len(u), batch):
            pick = order[start:start + batch]
            error = u[pick] @ weight.T + bias - y[pick]
            pace = rate * (1 - done / steps)
            weight -= pace * error.T @ u[pick] / len(pick)
            bias -= pace * error.mean(0)
            done += 1
    return weight / deviation, bias - weight / deviation @ mean


@dataclasses.dataclass(frozen=True)
class LittleModule:
    """y' = W' P Q(x) + b': ``projection`` (k, d), ``weight`` (n, k), ``bias`` (n,).

    Inputs are rounded to ``input_bits`` bits, the greatest of which is ``input_range``, one for all or one for each
    (d,); ``input_bits`` None leaves them as they are.
    """

    projection: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    input_bits: int | None
    input_range: float | np.ndarray

    @classmethod
    def fit(cls, projection, x, y, weight_bits=4, input_bits=4, input_range=None):
        """The little module for inputs ``x`` (samples, d) and pre-activations ``y`` (samples, n) of the layer.

        It is fitted on quantized inputs; then its weights are quantized to ``weight_bits`` (16, 8, 4, 2, or None for
        float) and the bias is made to fit the quantized weights. ``input_range``: by default the greatest input.
        """
        draft = cls(projection, None, None, input_bits, np.abs(x).max() if input_range is None else input_range)
        z = draft.projected(x)
        regression = Regression(z.shape[1], y.shape[1])
        regression.add(z, y)
        weight, bias = regression.solve()
        if weight_bits is not None:
            integers, scale = quantize_rows(weight, weight_bits, regression.covariance)
            weight = integers * scale[:, None]
            bias = y.mean(0) - weight @ z.mean(0)
        return dataclasses.replace(draft, weight=weight, bias=bias)

    def projected(self, x):
        """P Q(x): (samples, k)."""
        if self.input_bits is not None:
            low, high = signed_range(self.input_bits)
            step = self.input_range / high
            x = np.clip(np.round(x / step), low, high) * step
        return x @ self.projection.T

    def __call__(self, x):
        """Approximate pre-activations (samples, n) of inputs ``x`` (samples, d)."""
        return self.projected(x) @ self.weight.T + self.bias


def needed(y, function, threshold):
    """m of Eq. 3.17: sigmoid, tanh: 0 where |y'| > threshold; ReLU: 0 where y' < threshold; else 1. Bool, as ``y``."""
    return y >= threshold if Function(function) == Function.RELU else np.abs(y) <= threshold


def adaptive_threshold(function, error, tolerance):
    """The threshold of Eq. 3.18 for |delta| = ``error`` of the little module and theta = ``tolerance`` of z.

    The thesis takes |delta| = ||y - y'||_2 / n over the n outputs, which is the root mean square error over sqrt(n);
    any other measure of the error can be given.
    """
    if error <= 0 or tolerance <= 0:
        raise ValueError(f"error = {error}, tolerance = {tolerance} are not allowed: both must be above 0")
    function = Function(function)
    if function == Function.RELU:
        return tolerance - error
    return max(0.0, math.log(error / tolerance) if function == Function.SIGMOID
               else math.log(2 * error / tolerance) / 2)


def top_k_needed(y, function, count):
    """m of Eq. 3.19: in each row of ``y`` (samples, n) exactly ``count`` ones, where the function is most sensitive.

    That is the greatest y' for ReLU. For sigmoid and tanh Eq. 3.19 says the greatest |y'|; Eq. 3.17 and the text say
    that the sensitive outputs are those of small |y'|, which are taken here. Of equal ones the first counts.
    """
    if not 0 <= count <= y.shape[1]:
        raise ValueError(f"count = {count} is not allowed: it must be from 0 to {y.shape[1]}")
    order = np.argsort(-y if Function(function) == Function.RELU else np.abs(y), 1, kind="stable")
    mask = np.zeros(y.shape, bool)
    np.put_along_axis(mask, order[:, :count], True, 1)
    return mask


def assemble(accurate, approximate, mask):
    """Eq. 3.5: ``accurate`` where ``mask`` is 1, ``approximate`` where it is 0."""
    return np.where(mask, accurate, approximate)


def insensitive_ratio(mask):
    """Share of the outputs that the little module gives."""
    return 1 - float(np.mean(mask))
