"""SmolLM2: against a second formulation in float64, known tokens, and its perplexity on real text."""

import math
import re

import numpy as np
import pytest

from golden.workloads import smollm2 as module
from golden.workloads.smollm2 import SmolLm2, byte_pair_tokenizer
from tests.workloads.models import smollm2

PASSAGE = ("The committee met again in the morning to decide what should be done about the bridge. Most of its members "
           "agreed that it could be repaired, but nobody wanted to say how much that would cost.")
PERPLEXITY = 23.20695  # of the passage by `_plain`, below


def _random_model(monkeypatch, layers=2, tokens=20):
    """A model of the real shape with few layers and tokens and random weights."""
    monkeypatch.setattr(module, "LAYERS", layers)
    rng = np.random.default_rng(1)

    def matrix(outputs, inputs):
        return (rng.standard_normal((outputs, inputs)) * inputs ** -0.5).astype(np.float32)

    weights = {"token_embd.weight": matrix(tokens, 576), "output_norm.weight": matrix(1, 576)[0]}
    for layer in range(layers):
        shapes = {"attn_q": (576, 576), "attn_k": (192, 576), "attn_v": (192, 576), "attn_output": (576, 576),
                  "ffn_gate": (1536, 576), "ffn_up": (1536, 576), "ffn_down": (576, 1536)}
        weights |= {f"blk.{layer}.{name}.weight": matrix(*shape) for name, shape in shapes.items()}
        weights |= {f"blk.{layer}.{name}_norm.weight": 24 * matrix(1, 576)[0] for name in ("attn", "ffn")}
    return SmolLm2(weights, None)


def _plain(model, ids, layers):
    """The forward pass, token by token and head by head, in float64 and complex numbers."""
    weights = {name: array.astype(np.float64) for name, array in model.weights.items()}

    def normalise(x, name):
        return x / math.sqrt(np.mean(x ** 2) + 1e-5) * weights[name + ".weight"]

    def turn(x, position):
        pairs = x.reshape(-1, 32, 2)
        angles = position * 100_000.0 ** (-np.arange(32) / 32)
        return (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angles)

    x = [weights["token_embd.weight"][number] for number in ids]
    for layer in range(layers):
        name = f"blk.{layer}."
        keys, values, after = [], [], []
        for position, vector in enumerate(x):
            y = normalise(vector, name + "attn_norm")
            q = turn(weights[name + "attn_q.weight"] @ y, position)
            keys.append(turn(weights[name + "attn_k.weight"] @ y, position))
            values.append((weights[name + "attn_v.weight"] @ y).reshape(3, 64))
            heads = []
            for head in range(9):
                scores = np.array([(q[head] * key[head // 3].conj()).real.sum() for key in keys]) / 8
                shares = np.exp(scores - scores.max())
                heads.append(sum(share * value[head // 3] for share, value in zip(shares / shares.sum(), values)))
            vector = vector + weights[name + "attn_output.weight"] @ np.concatenate(heads)
            y = normalise(vector, name + "ffn_norm")
            gate = weights[name + "ffn_gate.weight"] @ y
            inner = gate / (1 + np.exp(-gate)) * (weights[name + "ffn_up.weight"] @ y)
            after.append(vector + weights[name + "ffn_down.weight"] @ inner)
        x = after
    return np.array([normalise(vector, "output_norm") for vector in x])


def test_forward_equals_a_plain_one(monkeypatch):
    model = _random_model(monkeypatch)
    ids = np.random.default_rng(2).integers(20, size=13)
    expected = _plain(model, ids, 2)
    assert np.abs(model.hidden(ids) - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_token_sees_only_those_before_it(monkeypatch):
    model = _random_model(monkeypatch)
    first = model.hidden(np.array([1, 2, 3, 4, 5]))
    second = model.hidden(np.array([1, 2, 3, 9, 5]))
    assert np.allclose(first[:3], second[:3], atol=1e-6) and np.abs(first[3:] - second[3:]).max(1).min() > 1e-4
    swapped = model.hidden(np.array([2, 1, 3]))  # positions count
    assert np.abs(swapped[2] - first[2]).max() > 1e-4


@pytest.mark.parametrize("ids, reason", [([], "tokens = 0"), ([0] * 8193, "tokens = 8193"), ([[1]], "shape"),
                                         ([-1], "from -1"), ([49_152], "to 49152")])
def test_bad_tokens_are_refused(ids, reason):
    with pytest.raises(ValueError, match=reason):
        SmolLm2({}, None).hidden(np.array(ids, np.int64))


def test_byte_pair_tokenizer_joins_in_order_and_splits_digits():
    tokens = ["a", "b", "c", "Ġ", "1", "2", "ab", "bc", "Ġab", "12"]
    tokenizer = byte_pair_tokenizer(tokens, ["b c", "a b", "Ġ ab", "1 2"])
    assert tokenizer.encode("abc").tokens == ["a", "bc"]
    assert tokenizer.encode("ab ab12").tokens == ["ab", "Ġab", "1", "2"]
    assert tokenizer.decode(tokenizer.encode("ab ab12").ids) == "ab ab12"


def test_tokens_of_the_published_model():
    """Against the algorithm written out: join the pair of least rank until none is left."""
    model = smollm2()
    ranks = {tuple(merge): number for number, merge in enumerate(_merges(model))}
    letters = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    alphabet = {byte: chr(byte if byte in letters else next(others)) for byte in range(256)}
    text = "Sparse attention (2022), naïve café: x = 3.1415\n\n    return  'y'  # don't  \n"
    parts = []
    for piece in re.split(r"(\d)", text):
        parts += [piece] if piece.isdigit() else re.findall(
            r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+", piece)
    expected = []
    for part in parts:
        symbols = [alphabet[byte] for byte in part.encode()]
        while True:
            joins = [(ranks[pair], i) for i, pair in enumerate(zip(symbols, symbols[1:])) if pair in ranks]
            if not joins:
                break
            _, i = min(joins)
            symbols[i:i + 2] = [symbols[i] + symbols[i + 1]]
        expected += symbols
    assert model.tokenizer.encode(text).tokens == expected
    assert model.text(model.token_ids(text)) == text


def _merges(model):
    import json
    merges = json.loads(model.tokenizer.to_str())["model"]["merges"]
    return [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]


def test_the_model_knows_its_language():
    model = smollm2()
    assert model.output_weight.shape == (49_152, 576)
    last = model.hidden(model.token_ids("The capital of France is"))[-1]
    assert model.text([int((model.output_weight @ last).argmax())]) == " Paris"
    ids = model.token_ids(PASSAGE)
    scores = model.hidden(ids)[:-1] @ model.output_weight.T
    scores -= scores.max(1, keepdims=True)
    loss = np.log(np.exp(scores).sum(1)) - scores[np.arange(len(ids) - 1), ids[1:]]
    assert abs(np.exp(loss.mean()) / PERPLEXITY - 1) < 1e-3
