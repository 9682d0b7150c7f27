"""A multi-layer perceptron with biases: the networks that the N:M recipes train.

An activation follows every layer but the last: "relu" (digits) or "gelu" (a transformer's feed-forward block). The
arithmetic has the type of the parameters, float32 in the studies.
"""

import numpy as np

from golden.workloads.minilm import erf

__all__ = ["ACTIVATIONS", "Perceptron", "activate"]

ACTIVATIONS = ("relu", "gelu")


def activate(kind, x):
    """(activation of ``x``, its derivative there)."""
    if kind == "relu":
        return np.maximum(x, 0), (x > 0).astype(x.dtype)
    if kind == "gelu":
        # With Python's floats float32 stays float32; numpy's float64 scalars would widen it.
        below = 0.5 * (1 + erf(x * float(np.sqrt(0.5))))
        return x * below, below + x * np.exp(-0.5 * x * x) * float(1 / np.sqrt(2 * np.pi))
    raise ValueError(f"activation = {kind!r} is not allowed: it must be one of {', '.join(ACTIVATIONS)}")


class Perceptron:
    """``parameters``: dict "w0" (outputs, inputs), "b0" (outputs,), ...; ``pruned``: names of the matrices that an N:M
    pattern applies to."""

    def __init__(self, parameters, activation, pruned):
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation = {activation!r} is not allowed: it must be one of {', '.join(ACTIVATIONS)}")
        absent = set(pruned) - set(parameters)
        if absent:
            raise ValueError(f"pruned = {sorted(absent)} is not allowed: it must be names of weight matrices")
        self.parameters, self.activation, self.pruned = dict(parameters), activation, tuple(pruned)
        self.layers = sum(name.startswith("w") for name in parameters)

    @classmethod
    def initial(cls, widths, activation, seed=0):
        """Random weights (He), no bias; ``widths``: inputs, hidden layers, outputs. All but the last are pruned."""
        rng, parameters = np.random.default_rng(seed), {}
        for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            weight = rng.normal(0, np.sqrt(2 / inputs), (outputs, inputs))
            parameters[f"w{layer}"] = weight.astype(np.float32)
            parameters[f"b{layer}"] = np.zeros(outputs, np.float32)
        return cls(parameters, activation, [f"w{layer}" for layer in range(len(widths) - 2)])

    def copy(self, parameters=None):
        """A network of the same shape with arrays of its own, or with those of ``parameters``."""
        own = {name: value.copy() for name, value in (parameters or self.parameters).items()}
        return Perceptron(own, self.activation, self.pruned)

    def forward(self, x, saved=None):
        """Outputs (samples, outputs) of ``x`` (samples, inputs); ``saved``: a list to which goes what ``backward``
        needs."""
        for layer in range(self.layers):
            sums = x @ self.parameters[f"w{layer}"].T + self.parameters[f"b{layer}"]
            last = layer == self.layers - 1
            after, slope = (sums, None) if last else activate(self.activation, sums)
            if saved is not None:
                saved.append((x, slope))
            x = after
        return x

    def backward(self, saved, gradient):
        """Gradients of all parameters, for the ``gradient`` (samples, outputs) of the outputs."""
        gradients = {}
        for layer in reversed(range(self.layers)):
            x, slope = saved[layer]
            if slope is not None:
                gradient = gradient * slope
            gradients[f"w{layer}"], gradients[f"b{layer}"] = gradient.T @ x, gradient.sum(0)
            if layer:
                gradient = gradient @ self.parameters[f"w{layer}"]
        return gradients
