"""Dynamic sparse graph: selection, masks, gradients against differences, training on real digits."""

import numpy as np
import pytest

from golden.duet import dsg
from tests.workloads.models import digits

WIDTHS = (12, 20, 16, 4)


def _batch(samples=10, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(samples, WIDTHS[0])), rng.integers(0, WIDTHS[-1], samples)


def test_the_first_samples_threshold_is_shared():
    values = np.array([[5.0, 1, 3, 4], [2, 2, 3.5, 9], [0, 0, 0, 0]])
    assert dsg.shared_top_k(values, 2).tolist() == [[1, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert dsg.shared_top_k(values, 4)[0].all()
    for count in (0, 5):
        with pytest.raises(ValueError, match=f"count = {count}"):
            dsg.shared_top_k(values, count)


def test_search_finds_most_of_the_greatest_outputs():
    """The projected products find the greatest neurons far better than chance."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 40)) @ rng.normal(size=(40, 400))
    found = {}
    for selection in dsg.SELECTIONS:
        network = dsg.DsgNetwork((400, 300, 10), dsg.Options(0.8, 0.5, selection))
        network.parameters["w0"] = rng.normal(size=(300, 40)) @ rng.normal(size=(40, 400)) / 40
        network.project_weights()
        true = x @ network.parameters["w0"].T
        best = true >= np.partition(true, -60, 1)[:, -60:][:, :1]
        mask = network.select(0, x, each=True)
        assert (mask.sum(1) == 60).all()
        found[selection] = (mask & best).sum() / best.sum()
    assert found["oracle"] == 1 and found["search"] > 0.4 and 0.15 < found["random"] < 0.25


@pytest.mark.parametrize("normalisation", dsg.NORMALISATIONS)
@pytest.mark.parametrize("sparsity", [0, 0.6])
def test_gradients_equal_differences(normalisation, sparsity):
    network = dsg.DsgNetwork(WIDTHS, dsg.Options(sparsity, normalisation=normalisation), seed=3)
    rng = np.random.default_rng(4)
    for name in network.parameters:
        network.parameters[name] = network.parameters[name] + 0.1 * rng.normal(size=network.parameters[name].shape)
    x, labels = _batch()
    masks = [rng.random((len(x), width)) >= sparsity for width in WIDTHS[1:-1]]

    def loss():
        return dsg.cross_entropy(network.forward(x, masks=masks)[0], labels)[0]

    scores, saved = network.forward(x, masks=masks)
    gradients = network.backward(saved, dsg.cross_entropy(scores, labels)[1])
    assert set(gradients) == set(network.parameters)
    for name, gradient in gradients.items():
        parameter = network.parameters[name]
        for index in [tuple(rng.integers(0, size) for size in parameter.shape) for _ in range(6)]:
            kept, differences = parameter[index], []
            for change in (1e-6, -1e-6):
                parameter[index] = kept + change
                differences.append(loss())
            parameter[index] = kept
            assert gradient[index] == pytest.approx((differences[0] - differences[1]) / 2e-6, rel=1e-3, abs=1e-7), name


def test_double_mask_keeps_what_batch_normalisation_would_fill():
    x, _ = _batch(50)
    share = {}
    for normalisation in dsg.NORMALISATIONS:
        network = dsg.DsgNetwork(WIDTHS, dsg.Options(0.75, 1.0, "oracle", normalisation), seed=5)
        network.forward(x)
        network.parameters.update({name: value + 0.1 for name, value in network.parameters.items() if "off" in name})
        share[normalisation] = min(network.sparsity(x))
    assert share["double mask"] >= 0.75 and share["none"] >= 0.75 and share["single mask"] < 0.1


def test_no_gradient_reaches_a_neuron_that_is_left_out():
    network = dsg.DsgNetwork(WIDTHS, dsg.Options(0.5), seed=6)
    x, labels = _batch()
    masks = [np.ones((len(x), width), bool) for width in WIDTHS[1:-1]]
    masks[0][:, 3] = masks[1][:, 7] = False
    scores, saved = network.forward(x, masks=masks)
    gradients = network.backward(saved, dsg.cross_entropy(scores, labels)[1])
    assert not gradients["w0"][3].any() and not gradients["w1"][7].any() and not gradients["w2"][:, 7].any()
    assert gradients["w0"][2].any()


def test_weights_are_projected_anew_only_when_it_is_time():
    network = dsg.DsgNetwork(WIDTHS, dsg.Options(0.5, refresh=1000), seed=7)
    x, labels = _batch(64)
    before = network.select(0, x)
    network.parameters["w0"] *= -1
    assert np.array_equal(network.select(0, x), before)
    network.project_weights()
    assert not np.array_equal(network.select(0, x), before)
    losses = dsg.train(network, np.tile(x, (4, 1)), np.tile(labels, 4), epochs=30, batch=64)
    assert losses[-1] < 0.5 * losses[0]


def test_multiplications():
    assert dsg.macs_per_sample(100, 10, 20, 0.8) == pytest.approx(10 * (20 + 20))


@pytest.mark.parametrize("changes, field", [
    ({"sparsity": 1}, "sparsity = 1"), ({"reduction": 0}, "reduction = 0"), ({"selection": "best"}, "selection"),
    ({"normalisation": "batch"}, "normalisation"), ({"refresh": 0}, "refresh = 0")])
def test_bad_options(changes, field):
    with pytest.raises(ValueError, match=f"{field}.*is not allowed"):
        dsg.Options(**changes)


def test_real_digits_are_learned_with_four_of_five_neurons_left_out():
    (images, labels), (others, other_labels) = digits()
    network = dsg.DsgNetwork((64, 96, 10), dsg.Options(0.8), seed=0)
    losses = dsg.train(network, images.astype(float), labels, epochs=12)
    assert losses[-1] < 0.1 * losses[0]
    assert dsg.accuracy(network, others, other_labels) > 0.94 and network.sparsity(others)[0] >= 0.8
