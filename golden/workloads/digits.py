"""Handwritten digits of scikit-learn (UCI): 1,797 images of 8 x 8 pixels, the data set for training experiments."""

import numpy as np

from golden.workloads.fetch import fetch

__all__ = ["CLASSES", "digits"]

CLASSES = 10
_LEVELS = 16
_EVALUATION = 5  # every fifth image


def digits(progress=print):
    """((images, labels) to train on, (images, labels) to evaluate on); images (n, 64) float32, 0 to 1.

    Every fifth image is for evaluation: 1,438 and 359. Raises ``fetch.FetchError`` when the data cannot be had.
    """
    table = np.loadtxt(fetch("scikit-learn", progress) / "digits.csv.gz", delimiter=",")
    images, labels = (table[:, :-1] / _LEVELS).astype(np.float32), table[:, -1].astype(np.int64)
    held_out = np.arange(len(table)) % _EVALUATION == _EVALUATION - 1
    return (images[~held_out], labels[~held_out]), (images[held_out], labels[held_out])
