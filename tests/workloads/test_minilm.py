"""The MiniLM encoder: against a second formulation, known sentence similarities and measured attention."""

import math

import numpy as np
import pytest

from golden.workloads.minilm import HEAD_WIDTH, HEADS, LAYERS, MiniLm, erf, softmax
from golden.workloads.text import evaluation_windows
from tests.workloads.models import minilm

# Share of attention on the strongest 10 % of the keys, per layer, 256 tokens: measured with a separate
# implementation that agrees with onnxruntime to 2.3e-6.
TOP_TENTH_MASS = (0.46, 0.84, 0.82, 0.73, 0.71, 0.51)


def test_error_function():
    x = np.linspace(-5, 5, 2001, dtype=np.float32)
    assert np.abs(erf(x) - [math.erf(value) for value in x]).max() < 5e-7


def test_softmax_with_mask():
    scores = np.array([[1.0, 2.0, 3.0]], np.float32)
    assert np.allclose(softmax(scores), np.exp(scores) / np.exp(scores).sum())
    assert np.allclose(softmax(scores, np.array([[True, False, True]])), [[0.1192029, 0, 0.8807971]])


@pytest.mark.parametrize("layer, head, field", [
    (6, 0, "layer = 6.*0 to 5"), (0, 12, "head = 12.*0 to 11"), (-1, 0, "layer")])
def test_head_that_does_not_exist(layer, head, field):
    with pytest.raises(ValueError, match=field):
        MiniLm.check_head(layer, head)


def test_similar_sentences_are_close_and_others_are_not():
    model = minilm()
    eating, meal, market = (model.embed(model.encode(sentence))[0] for sentence in (
        "A man is eating food.", "A man eats a meal.", "The stock market fell sharply today."))
    assert eating @ meal > 0.85 and abs(eating @ market) < 0.15
    assert np.allclose([np.linalg.norm(eating), np.linalg.norm(market)], 1, atol=1e-5)


def test_forward_equals_a_plain_float64_layer():
    """One layer, one text, written out in float64 with math.erf."""
    model = minilm()
    traces = []
    after = model.forward(model.encode("Sparse attention."), traces=traces, layers=1)[0]
    x = traces[0].x[0].astype(np.float64)
    weights = {name.removeprefix("encoder.layer.0."): value.astype(np.float64)
               for name, value in model.weights.items() if name.startswith("encoder.layer.0.")}

    def linear(name, values):
        return values @ weights[name + ".weight"].T + weights[name + ".bias"]

    def normalise(name, values):
        values = (values - values.mean(1, keepdims=True)) / values.std(1, keepdims=True)
        return values * weights[name + ".weight"] + weights[name + ".bias"]

    outputs = []
    for head in range(HEADS):
        columns = slice(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH)
        q, k, v = (linear(f"attention.self.{part}", x)[:, columns] for part in ("query", "key", "value"))
        assert np.abs(q - traces[0].q[0, head]).max() < 1e-4 and np.abs(v - traces[0].v[0, head]).max() < 1e-4
        exponentials = np.exp(q @ k.T / math.sqrt(HEAD_WIDTH))
        outputs.append(exponentials / exponentials.sum(1, keepdims=True) @ v)
    x = normalise("attention.output.LayerNorm", x + linear("attention.output.dense", np.concatenate(outputs, 1)))
    hidden = linear("intermediate.dense", x)
    hidden = hidden * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2))) / 2
    assert np.abs(normalise("output.LayerNorm", x + linear("output.dense", hidden)) - after).max() < 1e-4


def test_attention_is_as_concentrated_as_measured():
    model = minilm()
    traces = []
    model.forward(evaluation_windows(model, 256, 3), traces=traces)
    for trace, expected in zip(traces, TOP_TENTH_MASS, strict=True):
        weights = softmax(trace.q @ trace.k.swapaxes(-1, -2) / np.float32(HEAD_WIDTH ** 0.5))
        assert abs(np.sort(weights, -1)[..., -26:].sum(-1).mean() - expected) < 0.05


def test_attention_hook_sees_every_layer_and_decides_the_output():
    model = minilm()
    ids = evaluation_windows(model, 16, 2)
    seen = []

    def only_first_token(layer, trace):
        seen.append(layer)
        return np.broadcast_to(trace.v[:, :, :1], trace.v.shape)

    assert model.embed(ids, only_first_token).shape == (2, 384) and seen == list(range(LAYERS))
    assert not np.allclose(model.embed(ids, only_first_token), model.embed(ids), atol=0.1)


def test_texts_in_a_batch_do_not_meet():
    model = minilm()
    ids = evaluation_windows(model, 32, 3)
    assert np.abs(model.embed(ids)[1] - model.embed(ids[1:2])[0]).max() < 1e-5


def test_a_text_longer_than_the_model_is_cut():
    model = minilm()
    assert model.encode("word " * 1000).shape == (1, 512)
