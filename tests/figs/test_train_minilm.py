"""Distillation of MiniLM's last feed-forward block: its inputs, the way to the sentence vector, loss, training."""

import functools

import numpy as np
import pytest

from golden.figs import minilm_study
from golden.figs.feed_forward import LastBlock, last_block
from golden.figs.minilm_study import Distillation
from golden.figs.nm_network import export_network
from golden.figs.patterns import Pattern, is_pattern
from golden.figs.train import prune
from golden.workloads.minilm import LAYERS
from tests.workloads.models import minilm


@functools.cache
def _data(model):
    return Distillation(model, {"training": 8, "validation": 2, "evaluation": 2})


def test_the_block_is_the_models_own():
    model = minilm()
    around, block, ids = LastBlock(model), last_block(model), model.encode("Weights that are zero cost nothing.")
    inputs, vectors = around.inputs(ids)
    outputs = block.forward(inputs[0])[None]
    assert inputs.shape == (1, ids.shape[1], 384) and np.array_equal(vectors, model.embed(ids))
    assert np.abs(around.sentences(inputs, outputs) - vectors).max() < 1e-5
    assert (around.sentences(inputs, 0 * outputs) * vectors).sum() < 0.95
    # The input comes after this layer's attention, so it differs from the layer's own.
    assert np.abs(inputs - model.forward(ids, layers=LAYERS - 1)).max() > 0.1


def test_parts_are_apart():
    data = _data(minilm())
    shapes = {name: data.part(name).inputs.shape for name in ("training", "validation", "evaluation")}
    assert shapes == {"training": (8, 128, 384), "validation": (2, 128, 384), "evaluation": (2, 128, 384)}
    # The frame of a passage, [CLS] and [SEP], is the same everywhere; no inner vector is.
    rows = [{row.tobytes() for row in data.part(name).inputs[:, 1:-1].reshape(-1, 384)} for name in shapes]
    assert not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]


def test_loss_counts_every_output_by_its_own_deviation():
    data = _data(minilm())
    targets = data.part("training").outputs[0].astype(np.float64)
    everywhere = data.part("training").outputs.reshape(-1, 384)
    mean = np.broadcast_to(everywhere.mean(0), everywhere.shape)
    assert data.loss(mean, everywhere)[0] == pytest.approx(0.5, rel=1e-3)
    outputs = targets + np.random.default_rng(0).normal(size=targets.shape)
    gradient = data.loss(outputs, targets)[1]
    for index in ((0, 0), (5, 100), (127, 383)):
        change = np.zeros_like(outputs)
        change[index] = 1e-3
        slope = (data.loss(outputs + change, targets)[0] - data.loss(outputs - change, targets)[0]) / 2e-3
        assert gradient[index] == pytest.approx(slope, rel=1e-4)


def test_quality():
    data = _data(minilm())
    assert data.quality(data.block) == pytest.approx({"missed": 0, "cosine": 1, "sentence": 1}, abs=1e-5)
    everything = data.quality(data.block.copy({name: 0 * value + (name == "b1") * value
                                               for name, value in data.block.parameters.items()}))
    assert everything["missed"] > 1 and everything["sentence"] < 0.95


def test_training_repairs_a_block_that_pruning_breaks():
    """A minute's worth of text and two epochs bring back most of what one-shot pruning takes, in integers too."""
    data, pattern = _data(minilm()), Pattern(2, 8)
    shot = data.quality(prune(data.block, pattern))
    for recipe in minilm_study.RECIPES[1:3]:
        network = data.train(recipe, pattern, epochs=2)
        assert all(is_pattern(network.parameters[name], pattern) for name in ("w0", "w1"))
        trained = data.quality(network)
        assert trained["missed"] < 0.8 * shot["missed"] and trained["sentence"] > shot["sentence"] + 0.03
    integer = data.quality(export_network(network, pattern, data.part("training").inputs.reshape(-1, 384)))
    assert abs(integer["missed"] - trained["missed"]) < 0.05
