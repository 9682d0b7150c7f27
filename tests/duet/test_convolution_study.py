"""The studies of convolutions, on a small network of random weights: rows, budgets, orders of quality."""

import numpy as np
import pytest

from golden.duet import convolution_study as study
from golden.workloads.layers import Convolution, dense_convolution, max_pool


class Reader:
    """Three convolutions that "read" which of the last channels is strongest."""

    def __init__(self):
        rng = np.random.default_rng(0)
        sizes = ((1, 16, (1, 1)), (16, 32, (2, 2)), (32, 24, (1, 1)))
        self.convolutions = [
            Convolution(f"conv{number}", rng.normal(size=(outputs, channels, 3, 3)) / np.sqrt(9 * channels),
                        rng.normal(size=outputs) / 2 - 0.5, 1, pool)
            for number, (channels, outputs, pool) in enumerate(sizes)]

    def features(self, image, convolution=dense_convolution):
        x = image[None]
        for layer in self.convolutions:
            x = max_pool(convolution(layer, x), layer.pool)
        return x.reshape(len(x), -1).T

    @staticmethod
    def sequence(features):
        return features

    @staticmethod
    def decode(scores):
        return "".join(chr(97 + k) for k in scores.argmax(1))


def _images(count, seed):
    noise = np.random.default_rng(seed).normal(size=(count, 22, 42))
    smooth = sum(np.roll(noise, (a, b), (1, 2)) for a in range(3) for b in range(3))
    return list(smooth[:, 2:, 2:])


@pytest.fixture(scope="module")
def model():
    return Reader()


@pytest.fixture(scope="module")
def layers(model):
    return study.layer_study(model, _images(8, 1), _images(3, 2), samples=3200, budget=0.1)["rows"]


def test_every_layer_but_the_first_and_every_variant_has_a_row(layers):
    assert {row["layer"] for row in layers} == {"conv1", "conv2"} and len(layers) == 32
    assert all(0 <= row["skip"] <= 1 and row["precision"] >= 0.6 and row["loss"] < 0.35 for row in layers)


def test_more_is_better(layers):
    skip = {variant: np.mean([row["skip"] for row in layers if row["variant"] == variant])
            for variant in {row["variant"] for row in layers}}
    assert skip["float, full P, d/4"] > skip["float, full P, d/8"]
    assert skip["hardware"] > skip["hardware, about d/4"] and skip["hardware"] > skip["hardware, inputs not clipped"]
    folded = [skip[f"truncated inputs, {name}"] for name in ("not folded in", "folded into the bias",
                                                             "folded into W' and b'")]
    assert folded[2] > folded[0]


def test_methods_spend_the_budget(model):
    rows = study.method_study(model, _images(8, 1), _images(3, 2), samples=2400, budget=0.1)["rows"]
    assert [row["method"] for row in rows] == ["fixed", "adaptive (Eq. 3.18)", "top-K (Eq. 3.19)", "by budget"]
    for row in rows:
        assert 0.05 < row["loss_mean"] < 0.2 and len(row["skip"]) == 2
        assert min(row["skip"]) <= row["macs_skipped"] <= max(row["skip"])


def test_network(model):
    sets = {"some": [(image, model.decode(model.features(image))) for image in _images(2, 3)]}
    result = study.network_study(model, _images(6, 1), sets, budgets=(0.05, 0.3), inputs=((1.0, 12), (0.5, 12)))
    assert result["reference"] == {"some": 1.0} and len(result["rows"]) == 6
    none, little, much = result["rows"][:3]
    assert none["macs_skipped"] == 0 and none["error"] < 0.01 and not none["thresholds"]
    assert none["agreement"] == 1 and none["same"] == 2 and little["agreement"] == little["accuracy"]
    assert 0 < little["macs_skipped"] < much["macs_skipped"] and little["error"] < much["error"]
    assert little["accuracy"] >= much["accuracy"] and set(little["thresholds"]) == {"conv1", "conv2"}
    assert all(much["zeros"][name] >= much["skip"][name] for name in much["skip"])
