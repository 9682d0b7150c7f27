"""Dynamic sparse graph: training that computes only the critical neurons of each sample (thesis, chapter 4).

In each hidden layer a dimension-reduction search finds the neurons whose outputs will be greatest: inputs and weights
are projected by the ternary P of dual-module inference (Eq. 4.5, 4.6 with s = 3) and multiplied in the small space;
the neurons at or above a threshold form the mask of the sample. The threshold is the top-k one of the batch's first
sample, shared by the others (Fig. A.1). The mask is applied before ReLU and once more after batch normalisation, which
would fill the zeros again (double-mask selection), and to all gradients on their way back (Algorithm 5).

Float64. Layers are fully connected, without bias, in the order linear, ReLU, batch normalisation.
"""

import dataclasses

import numpy as np

from golden.duet.dmi import random_projection

__all__ = ["SELECTIONS", "DsgNetwork", "Options", "accuracy", "cross_entropy", "macs_per_sample", "shared_top_k",
           "train"]

SELECTIONS = ("search", "oracle", "random")
NORMALISATIONS = ("double mask", "single mask", "none")
_EPSILON = 1e-5
_RUNNING = 0.9  # weight of the past in the running mean and variance


def shared_top_k(values, count):
    """Mask (samples, n), bool: the ``count`` greatest ``values`` of the first sample, and all of the others that reach
    the least of those (inter-sample threshold sharing)."""
    if not 1 <= count <= values.shape[1]:
        raise ValueError(f"count = {count} is not allowed: it must be from 1 to {values.shape[1]}")
    return values >= np.partition(values[0], -count)[-count]


def macs_per_sample(inputs, outputs, k, sparsity):
    """Multiplications of one sample in a layer, forward: n (k + (1 - gamma) d) (thesis 4.2.2)."""
    return outputs * (k + (1 - sparsity) * inputs)


@dataclasses.dataclass(frozen=True)
class Options:
    """``sparsity``: gamma, the share of neurons that are left out, 0 or more, below 1. ``reduction``: k / d.

    ``selection``: "search", or for comparison "oracle" (by the true outputs) or "random". ``normalisation``: "double
    mask", "single mask" (none after batch normalisation) or "none" (no batch normalisation). ``refresh``: steps
    between two projections of the weights.
    """

    sparsity: float = 0.5
    reduction: float = 0.25
    selection: str = "search"
    normalisation: str = "double mask"
    refresh: int = 50

    def __post_init__(self):
        for name, value, allowed in (("selection", self.selection, SELECTIONS),
                                     ("normalisation", self.normalisation, NORMALISATIONS)):
            if value not in allowed:
                raise ValueError(f"{name} = {value!r} is not allowed: it must be one of {', '.join(allowed)}")
        for name, value, good, allowed in (
                ("sparsity", self.sparsity, 0 <= self.sparsity < 1, "at least 0 and below 1"),
                ("reduction", self.reduction, 0 < self.reduction <= 1, "above 0 and at most 1"),
                ("refresh", self.refresh, self.refresh >= 1, "at least 1")):
            if not good:
                raise ValueError(f"{name} = {value} is not allowed: it must be {allowed}")


class DsgNetwork:
    """A multi-layer perceptron with a dynamic sparse graph.

    ``widths``: inputs, hidden layers, classes. ``parameters``: dict of arrays, "w0" (outputs, inputs), "gain0", ...;
    ``running``: mean and variance of each batch normalisation, for inference.
    """

    def __init__(self, widths, options=Options(), seed=0):
        self.options, self.hidden = options, len(widths) - 2
        self._rng = np.random.default_rng(seed)
        self.parameters, self.running, self._projections, self._small = {}, {}, [], []
        for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            self.parameters[f"w{layer}"] = self._rng.normal(0, np.sqrt(2 / inputs), (outputs, inputs))
            if layer == self.hidden:
                break
            if options.normalisation != "none":
                self.parameters[f"gain{layer}"], self.parameters[f"offset{layer}"] = np.ones(outputs), np.zeros(outputs)
                self.running[layer] = np.zeros(outputs), np.ones(outputs)
            k = max(1, round(options.reduction * inputs))
            self._projections.append(random_projection(k, inputs, (seed, layer)))
        self.project_weights()

    def project_weights(self):
        """Bring f(W) of all layers up to date."""
        self._small = [self.parameters[f"w{layer}"] @ p.T for layer, p in enumerate(self._projections)]

    def select(self, layer, x, each=False):
        """The mask (samples, n) of a hidden layer for its inputs ``x`` (samples, d).

        ``each``: every sample has a threshold of its own, as if it came alone.
        """
        weight = self.parameters[f"w{layer}"]
        count = max(1, round((1 - self.options.sparsity) * len(weight)))
        if self.options.selection == "search":
            values = x @ self._projections[layer].T @ self._small[layer].T
        elif self.options.selection == "oracle":
            values = x @ weight.T
        else:
            values = self._rng.random((len(x), len(weight)))
        if each:
            return values >= np.partition(values, -count, 1)[:, -count:-count + 1 or None]
        return shared_top_k(values, count)

    def forward(self, x, training=True, masks=None):
        """(class scores (samples, classes), what ``backward`` needs). Forward computation of Algorithm 5.

        ``training``: statistics of this batch, a shared threshold; else running ones, a threshold for each sample.
        ``masks``: a mask for each hidden layer instead of the search's.
        """
        saved = []
        for layer in range(self.hidden):
            mask = self.select(layer, x, each=not training) if masks is None else masks[layer]
            sums = mask * (x @ self.parameters[f"w{layer}"].T)
            s = np.maximum(sums, 0)
            out, normal = s, None
            if self.options.normalisation != "none":
                normal, deviation = self._normalise(layer, s, training)
                out = self.parameters[f"gain{layer}"] * normal + self.parameters[f"offset{layer}"]
                normal = normal, deviation
                if self.options.normalisation == "double mask":
                    out = mask * out
            saved.append((x, mask, sums > 0, normal))
            x = out
        saved.append((x,))
        return x @ self.parameters[f"w{self.hidden}"].T, saved

    def _normalise(self, layer, s, training):
        mean, variance = self.running[layer]
        if training:
            now = s.mean(0), s.var(0)
            self.running[layer] = tuple(_RUNNING * old + (1 - _RUNNING) * new
                                        for old, new in zip((mean, variance), now))
            mean, variance = now
        deviation = np.sqrt(variance + _EPSILON)
        return (s - mean) / deviation, deviation

    def backward(self, saved, gradient):
        """Gradients of all parameters, for the ``gradient`` of the class scores (samples, classes)."""
        (x,), gradients = saved[-1], {}
        name = f"w{self.hidden}"
        gradients[name] = gradient.T @ x
        gradient = gradient @ self.parameters[name]
        for layer in reversed(range(self.hidden)):
            x, mask, positive, normal = saved[layer]
            if normal is not None:
                if self.options.normalisation == "double mask":
                    gradient = mask * gradient
                normal, deviation = normal
                gradients[f"gain{layer}"] = (gradient * normal).sum(0)
                gradients[f"offset{layer}"] = gradient.sum(0)
                gradient = self.parameters[f"gain{layer}"] * gradient
                gradient = (gradient - gradient.mean(0) - normal * (gradient * normal).mean(0)) / deviation
            gradient = gradient * positive  # which is 0 wherever the mask is
            gradients[f"w{layer}"] = gradient.T @ x
            if layer:
                gradient = gradient @ self.parameters[f"w{layer}"]
        return gradients

    def sparsity(self, x):
        """Share of zeros among the outputs of each hidden layer, in inference on ``x``: list."""
        _, saved = self.forward(x, training=False)
        return [float((saved[layer + 1][0] == 0).mean()) for layer in range(self.hidden)]


def cross_entropy(scores, labels):
    """(mean loss, its gradient (samples, classes)) of softmax cross entropy."""
    scores = scores - scores.max(1, keepdims=True)
    logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    rows = np.arange(len(labels))
    gradient = np.exp(logs)
    gradient[rows, labels] -= 1
    return -logs[rows, labels].mean(), gradient / len(labels)


def accuracy(network, images, labels):
    """Share of images whose greatest score is the right class."""
    return float((network.forward(images, training=False)[0].argmax(1) == labels).mean())


def train(network, images, labels, epochs=30, batch=64, rate=0.1, momentum=0.9, seed=0):
    """Train by stochastic gradient descent with momentum; the rate falls to 0 linearly. Returns the losses by epoch.

    Thresholds are shared within a batch; f(W) is renewed every ``options.refresh`` steps.
    """
    rng, velocity = np.random.default_rng(seed), {name: 0.0 for name in network.parameters}
    steps, done, losses = epochs * (len(images) // batch), 0, []
    for _ in range(epochs):
        order, total = rng.permutation(len(images)), 0.0
        for start in range(0, len(images) - batch + 1, batch):
            pick = order[start:start + batch]
            if done % network.options.refresh == 0:
                network.project_weights()
            scores, saved = network.forward(images[pick])
            loss, gradient = cross_entropy(scores, labels[pick])
            for name, slope in network.backward(saved, gradient).items():
                velocity[name] = momentum * velocity[name] - rate * (1 - done / steps) * slope
                network.parameters[name] += velocity[name]
            total, done = total + loss, done + 1
        losses.append(total / (len(images) // batch))
    network.project_weights()
    return losses
