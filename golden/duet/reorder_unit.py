"""Golden model of the Reorder Unit: output channels sorted into buckets of alike work (thesis 5.2.1, Fig. 5.5)."""

import numpy as np

from golden.arith.fixed import as_flags, as_integers

__all__ = ["bucket_of", "channel_sums", "order"]


def channel_sums(maps):
    """Outputs to compute of each channel of a tile: ``maps`` (channels, lanes) of 0 and 1 -> int64 (channels,)."""
    maps = as_flags("maps", maps)
    if maps.ndim != 2:
        raise ValueError(f"maps has shape {maps.shape}: it must be (channels, lanes)")
    return maps.sum(axis=1, dtype=np.int64)


def bucket_of(sums, thresholds):
    """Bucket of each sum: the number of thresholds that it does not exceed (bucket 0: above the first one).

    ``thresholds``: the interval thresholds, descending, one less than there are buckets; a threshold that is not
    below the one before it leaves a bucket empty. Raises ``ValueError`` where one is greater than the one before it.
    """
    sums = as_integers("sums", sums)
    thresholds = as_integers("thresholds", thresholds) if len(thresholds) else np.zeros(0, dtype=np.int64)
    if thresholds.ndim != 1 or np.any(np.diff(thresholds) > 0) or np.any(thresholds < 0):
        raise ValueError(f"thresholds = {thresholds.tolist()} is not allowed: thresholds must descend and not be "
                         "below 0")
    return (sums[..., None] <= thresholds).sum(axis=-1)


def order(maps, thresholds):
    """Channels of a tile in the order in which the Executor works on them: bucket 0 first, stable within a bucket.

    Parameters as in :func:`channel_sums` and :func:`bucket_of`. Returns int64 (channels,), a permutation.
    """
    maps = np.asarray(maps)
    sums = channel_sums(maps)
    if len(thresholds) and max(thresholds) > maps.shape[1]:
        raise ValueError(f"thresholds holds {max(thresholds)}: a threshold must be from 0 to {maps.shape[1]} lanes")
    return np.argsort(bucket_of(sums, thresholds), kind="stable")
