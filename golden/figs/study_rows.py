"""Rows of results: of a search among recipes, over seeds, and differences between recipes seed by seed."""

import numpy as np

__all__ = ["RIVALS", "best_first", "differences", "over_seeds"]

#: Pairs of recipes that are set against each other: the first minus the second.
RIVALS = (("FiGS", "SR-STE"), ("FiGS", "fine-tuned"), ("FiGS", "FiGS, masks nested"))


def best_first(grid, key, measure, greatest=True, progress=None):
    """Rows of a search, one for each recipe of ``grid``: its name and settings; under ``key`` the list that
    ``measure(recipe)`` gives, a figure for each pattern; their "mean"; figures rounded to 4 decimals.

    Names in the order of the grid, of each name the greatest mean first, or the least.
    """
    rows = []
    for recipe in grid:
        reached = measure(recipe)
        rows.append({"recipe": recipe.name, "rate": recipe.rate, "decay": recipe.decay, "share": recipe.share,
                     key: [round(value, 4) for value in reached], "mean": round(float(np.mean(reached)), 4)})
        if progress:
            progress(" ".join(map(str, rows[-1].values())))
    names = list(dict.fromkeys(row["recipe"] for row in rows))
    return sorted(rows, key=lambda row: (names.index(row["recipe"]), -row["mean"] if greatest else row["mean"]))


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
