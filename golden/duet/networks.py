"""Convolutions of a network on DUET's integers: calibrated one by one, and the function that puts them into it."""

import dataclasses

import numpy as np

from golden.arith.fixed import saturate, signed_range
from golden.duet.calibrate import (Execution, Speculation, SpeculatorFormat, calibrate_execution, calibrate_speculation,
                                   convolution_rows, quantized_inputs, relu_losses, relu_threshold)
from golden.duet.speculator_mfu import Function
from golden.workloads.layers import dense_convolution, im2col

__all__ = ["CLIPPING", "MOST_PROJECTED", "SAMPLES", "SHARE", "DuetConvolution", "calibrate_convolutions",
           "convolution_function", "held_out", "projection_rows", "record_convolutions", "sample_layer",
           "sort_channels"]

#: Greatest input of a layer that its INT16 format holds, as a share of the greatest in calibration.
CLIPPING = 0.5
#: Greatest k of a layer: S = 16 positions of INT4 in the QDR input buffer of 4 KB.
MOST_PROJECTED = 512
#: k / d of a layer, about, as far as :data:`MOST_PROJECTED` allows.
SHARE = 0.45
#: Positions of a layer to calibrate on.
SAMPLES = 12_000


@dataclasses.dataclass(frozen=True)
class DuetConvolution:
    """A convolution in integers: ``in_step`` is the real value of one step of its inputs; no speculation if None.

    ``losses``: what each threshold loses on calibration data that nothing was fitted to, see ``relu_losses``.
    """

    name: str
    kernel: tuple[int, int]
    padding: int
    pool: tuple[int, int]
    cols: int
    in_step: float
    execution: Execution
    speculation: Speculation | None = None
    losses: np.ndarray | None = None
    stride: tuple[int, int] = (1, 1)

    def at_budget(self, budget):
        """The same with the greatest threshold that loses at most ``budget`` on calibration data."""
        if self.speculation is None:
            return self
        return dataclasses.replace(self, speculation=self.speculation.at(relu_threshold(self.losses, budget)))

    def quantize(self, x):
        """INT16 inputs of real ones."""
        return saturate(np.round(x / self.in_step).astype(np.int64), 16)

    def speculator_rows(self, x, formats, positions=slice(None)):
        """The Speculator's INT4 rows, in float32, of INT16 inputs ``x`` (channels, height, width)."""
        return convolution_rows(quantized_inputs(x, formats), self.kernel, self.padding, self.cols, positions,
                                self.stride)

    def run(self, x, mask=None):
        """(results INT16 after ReLU before pooling, switching map), both (outputs, height, width), of INT16 ``x``.

        ``mask``: a map to use instead of the Speculator's, of the same shape; True computes everything.
        """
        results = self.execution.outputs(im2col(x, self.kernel, self.padding, self.stride)).T
        shape = [len(results), *((n + 2 * self.padding - k) // stride + 1
                                 for n, k, stride in zip(x.shape[1:], self.kernel, self.stride))]
        if mask is None:
            mask = True
            if self.speculation is not None:
                rows = self.speculator_rows(x, self.speculation.formats)
                mask = self.speculation.mask(self.speculation.pre(rows)).T.reshape(shape)
        mask = np.broadcast_to(mask, shape)
        return np.where(mask, results.reshape(shape), 0), mask


def sort_channels(layers, inputs, cols):
    """The same network with the channels between its ``layers`` in another order: those that are not zero alike often
    in one group of ``cols``.

    The elements of a row, of one input channel each, then have alike work in a chunk. Groups run from the busiest
    channels to the idlest, every second one turned around, so that a column has its share of both. ``layers``: of
    :class:`golden.workloads.layers.Convolution`, each of which takes the results of the one before; ``inputs``: name of
    a layer -> its inputs (channels, height, width) on calibration data. The order of the last one's results stays.
    """
    found = list(layers)
    for number, after in enumerate(layers[1:]):
        rates = np.concatenate([(x > 0).reshape(len(x), -1) for x in inputs[after.name]], axis=1).mean(1)
        order = np.argsort(-rates, kind="stable")
        groups = [order[first:first + cols] for first in range(0, len(order), cols)]
        order = np.concatenate([group[::-1] if k % 2 else group for k, group in enumerate(groups)])
        found[number] = dataclasses.replace(found[number], weight=found[number].weight[order],
                                            bias=found[number].bias[order])
        found[number + 1] = dataclasses.replace(after, weight=after.weight[:, order])
    return found


def projection_rows(inputs, blocks, trees, share=SHARE):
    """k_group: rows of P for a block of ``inputs`` numbers, about ``share`` of them, a multiple of ``trees``.

    All ``blocks`` together get at most :data:`MOST_PROJECTED`, unless one multiple each is more already.
    """
    most = max(1, MOST_PROJECTED // (blocks * trees))
    return trees * min(most, max(1, round(share * inputs / trees)))


def held_out(samples):
    """Which of the calibration samples thresholds are chosen on, and nothing is fitted to: bool, every fourth."""
    return np.arange(samples) % 4 == 3


def record_convolutions(model, images):
    """Inputs of each convolution for ``images``: dict of name -> list of (channels, height, width)."""
    inputs = {layer.name: [] for layer in model.convolutions}

    def convolution(layer, x):
        inputs[layer.name].append(x)
        return dense_convolution(layer, x)

    for image in images:
        model.features(image, convolution)
    return inputs


def sample_layer(layer, inputs, samples, seed=0):
    """Positions of each of ``inputs`` to calibrate on, about ``samples`` in all, and the true pre-activations there.

    Returns (list of indices, float array (samples, outputs)).
    """
    rng, picks, y = np.random.default_rng(seed), [], []
    share = max(1, samples // len(inputs))
    flat = layer.weight.reshape(len(layer.weight), -1)
    for x in inputs:
        _, height, width = layer.output_shape(x)
        pick = rng.permutation(height * width)[:share]
        # one channel a block: as the filter
        rows = convolution_rows(x, layer.weight.shape[2:], layer.padding, 1, pick, layer.stride)
        picks.append(pick)
        y.append(rows.reshape(len(pick), -1) @ flat.T + layer.bias)
    return picks, np.concatenate(y)


def calibrate_convolutions(model, images, *, cols=16, trees=16, budget=0.05, clipping=CLIPPING, share=SHARE,
                           formats=SpeculatorFormat(), seed=0, inputs=None, samples=SAMPLES):
    """Every convolution of ``model`` in integers, calibrated on ``images``: dict of name -> :class:`DuetConvolution`.

    ``cols``, ``trees``: C and M of the hardware. ``budget``: what skipping may change in a layer's output, a relative
    L2 norm on calibration data; it gives the threshold of each layer. ``share``: k / d, about. The first layer, whose
    input is the image itself, is computed without speculation. ``inputs``: from ``record_convolutions``, if there.
    """
    inputs = inputs or record_convolutions(model, images)
    layers = model.convolutions
    greatest = [max(np.abs(x).max() for x in inputs[layer.name]) for layer in layers]
    last = max(dense_convolution(layers[-1], x).max() for x in inputs[layers[-1].name])
    top = signed_range(16)[1]
    # The image has known bounds and is not clipped.
    steps = [greatest[0] / top, *(clipping * value / top for value in (*greatest[1:], last))]
    duets = {}
    for number, (layer, in_step, out_step) in enumerate(zip(layers, steps, steps[1:])):
        flat = layer.weight.reshape(len(layer.weight), -1)
        duet = DuetConvolution(layer.name, layer.weight.shape[2:], layer.padding, layer.pool, cols, in_step,
                               calibrate_execution(flat, layer.bias, in_step, out_step, relu=True), stride=layer.stride)
        if number:
            duet = _speculate(duet, layer, inputs[layer.name], trees, share, formats, seed, samples).at_budget(budget)
        duets[layer.name] = duet
    return duets


def _speculate(duet, layer, inputs, trees, share, formats, seed, samples):
    """``duet`` with its speculation, for float ``inputs`` of the ``layer``."""
    picks, y = sample_layer(layer, inputs, samples, seed)
    rows = np.concatenate([duet.speculator_rows(duet.quantize(x), formats, pick) for x, pick in zip(inputs, picks)])
    block = min(layer.weight.shape[1], duet.cols) * layer.weight[0, 0].size
    k_group = projection_rows(block, rows.shape[1], trees, share)
    held = held_out(len(rows))
    speculation = calibrate_speculation(rows[~held], y[~held], Function.RELU, k_group, formats=formats, seed=seed)
    losses = relu_losses(speculation.pre(rows[held]), y[held], formats.pre_bits)
    return dataclasses.replace(duet, speculation=speculation, losses=losses)


def convolution_function(layers, record=None):
    """A function for ``Crnn.features`` that computes convolutions as DUET does, in integers, with skipped outputs.

    ``layers``: from ``calibrate_convolutions``. ``record(name, map, results)`` is called for each layer that is run.
    """
    def convolution(layer, x):
        duet = layers[layer.name]
        results, mask = duet.run(duet.quantize(x))
        if record is not None:
            record(layer.name, mask, results)
        return (results * duet.execution.out_step).astype(np.float32)

    return convolution
