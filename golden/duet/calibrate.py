"""Calibration of a trained layer for DUET: from float weights and sample inputs to all integers of the hardware.

Formats: docs/duet/machine.md. The Speculator sees a layer's inputs as *rows*, one output position or time step each, of
INT4 integers (samples, blocks, lanes): for a convolution a block is a group of C channels and lane t * C + c is channel
c at tap t of the kernel; for a gate the one block is the vector, line by line, and lane t * C + c of a line is its word
S c + t. P is block diagonal: k_group rows a block.

The Speculator's integers are fitted stage by stage, each to the quantized output of the one before:

1. p_shift: the power of two at which P x loses least when it becomes INT4.
2. W' and b' by least squares (``dmi.Regression``) of the layer's true pre-activations on the *integers* that the
   hardware will have. So what the truncation to INT4 takes away on average is put back by W' and b'.
3. W' to INT4 with a scale a channel; then gain and bias of each channel once more, for the quantized W'.
4. Gain and bias become ``scale`` (8 bits) and ``bias`` (12 bits). For ReLU a step of the pre-activation is a 16th (at
   8 bits) of the channel's own root mean square error, so that one threshold means the same risk in each channel.

Whole numbers are held in floats where a matrix product follows, which is exact below 2^24 or 2^53 and much faster.
"""

import dataclasses
import functools

import numpy as np

from golden.arith.fixed import requantize, signed_range
from golden.dota.calibrate import shift_right, ternary_matrix
from golden.duet.dmi import Regression, quantize_rows
from golden.duet.layer_parameters import QuantizedLayer, quantize_layer
from golden.duet.speculator_mfu import Function, activate, pre_activation
from golden.duet.switching_map import dequantize, switching_map

__all__ = ["Execution", "Speculation", "SpeculatorFormat", "buffer_projection", "calibrate_execution",
           "calibrate_speculation", "convolution_rows", "quantized_inputs", "ratio_threshold", "relu_losses",
           "relu_threshold", "vector_rows"]

_RANGE = 8.0  # of the pre-activation: of sigmoid and tanh as such, of ReLU in root mean square errors, to both sides
_LARGEST_SHIFT = 8
_THINNING = 7  # p_shift is chosen on every seventh row


@dataclasses.dataclass(frozen=True)
class SpeculatorFormat:
    """Widths of the Speculator's numbers, in bits.

    ``input_shift``: INT16 becomes INT4 by a shift right by so much. The hardware's Quantizer shifts by 12; a lesser
    shift, with saturation, is here to study. ``max_k``: projected inputs that the QDR input buffer holds, from which
    the width of a sum follows.
    """

    input_bits: int = 4
    input_shift: int = 12
    weight_bits: int = 4
    scale_bits: int = 8
    bias_bits: int = 12
    pre_bits: int = 8
    code_bits: int = 4
    max_k: int = 512

    @property
    def max_shift(self):
        """The greatest ``q_shift`` of the hardware: the greatest product of sum and scale then fills ``pre_bits``."""
        sum_bits = self.input_bits + self.weight_bits + (self.max_k - 1).bit_length()
        return sum_bits + self.scale_bits - self.pre_bits


def quantized_inputs(x, formats):
    """The Speculator's inputs, integers in float32, of INT16 ``x``."""
    return np.clip(x >> formats.input_shift, *signed_range(formats.input_bits)).astype(np.float32)


def convolution_rows(x, kernel, padding, cols, positions=slice(None), stride=(1, 1)):
    """Rows (positions, groups, taps * cols) of ``x`` (channels, height, width); missing channels are zero.

    ``positions``: which ones, as an index of all of them in the order of rows of the output.
    """
    channels, height, width = x.shape
    groups = -(-channels // cols)
    x = np.pad(x, ((0, groups * cols - channels), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, (1, 2))[:, ::stride[0], ::stride[1]]
    height, width = windows.shape[1:3]
    row, column = np.divmod(np.arange(height * width)[positions], width)
    windows = windows[:, row, column].reshape(groups, cols, len(row), kernel[0] * kernel[1])
    return windows.transpose(2, 0, 3, 1).reshape(len(row), groups, -1)


def vector_rows(vectors, cols, segment):
    """Rows (samples, 1, lines * C S) of ``vectors`` (samples, words) in the order of the lanes, zeros at the end."""
    lines = -(-vectors.shape[1] // (cols * segment))
    padded = np.pad(vectors, ((0, 0), (0, lines * cols * segment - vectors.shape[1])))
    return padded.reshape(-1, lines, cols, segment).swapaxes(2, 3).reshape(len(vectors), 1, -1)


def buffer_projection(projection, line_words):
    """The projection (blocks, k_group, lanes) as the projection buffer holds it: (blocks, passes, k_group, C S).

    Lanes are filled up with zeros to whole passes. Row (g * passes + pass) * k_group / M + kk of the buffer holds M of
    the k_group.
    """
    blocks, k_group, lanes = projection.shape
    passes = -(-lanes // line_words)
    padded = np.pad(projection, ((0, 0), (0, 0), (0, passes * line_words - lanes)))
    return padded.reshape(blocks, k_group, passes, line_words).swapaxes(1, 2)


@dataclasses.dataclass(frozen=True)
class Speculation:
    """The integers with which the Speculator works on one layer, and what they mean.

    ``projection`` (blocks, k_group, lanes) of {-1, 0, 1}; ``p_shift``; ``weight`` INT4 (n, blocks * k_group);
    ``scale``, ``bias`` (n,); ``q_shift``; ``threshold`` signed, of pre_bits. ``pre_step`` (n,): the real value of
    one step of each channel's pre-activation. ``formats``: the widths.
    """

    function: Function
    projection: np.ndarray
    p_shift: int
    weight: np.ndarray
    scale: np.ndarray
    bias: np.ndarray
    q_shift: int
    threshold: int
    pre_step: np.ndarray
    formats: SpeculatorFormat

    def pre(self, rows):
        """Pre-activations, int64 (samples, n), of INT4 ``rows``."""
        return self.pre_of(self.projected(rows))

    def projected(self, rows):
        """The projected inputs, INT4 in float32 (samples, k), of INT4 ``rows``."""
        return _projected(rows, self._float[0], self.p_shift, self.formats.input_bits)

    def pre_of(self, z):
        """Pre-activations of projected inputs."""
        sums = (z @ self._float[1].T).astype(np.int64)
        return pre_activation(sums, self.scale, self.bias, self.q_shift, acc_bits=24,
                              scale_bits=self.formats.scale_bits, bias_bits=self.formats.bias_bits,
                              pre_bits=self.formats.pre_bits)

    @functools.cached_property
    def _float(self):
        return self.projection.astype(np.float32), self.weight.astype(np.float32)

    def mask(self, pre):
        """The switching map of pre-activations: bool, 1 = to be computed by the Executor."""
        return switching_map(pre, self.function, self.threshold, pre_bits=self.formats.pre_bits)

    def approximation(self, pre):
        """The dequantized activation codes of pre-activations: INT16."""
        code = activate(pre, self.function, pre_bits=self.formats.pre_bits, code_bits=self.formats.code_bits)
        return dequantize(code, self.function, code_bits=self.formats.code_bits)

    def at(self, threshold):
        """The same with another threshold."""
        return dataclasses.replace(self, threshold=threshold)

    @property
    def weight_bytes(self):
        """Bytes of the QDR weights, scales and biases: read once, for all positions or time steps."""
        channel = self.formats.scale_bits + self.formats.bias_bits
        return (self.weight.size * self.formats.weight_bits + len(self.weight) * channel) / 8


@dataclasses.dataclass(frozen=True)
class Execution:
    """The integers with which the Executor computes a layer, or one of the two parts of a GRU's gate n.

    ``layer``: weights (n, inputs), bias, shifts; ``relu``; ``out_step``: the real value of one step of a result.
    """

    layer: QuantizedLayer
    relu: bool
    out_step: float

    def outputs(self, rows):
        """Results INT16, int64 (samples, n), of INT16 ``rows`` (samples, inputs); before pooling."""
        sums = (rows.astype(np.float64) @ self._float.T).astype(np.int64)
        results = requantize(sums + (self.layer.bias << self.layer.bias_shift), self.layer.shift, 16)
        return np.maximum(results, 0) if self.relu else results

    @functools.cached_property
    def _float(self):
        return self.layer.weights.astype(np.float64)


def _projected(rows, projection, p_shift, bits):
    """What quantizer and projection give of P (samples, blocks * k_group), in float32."""
    low, high = signed_range(bits)
    if rows.size and not low <= rows.min() <= rows.max() <= high:
        raise ValueError(f"rows from {rows.min()} to {rows.max()} are not allowed: they must be from {low} to {high}")
    sums = np.matmul(rows.swapaxes(0, 1).astype(np.float32), projection.swapaxes(1, 2))
    return shift_right(sums.swapaxes(0, 1).reshape(len(rows), -1), p_shift, bits)


def _choose_p_shift(rows, projection, bits):
    """The shift that loses least of P x, by the squared error on ``rows``."""
    sums = np.matmul(rows.swapaxes(0, 1).astype(np.float32), projection.swapaxes(1, 2).astype(np.float32))
    errors = [np.square(shift_right(sums, shift, bits) * 2 ** shift - sums).mean() for shift in range(_LARGEST_SHIFT)]
    return int(np.argmin(errors))


def _channel_fit(regression, weight):
    """For each channel, with w z for its ``weight`` (n, k): gain of y on it, and the root mean square error left."""
    means, target = regression.gram[-1, :-1] / regression.samples, regression.cross[-1] / regression.samples
    covariance = regression.covariance
    cross = regression.cross[:-1].T / regression.samples - np.outer(target, means)
    own = (weight @ covariance * weight).sum(1)
    # A channel that the Speculator sees nothing of, or the wrong way round, keeps its mean.
    gain = np.where(own > 0, np.maximum((weight * cross).sum(1), 0) / np.where(own > 0, own, 1), 0)
    error = regression.error(gain[:, None] * weight, target - gain * (weight @ means))
    return gain, np.sqrt(np.maximum(error, 0))


def _scales(factors, bits, max_shift):
    """(``bits``-bit unsigned integers, shift) with integers / 2^shift nearest to ``factors`` (n,), all >= 0.

    The shift is from 0 to ``max_shift``; where all factors are too small for that, the integers do not fill ``bits``.
    """
    shift = int(np.clip(np.floor(bits - np.log2(max(factors.max(), np.finfo(float).tiny))), 0, max_shift))
    integers = np.round(factors * 2.0 ** shift).astype(np.int64)
    if integers.max() >= 1 << bits and shift:
        shift -= 1
        integers = np.round(factors * 2.0 ** shift).astype(np.int64)
    return np.minimum(integers, (1 << bits) - 1), shift


def calibrate_speculation(rows, y, function, k_group, *, formats=SpeculatorFormat(), threshold=0, seed=0):
    """The :class:`Speculation` for ``rows`` (samples, blocks, lanes) and true pre-activations ``y`` (samples, n).

    ``rows`` are INT4 as the Quantizer gives them. ``threshold``: ``relu_threshold`` and ``ratio_threshold`` find a
    good one. Raises ``ValueError`` on bad input.
    """
    function = Function(function)
    if rows.ndim != 3 or y.ndim != 2 or len(rows) != len(y):
        raise ValueError(f"rows has shape {rows.shape}, y {y.shape}: they must be (samples, blocks, lanes) and "
                         "(samples, n)")
    if function == Function.NONE:
        raise ValueError("function = NONE is not allowed: it must be RELU, SIGMOID or TANH")
    blocks, lanes = rows.shape[1:]
    projection = np.array([ternary_matrix(k_group, lanes, (seed, block)) for block in range(blocks)])
    projection *= rows.any(0)[:, None]  # nothing is known of a lane that is always zero
    p_shift = _choose_p_shift(rows[::_THINNING], projection, formats.input_bits)
    z = _projected(rows, projection.astype(np.float32), p_shift, formats.input_bits)
    if function != Function.RELU:  # beyond its range the pre-activation saturates: no effort is spent there
        y = np.clip(y, -_RANGE, _RANGE)
    regression = Regression(z.shape[1], y.shape[1])
    regression.add(z, y)
    weight, _ = quantize_rows(regression.solve()[0], formats.weight_bits, regression.covariance)
    gain, error = _channel_fit(regression, weight)
    step = np.full(len(weight), 2 * _RANGE / 2 ** formats.pre_bits)
    if function == Function.RELU:
        step *= np.maximum(error, 1e-6 * error.max() + np.finfo(np.float32).tiny)
    scale, q_shift = _scales(gain / step, formats.scale_bits, formats.max_shift)
    # The bias is made to fit the rounded scale.
    mean = weight @ regression.gram[-1, :-1] / regression.samples
    bias = np.clip(np.round(y.mean(0) / step - mean * scale / 2.0 ** q_shift), *signed_range(formats.bias_bits))
    return Speculation(function, projection, p_shift, weight, scale, bias.astype(np.int64), q_shift, threshold, step,
                       formats)


def calibrate_execution(weight, bias, in_step, out_step, relu=False):
    """The :class:`Execution` of y = W x + b for float ``weight`` (n, inputs) and ``bias`` (n,).

    ``in_step``: the real value of one step of the inputs, one for all or (inputs,). ``out_step``: the wanted one of
    the results; it is met exactly, since the step of the weights is free. Raises ``ValueError`` where no shift does it.
    """
    return Execution(quantize_layer(weight * np.asarray(in_step, np.float64), bias, 1.0, out_step), relu, out_step)


def relu_losses(pre, y, pre_bits=8):
    """How much of a ReLU layer's output each threshold loses: a relative L2 norm, (2^pre_bits,), from the least on.

    ``pre`` (samples, n) integers, ``y`` (samples, n) the true pre-activations; lost is what is above zero and skipped.
    """
    low, high = signed_range(pre_bits)
    squares = np.bincount((pre - low).ravel(), np.square(np.maximum(y, 0)).ravel(), high - low + 1)
    return np.sqrt(np.concatenate([[0], np.cumsum(squares)[:-1]]) / max(squares.sum(), np.finfo(float).tiny))


def relu_threshold(losses, budget):
    """The greatest threshold whose loss (from ``relu_losses``) is at most ``budget``."""
    return int(np.searchsorted(losses, budget, side="right")) - 1 - len(losses) // 2


def ratio_threshold(pre, ratio, pre_bits=8):
    """The threshold of sigmoid and tanh at which a share of about ``ratio`` of ``pre`` (integers) is insensitive."""
    magnitude = np.bincount(np.abs(pre).ravel(), minlength=(1 << (pre_bits - 1)) + 1)
    above = 1 - np.cumsum(magnitude) / magnitude.sum()  # share beyond a threshold of 0, 1, ...
    return int(np.abs(above[:-1] - ratio).argmin())
