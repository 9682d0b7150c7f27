"""Silero's voice activity detector in numpy: an LSTM workload of DUET.

Every 32 ms (512 samples at 16 kHz): magnitudes of a short-time Fourier transform, 4 convolutions with ReLU,
an LSTM-128, one output: the probability that somebody speaks. Float32 throughout.
"""

import numpy as np
import safetensors.numpy

from golden.workloads.fetch import fetch
from golden.workloads.layers import Cell, dense_gate, run_cell, sigmoid

__all__ = ["CHUNK", "RATE", "SileroVad"]

RATE, CHUNK = 16_000, 512
_CONTEXT, _HOP, _BINS = 64, 128, 129
_STRIDES = (1, 2, 2, 1)


def _convolution(x, weight, stride, padding):
    """1-D convolution of ``x`` (channels, n) with ``weight`` (outputs, channels, k)."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (padding, padding))), weight.shape[2], 1)
    windows = windows[:, ::stride].swapaxes(0, 1)
    return weight.reshape(len(weight), -1) @ windows.reshape(len(windows), -1).T


class SileroVad:
    """The detector: weights and forward pass, in which gates can be replaced.

    ``weights``: name -> float32 array, names as in the published safetensors file (the ONNX files of the same package
    hold other weights). ``cell``: the LSTM.
    """

    def __init__(self, weights):
        self.weights = weights
        self.cell = Cell("lstm", "lstm", *(weights["lstm_cell." + part] for part in (
            "weight_ih", "weight_hh", "bias_ih", "bias_hh")))

    @classmethod
    def load(cls, progress=print):
        """The published model, from the cache or fetched. Raises ``fetch.FetchError`` when it cannot be had."""
        return cls(safetensors.numpy.load_file(fetch("silero-vad", progress) / "silero_vad_16k.safetensors"))

    def features(self, samples):
        """The LSTM's inputs (chunks, 128) for ``samples`` (n,), float, -1 to 1, 16 kHz; the last chunk is filled up."""
        chunks = -(-len(samples) // CHUNK)
        samples = np.pad(np.asarray(samples, np.float32), (_CONTEXT, chunks * CHUNK - len(samples)))
        return np.array([self._chunk(samples[start:start + CHUNK + _CONTEXT])
                         for start in range(0, chunks * CHUNK, CHUNK)])

    def _chunk(self, frame):
        waves = _convolution(np.pad(frame, (0, _CONTEXT), "reflect")[None], self.weights["stft_conv.weight"], _HOP, 0)
        x = np.sqrt(waves[:_BINS] ** 2 + waves[_BINS:] ** 2)
        for number, stride in enumerate(_STRIDES, 1):
            name = f"conv{number}."
            x = np.maximum(_convolution(x, self.weights[name + "weight"], stride, 1)
                           + self.weights[name + "bias"][:, None], 0)
        return x[:, 0]

    def probabilities(self, features, gate=dense_gate):
        """Probability of speech (chunks,) from the LSTM's inputs (chunks, 128)."""
        hidden, _ = run_cell(self.cell, features, gate)
        return sigmoid(np.maximum(hidden, 0) @ self.weights["final_conv.weight"][0, :, 0]
                       + self.weights["final_conv.bias"][0])
