"""Accuracy of training with a dynamic sparse graph on real digits, over sparsity (thesis 4.3.1, Figure 4.5)."""

import numpy as np

from golden.duet.dsg import SELECTIONS, DsgNetwork, Options, accuracy, macs_per_sample, train

__all__ = ["REDUCTIONS", "SPARSITIES", "WIDTHS", "study"]

WIDTHS = (64, 128, 128, 10)
SPARSITIES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95)
REDUCTIONS = (0.5, 0.125)
_BASE = Options()


def study(data, sparsities=SPARSITIES, epochs=20, seeds=(0, 1), widths=WIDTHS, progress=None):
    """Rows of a table, one for each choice and sparsity; ``data`` from ``golden.workloads.digits``.

    A row has the options, mean and standard deviation of the accuracy over ``seeds``, zeros of the hidden layers in
    inference, and the MACs of one inference as a share of the dense network's.
    """
    choices = {f"{selection}": dict(selection=selection) for selection in SELECTIONS}
    choices |= {f"search, {name}": dict(normalisation=name) for name in ("single mask", "none")}
    choices |= {f"search, k = {reduction:g} d": dict(reduction=reduction) for reduction in REDUCTIONS}
    rows = []
    for name, changes in choices.items():
        for sparsity in sparsities:
            options = Options(sparsity, **changes)
            results = [_run(options, widths, data, epochs, seed) for seed in seeds]
            reached = [result[0] for result in results]
            rows.append({"choice": name, "sparsity": sparsity, "accuracy": round(float(np.mean(reached)), 4),
                         "deviation": round(float(np.std(reached)), 4),
                         "zeros": np.mean([result[1] for result in results], 0).round(3).tolist(),
                         "macs": round(_macs(options, widths), 3)})
        if progress:
            progress(f"{name}: " + " ".join(f"{row['sparsity']:g}: {row['accuracy']:.3f}"
                                            for row in rows[-len(sparsities):]))
    return {"widths": list(widths), "epochs": epochs, "seeds": list(seeds), "training_images": len(data[0][0]),
            "evaluation_images": len(data[1][0]), "reduction": _BASE.reduction, "refresh": _BASE.refresh, "rows": rows}


def _run(options, widths, data, epochs, seed):
    (images, labels), (others, other_labels) = data
    network = DsgNetwork(widths, options, seed)
    train(network, images.astype(np.float64), labels, epochs, seed=seed)
    return accuracy(network, others, other_labels), network.sparsity(others)


def _macs(options, widths):
    """MACs of an inference, search included where there is one, as a share of the dense network's."""
    pairs = list(zip(widths, widths[1:]))
    k = [options.reduction * inputs if options.selection == "search" else 0 for inputs, _ in pairs[:-1]]
    hidden = sum(macs_per_sample(*pair, rows, options.sparsity) for pair, rows in zip(pairs, k))
    last = pairs[-1][0] * pairs[-1][1] * (1 - options.sparsity)
    return (hidden + last) / sum(a * b for a, b in pairs)
