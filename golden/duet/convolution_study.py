"""How well the convolutions of a trained reader are speculated: layer by layer, and the whole network's answer.

All choices (projections, weights, thresholds) come from calibration images; all figures are of other images.
"""

import dataclasses

import numpy as np

from golden.duet.calibrate import SpeculatorFormat, calibrate_speculation, convolution_rows
from golden.duet.dmi import (LittleModule, Regression, block_projection, random_projection, reduced_dimension,
                             top_k_needed)
from golden.duet.networks import (CLIPPING, calibrate_convolutions, convolution_function, held_out,
                                  projection_rows, record_convolutions, sample_layer)
from golden.duet.speculator_mfu import Function
from golden.workloads.easyocr import character_accuracy

__all__ = ["BUDGETS", "INPUTS", "layer_study", "method_study", "network_study"]

BUDGETS = (0.02, 0.05, 0.1, 0.2)
#: Greatest input of INT16 as a share of the greatest in calibration, shift to INT4: the hardware's is 12.
INPUTS = ((1.0, 12), (CLIPPING, 12), (1.0, 11))
LAYER_BUDGET = 0.05
_COLS, _TREES = 16, 16


@dataclasses.dataclass(frozen=True)
class _Data:
    """One layer's windows (samples, groups, lanes) and true pre-activations (samples, n).

    ``rows`` and ``y`` to fit on; ``held_rows`` and ``held_y``, of the same images, for thresholds; ``other_rows`` and
    ``other_y`` of the images to evaluate on.
    """

    rows: np.ndarray
    y: np.ndarray
    held_rows: np.ndarray
    held_y: np.ndarray
    other_rows: np.ndarray
    other_y: np.ndarray

    @classmethod
    def take(cls, layer, inputs, others, samples):
        parts = []
        for maps, count in ((inputs, samples), (others, samples // 2)):
            picks, y = sample_layer(layer, maps, count)
            parts.append((np.concatenate([convolution_rows(x, layer.weight.shape[2:], layer.padding, _COLS, pick,
                                                           layer.stride)
                                          for x, pick in zip(maps, picks)]), y))
        (rows, y), other = parts
        held = held_out(len(rows))
        return cls(rows[~held], y[~held], rows[held], y[held], *other)


def _flat(rows):
    return rows.reshape(len(rows), -1)


def _little(data, projection, *bits):
    """Estimates of a float ``LittleModule`` on held-out and on other rows; ``bits`` of weights and inputs."""
    largest = CLIPPING * np.abs(data.rows).max()
    module = LittleModule.fit(projection, _flat(data.rows), data.y, *bits, input_range=largest)
    return module(_flat(data.held_rows)), module(_flat(data.other_rows))


def _hardware(data, k_group, clipping=CLIPPING, rounded=False, **formats):
    """Estimates of the hardware's integers, in units of each channel's error; ``rounded``: INT4 by rounding."""
    step = clipping * np.abs(data.rows).max() * 4096 / 32767

    def small(rows):
        return np.clip(np.floor(rows / step + (0.5 if rounded else 0)), -8, 7).astype(np.float32)

    speculation = calibrate_speculation(small(data.rows), data.y, Function.RELU, k_group,
                                        formats=SpeculatorFormat(**formats))
    return speculation.pre(small(data.held_rows)), speculation.pre(small(data.other_rows))


def _truncation(data, k_group, refit):
    """Float estimates from truncated inputs, with what the fit on untruncated ones gave and ``refit`` names renewed."""
    step = CLIPPING * np.abs(data.rows).max() / 8
    projection = block_projection([(k_group, data.rows.shape[2])] * data.rows.shape[1])

    def projected(rows, truncated):
        x = _flat(rows) / step
        return (np.clip(np.floor(x), -8, 7) if truncated else np.clip(x, -8, 8)) @ projection.T

    z, cut = projected(data.rows, False), projected(data.rows, True)
    regression = Regression(z.shape[1], data.y.shape[1])
    regression.add(cut if refit == "both" else z, data.y)
    weight, bias = regression.solve()
    if refit == "bias":
        bias = data.y.mean(0) - weight @ cut.mean(0)
    return [projected(rows, True) @ weight.T + bias for rows in (data.held_rows, data.other_rows)]


def _variants(layer, data):
    """Name -> (k, function that gives the estimates) of one layer."""
    groups, lanes = data.rows.shape[1:]
    d, n = groups * lanes, len(layer.weight)
    quarter, group = d // 4, projection_rows(lanes, groups, _TREES)
    few = projection_rows(lanes, groups, _TREES, 0.25)
    full, eq39 = random_projection(quarter, d), min(d, reduced_dimension(n, 0.5))
    variants = {
        "float, full P, d/4": (quarter, lambda: _little(data, full, None, None)),
        "float, full P, d/8": (d // 8, lambda: _little(data, random_projection(d // 8, d), None, None)),
        "float, full P, Eq. 3.9 with 0.5": (eq39, lambda: _little(data, random_projection(eq39, d), None, None)),
        "float, blocks of P, d/4": (lanes // 4 * groups, lambda: _little(
            data, block_projection([(lanes // 4, lanes)] * groups), None, None)),
        **{f"full P, d/4, inputs INT{x}, weights INT{w}": (quarter, lambda w=w, x=x: _little(data, full, w, x))
           for w, x in ((8, 8), (4, 4), (2, 4))},
        "hardware": (group * groups, lambda: _hardware(data, group)),
        "hardware, about d/4": (few * groups, lambda: _hardware(data, few)),
        "hardware, inputs not clipped": (group * groups, lambda: _hardware(data, group, 1.0)),
        "hardware, inputs rounded": (group * groups, lambda: _hardware(data, group, rounded=True)),
    }
    for bits in (6, 4):
        variants[f"hardware, pre of {bits} bits"] = (group * groups, lambda bits=bits: _hardware(
            data, group, pre_bits=bits, code_bits=4))
    for name, refit in (("not folded in", None), ("folded into the bias", "bias"), ("folded into W' and b'", "both")):
        variants[f"truncated inputs, {name}"] = (group * groups, lambda refit=refit: _truncation(data, group, refit))
    return variants


def _losses(q, y):
    """(sorted estimates, relative loss of skipping up to each)."""
    order = np.argsort(q, axis=None, kind="stable")
    squares = np.square(np.maximum(y, 0)).ravel()[order]
    return q.ravel()[order], np.sqrt(np.cumsum(squares) / squares.sum())


def _measure(estimates, data, budget):
    """Skipped share, precision and loss on other images with the threshold that calibration gives for ``budget``."""
    p, other = estimates
    error = np.sqrt(np.square(p - data.held_y).mean(0)) if p.dtype.kind == "f" else 1
    ordered, losses = _losses(p / error, data.held_y)
    threshold = ordered[min(np.searchsorted(losses, budget, side="right"), len(ordered) - 1)]
    skip = other / error < threshold
    positive = np.maximum(data.other_y, 0)
    return {"skip": float(skip.mean()), "precision": float((data.other_y[skip] <= 0).mean()) if skip.any() else 1.0,
            "loss": float(np.sqrt(np.square(positive[skip]).sum() / np.square(positive).sum()))}


def layer_study(model, images, others, samples=6000, budget=LAYER_BUDGET, progress=None):
    """A row for each layer but the first and each variant of the little module: k, skip, precision, loss.

    ``images`` to calibrate on, ``others`` to evaluate on.
    """
    inputs, other_inputs, rows = record_convolutions(model, images), record_convolutions(model, others), []
    for layer in model.convolutions[1:]:
        data = _Data.take(layer, inputs[layer.name], other_inputs[layer.name], samples)
        zeros = float((data.other_y <= 0).mean())
        for name, (k, estimate) in _variants(layer, data).items():
            rows.append({"layer": layer.name, "d": layer.weight[0].size, "zeros": zeros, "variant": name, "k": k,
                         **_measure(estimate(), data, budget)})
        if progress:
            progress(f"{layer.name}: {len(rows)} rows")
    return {"budget": budget, "samples": samples, "rows": rows}


def method_study(model, images, others, samples=4000, budget=LAYER_BUDGET):
    """The three threshold methods of 3.3.3 on the hardware's estimates, and the one by budget, at equal mean loss.

    A method's one number for all layers is chosen so that the layers' mean loss on calibration data is ``budget``.
    """
    inputs, other_inputs, layers = record_convolutions(model, images), record_convolutions(model, others), []
    for layer in model.convolutions[1:]:
        data = _Data.take(layer, inputs[layer.name], other_inputs[layer.name], samples)
        projection = block_projection([(projection_rows(data.rows.shape[2], data.rows.shape[1], _TREES),
                                        data.rows.shape[2])] * data.rows.shape[1])
        p, other = _little(data, projection, 4, 4)
        error = float(np.sqrt(np.square(p - data.held_y).mean()))
        macs = layer.weight[0].size * sum(np.prod(layer.output_shape(x)) for x in other_inputs[layer.name])
        layers.append((data, p, other, error, macs))

    def masks(method, knob, p, y, error, which):
        if method == "fixed":
            return which < knob
        if method == "adaptive (Eq. 3.18)":
            return which < knob - error
        if method == "top-K (Eq. 3.19)":
            count = int(np.clip(round((1 - knob) * which.shape[1]), 0, which.shape[1]))
            return ~top_k_needed(which, Function.RELU, count)
        ordered, losses = _losses(p, y)
        return which < ordered[min(np.searchsorted(losses, max(knob, 0), side="right"), len(ordered) - 1)]

    def loss(skip, y):
        positive = np.maximum(y, 0)
        return float(np.sqrt(np.square(positive[skip]).sum() / np.square(positive).sum()))

    rows = []
    for method, low, high in (("fixed", -20, 20), ("adaptive (Eq. 3.18)", -20, 20), ("top-K (Eq. 3.19)", 0, 1),
                              ("by budget", 0, 1)):
        for _ in range(16):
            middle = (low + high) / 2
            mean = np.mean([loss(masks(method, middle, p, data.held_y, error, p), data.held_y)
                            for data, p, _, error, _ in layers])
            low, high = (low, middle) if mean > budget else (middle, high)
        skips = [masks(method, low, p, data.held_y, error, other) for data, p, other, error, _ in layers]
        weights = [macs for *_, macs in layers]
        losses = [loss(skip, data.other_y) for skip, (data, *_) in zip(skips, layers)]
        rows.append({"method": method, "knob": low, "skip": [float(skip.mean()) for skip in skips],
                     "macs_skipped": float(np.average([skip.mean() for skip in skips], weights=weights)),
                     "loss": losses, "loss_mean": float(np.mean(losses))})
    return {"budget": budget, "rows": rows}


def network_study(model, images, sets, budgets=BUDGETS, inputs=INPUTS, progress=None):
    """The whole reader with all convolutions in integers: text read, error, skipped outputs.

    ``sets``: name -> list of (image, text). ``inputs``: pairs of a clipping of INT16 and the shift that makes INT4 of
    it. A budget of 0 stands for no speculation. ``accuracy``: characters of the true text that are read; ``agreement``:
    of the text that the exact network reads; ``same``: lines that are read as it reads them.
    """
    recorded, rows = record_convolutions(model, images), []
    exact = {name: [model.features(image) for image, _ in lines] for name, lines in sets.items()}
    originals = {name: [model.decode(model.sequence(x)) for x in features] for name, features in exact.items()}
    reference = {name: character_accuracy(originals[name], [text for _, text in lines]) for name, lines in sets.items()}
    macs = {layer.name: layer.weight[0].size for layer in model.convolutions}
    for clipping, shift in inputs:
        layers = calibrate_convolutions(model, images, clipping=clipping, inputs=recorded,
                                        formats=SpeculatorFormat(input_shift=shift))
        for budget in (0, *budgets):
            chosen = {name: dataclasses.replace(layer, speculation=None) if budget == 0 else layer.at_budget(budget)
                      for name, layer in layers.items()}
            for name, lines in sets.items():
                counts = {}

                def record(layer, mask, results):
                    skipped, zeros, size = counts.get(layer, (0, 0, 0))
                    counts[layer] = skipped + (~mask).sum(), zeros + (results == 0).sum(), size + mask.size

                got = [model.features(image, convolution_function(chosen, record)) for image, _ in lines]
                texts = [model.decode(model.sequence(x)) for x in got]
                total = sum(macs[layer] * size for layer, (_, _, size) in counts.items())
                rows.append({
                    "clipping": clipping, "shift": shift, "budget": budget, "images": name,
                    "accuracy": character_accuracy(texts, [text for _, text in lines]),
                    "agreement": character_accuracy(texts, originals[name]),
                    "same": sum(text == original for text, original in zip(texts, originals[name])),
                    "error": float(np.sqrt(sum(np.square(a - b).sum() for a, b in zip(got, exact[name]))
                                           / sum(np.square(b).sum() for b in exact[name]))),
                    "macs_skipped": float(sum(macs[layer] * count[0] for layer, count in counts.items()) / total),
                    "skip": {layer: float(skipped / size) for layer, (skipped, _, size) in counts.items()},
                    "zeros": {layer: float(zeros / size) for layer, (_, zeros, size) in counts.items()},
                    "thresholds": {layer: chosen[layer].speculation.threshold for layer in chosen
                                   if chosen[layer].speculation is not None}})
                if progress:
                    row = rows[-1]
                    progress(f"clipping {clipping:g}, shift {shift}, budget {budget:g}, {name}: accuracy "
                             f"{row['accuracy']:.3f}, MACs skipped {row['macs_skipped']:.2f}")
    return {"reference": reference, "rows": rows}
