"""Layers of trained networks in numpy float32, each of which can be computed by somebody else.

A network calls every convolution and every gate through a function that its ``forward`` takes; the default computes
the layer. A function of one's own can record what goes in and out, or give another implementation's result.
"""

import dataclasses

import numpy as np

__all__ = ["GATES", "Cell", "Convolution", "activate", "dense_convolution", "dense_gate", "fold_batch_norm", "im2col",
           "max_pool", "run_cell", "sigmoid", "step"]

#: Names of the gates, in the order in which trained weights stack them.
GATES = {"lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n")}


def sigmoid(x):
    """Logistic function, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def activate(name, pre):
    """The gate ``name`` of its pre-activation: tanh for "g" and "n", the logistic function for the others."""
    return np.tanh(pre) if name in "gn" else sigmoid(pre)


def im2col(x, kernel, padding=0, stride=(1, 1)):
    """Windows of ``x`` (channels, height, width) as rows: (out height * out width, channels * kh * kw).

    A row holds its window channel by channel, each row by row: the order of a flattened filter.
    """
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, (1, 2))[:, ::stride[0], ::stride[1]]
    channels, height, width = windows.shape[:3]
    return windows.transpose(1, 2, 0, 3, 4).reshape(height * width, channels * kernel[0] * kernel[1])


def fold_batch_norm(weight, bias, gain, offset, mean, variance, epsilon=1e-5):
    """Weight and bias of a layer followed by batch normalisation, as one linear layer (thesis, Eq. 3.22).

    ``weight`` (outputs, ...); all others (outputs,), ``bias`` may be None. Eq. 3.22 leaves the factor gain / sigma off
    the old bias; here it is there: the folded bias is offset + (bias - mean) * gain / sigma.
    """
    factor = gain / np.sqrt(variance + epsilon)
    shift = offset + ((0 if bias is None else bias) - mean) * factor
    return weight * factor.reshape(-1, *[1] * (weight.ndim - 1)), shift


def max_pool(x, size):
    """Greatest value of each ``size`` (rows, columns) of ``x`` (channels, height, width); a remainder is dropped."""
    channels, height, width = x.shape
    rows, columns = height // size[0], width // size[1]
    x = x[:, :rows * size[0], :columns * size[1]].reshape(channels, rows, size[0], columns, size[1])
    return x.max((2, 4))


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A convolution with ReLU, then max pooling; batch normalisation is folded into the weights.

    ``weight`` (outputs, channels, kh, kw), ``bias`` (outputs,), ``padding`` on all sides, ``pool`` and ``stride``
    (rows, columns).
    """

    name: str
    weight: np.ndarray
    bias: np.ndarray
    padding: int
    pool: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)

    def rows(self, x):
        """The input windows of ``x`` (channels, height, width) as rows (positions, channels * kh * kw)."""
        return im2col(x, self.weight.shape[2:], self.padding, self.stride)

    def output_shape(self, x):
        """(outputs, height, width) before pooling, for an input ``x`` (channels, height, width)."""
        height, width = ((n + 2 * self.padding - k) // stride + 1
                         for n, k, stride in zip(x.shape[1:], self.weight.shape[2:], self.stride))
        return len(self.weight), height, width

    def pre_activation(self, x):
        """W x + b: (outputs, height, width), before ReLU and pooling."""
        flat = self.weight.reshape(len(self.weight), -1)
        return (self.rows(x) @ flat.T + self.bias).T.reshape(self.output_shape(x))


def dense_convolution(layer, x):
    """All outputs after ReLU, before pooling: (outputs, height, width). The default convolution of a network."""
    return np.maximum(layer.pre_activation(x), 0)


@dataclasses.dataclass(frozen=True)
class Cell:
    """An LSTM or GRU cell of ``width`` neurons a gate.

    ``kind`` "lstm" or "gru"; ``input_weight`` (gates * width, inputs), ``hidden_weight`` (gates * width, width), both
    biases (gates * width,); gates in the order of :data:`GATES`.
    """

    name: str
    kind: str
    input_weight: np.ndarray
    hidden_weight: np.ndarray
    input_bias: np.ndarray
    hidden_bias: np.ndarray

    @property
    def width(self):
        return self.hidden_weight.shape[1]

    @property
    def gates(self):
        return GATES[self.kind]

    def rows(self, gate):
        """The rows of the weights that belong to a gate."""
        start = self.gates.index(gate) * self.width
        return slice(start, start + self.width)

    def parts(self, gate, x, h):
        """What input and hidden state each give to a gate, bias included: two arrays (width,)."""
        rows = self.rows(gate)
        return (self.input_weight[rows] @ x + self.input_bias[rows],
                self.hidden_weight[rows] @ h + self.hidden_bias[rows])

    def pre_activation(self, gate, x, h, reset=None):
        """The pre-activation (width,) of a gate; ``reset`` is the GRU's r, which its gate n needs."""
        from_input, from_hidden = self.parts(gate, x, h)
        return from_input + (reset * from_hidden if self.kind == "gru" and gate == "n" else from_hidden)


def dense_gate(cell, gate, x, h, reset=None):
    """All neurons of a gate after its activation function: (width,). The default gate of a network."""
    return activate(gate, cell.pre_activation(gate, x, h, reset))


def step(cell, x, state, gate=dense_gate):
    """One time step: the new state (h, c), each (width,); a GRU's c is unused and None."""
    h, c = state
    if cell.kind == "lstm":
        i, f, g, o = (gate(cell, name, x, h) for name in cell.gates)
        c = f * c + i * g
        return o * np.tanh(c), c
    r, z = (gate(cell, name, x, h) for name in "rz")
    n = gate(cell, "n", x, h, r)
    return n + z * (h - n), None


def run_cell(cell, inputs, gate=dense_gate, state=None):
    """All hidden states (steps, width) of ``inputs`` (steps, inputs), and the last state. Starts from zero."""
    h = np.zeros(cell.width, np.float32)
    state = state or (h, h)
    outputs = []
    for x in inputs:
        state = step(cell, x, state, gate)
        outputs.append(state[0])
    return np.array(outputs), state
