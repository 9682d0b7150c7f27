"""Rows of results over seeds, and differences between recipes seed by seed."""

import numpy as np

__all__ = ["RIVALS", "differences", "over_seeds"]

#: Pairs of recipes that are set against each other: the first minus the second.
RIVALS = (("FiGS", "SR-STE"), ("FiGS", "fine-tuned"), ("FiGS", "FiGS, masks nested"))


def over_seeds(values):
    """Mean, and standard deviation between seeds (``None`` of a single one), each rounded to 5 decimals."""
    deviation = round(float(np.std(values, ddof=1)), 5) if len(values) > 1 else None
    return round(float(np.mean(values)), 5), deviation


def differences(rows, key):
    """Mean difference of ``key`` between rivals by pattern, and its standard error over the seeds.

    ``rows``: dicts with "recipe", "pattern" and a list of one value a seed under ``key``.
    """
    found, by_name = [], {(row["recipe"], row["pattern"]): row[key] for row in rows}
    for first, second in RIVALS:
        for recipe, pattern in by_name:
            if recipe == first and (second, pattern) in by_name:
                pairs = np.subtract(by_name[first, pattern], by_name[second, pattern])
                mean, deviation = over_seeds(pairs)
                error = None if deviation is None else round(deviation / len(pairs) ** 0.5, 5)
                found.append({"first": first, "second": second, "pattern": pattern, "of": key, "mean": mean,
                              "error": error})
    return found
