"""Trained N:M networks in integers: what the engine multiplies, and the steps around it.

A layer has ``bits``-bit weights with a scale a row and INT8 inputs with one scale. Its products are integers, exact in
32 bits; what stands between two layers (scales, bias, activation, rounding to INT8) is done in float64 on the host.
"""

import dataclasses

import numpy as np

from golden.arith.fixed import as_integers, check_range, signed_range
from golden.duet.dmi import quantize_rows
from golden.figs.patterns import Pattern, is_pattern
from golden.figs.perceptron import activate

__all__ = ["INPUT_BITS", "WEIGHT_BITS", "NmLayer", "NmNetwork", "export_layer", "export_network", "integer_product"]

INPUT_BITS = 8
WEIGHT_BITS = (8, 16)
_SUM_BITS = 32


def _check_finite(name, values):
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise ValueError(f"{name} holds {np.asarray(values)[wrong][0]}: it must be finite")
    return values


@dataclasses.dataclass(frozen=True)
class NmLayer:
    """``weights``: integers of ``bits`` bits, int64 (outputs, inputs), that obey the pattern n:m; ``scales`` (outputs,)
    and ``bias`` (outputs,) float64, finite; ``input_scale``: an input integer q stands for q * input_scale.

    No input of 8 bits can bring a sum out of 32 bits signed; weights that could are refused.
    """

    weights: np.ndarray
    n: int
    m: int
    scales: np.ndarray
    bias: np.ndarray
    input_scale: float
    bits: int = 8

    def __post_init__(self):
        if self.bits not in WEIGHT_BITS:
            raise ValueError(f"bits = {self.bits} is not allowed: it must be one of {WEIGHT_BITS}")
        weights = check_range("weights", self.weights, self.bits)
        pattern = Pattern(self.n, self.m)
        if weights.ndim != 2:
            raise ValueError(f"weights of shape {weights.shape} are not allowed: it must be (outputs, inputs)")
        if not is_pattern(weights, pattern):
            raise ValueError(f"weights are not allowed: they must obey {pattern}")
        for name in ("scales", "bias"):
            if np.shape(getattr(self, name)) != (len(weights),):
                raise ValueError(f"{name} of shape {np.shape(getattr(self, name))} is not allowed: "
                                 f"it must be ({len(weights)},)")
            _check_finite(name, getattr(self, name))
        if not 0 < self.input_scale < np.inf:
            raise ValueError(f"input_scale = {self.input_scale} is not allowed: it must be above 0 and finite")
        greatest = int(np.abs(weights).sum(1).max(initial=0)) << (INPUT_BITS - 1)
        if greatest > signed_range(_SUM_BITS)[1]:
            raise ValueError(f"weights are not allowed: a sum can reach {greatest}, which must fit in 32 bits")

    @property
    def pattern(self):
        """n:m."""
        return Pattern(self.n, self.m)

    def quantize(self, x):
        """INT8 inputs, int64 (inputs, samples), of float ``x`` (samples, inputs): rounded to nearest, saturated.

        Raises a ``ValueError`` for infinity and NaN.
        """
        x = _check_finite("x", np.asarray(x, np.float64))
        with np.errstate(over="ignore"):  # a quotient beyond float64 saturates too
            scaled = np.rint(x.T / self.input_scale)
        return np.clip(scaled, *signed_range(INPUT_BITS)).astype(np.int64)

    def dequantize(self, sums):
        """Outputs, float64 (samples, outputs), of integer ``sums`` (outputs, samples)."""
        return sums.T * (self.scales * self.input_scale) + self.bias


def export_layer(weight, bias, pattern, inputs, bits=8):
    """The :class:`NmLayer` of a trained layer: ``weight`` (outputs, inputs) obeys ``pattern``; ``inputs`` (samples,
    inputs): those that it saw in training, whose greatest magnitude becomes the INT8 end of the scale.

    A row is clipped where its squared error is least; a zero stays one.
    """
    if bits not in WEIGHT_BITS:
        raise ValueError(f"bits = {bits} is not allowed: it must be one of {WEIGHT_BITS}")
    integers, scales = quantize_rows(np.asarray(weight, np.float64), bits)
    greatest = float(np.abs(inputs).max()) or 1.0
    return NmLayer(integers, pattern.n, pattern.m, scales, np.asarray(bias, np.float64),
                   greatest / signed_range(INPUT_BITS)[1], bits)


def integer_product(layer, x):
    """Y = W X of integers: int64 (outputs, samples), within 32 bits signed. ``x``: INT8 (inputs, samples)."""
    x = check_range("x", x, INPUT_BITS)
    # Exact in float64, far below 2^53, and much faster there.
    return (layer.weights.astype(np.float64) @ x.astype(np.float64)).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class NmNetwork:
    """A perceptron of :class:`NmLayer`; ``activation`` after every layer but the last."""

    layers: tuple[NmLayer, ...]
    activation: str

    def forward(self, x, matmul=integer_product):
        """Outputs, float64 (samples, outputs), of float ``x`` (samples, inputs).

        ``matmul(layer, x)`` gives the integer sums (outputs, samples) of a layer for INT8 integers ``x`` (inputs,
        samples): the golden product, or an engine.
        """
        for number, layer in enumerate(self.layers):
            sums = as_integers("sums", matmul(layer, layer.quantize(x)))
            x = layer.dequantize(check_range("sums", sums, _SUM_BITS))
            if number < len(self.layers) - 1:
                x = activate(self.activation, x)[0]
        return x


def export_network(network, pattern, inputs, bits=8):
    """The :class:`NmNetwork` of a trained ``golden.figs.perceptron.Perceptron``.

    Matrices that are not pruned get the pattern 1:1. ``inputs`` (samples, n): training inputs, for the scales.
    """
    saved, layers = [], []
    network.forward(inputs, saved)
    for number, (seen, _) in enumerate(saved):
        own = pattern if f"w{number}" in network.pruned else Pattern(1, 1)
        layers.append(export_layer(network.parameters[f"w{number}"], network.parameters[f"b{number}"], own, seen, bits))
    return NmNetwork(tuple(layers), network.activation)
