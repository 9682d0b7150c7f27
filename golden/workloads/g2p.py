"""g2p-en in numpy: English letters to phonemes, the GRU workload of DUET.

A GRU-256 encoder over the letters, a GRU-256 decoder that starts from its state, greedy. Float32 throughout.
"""

import numpy as np

from golden.workloads.fetch import fetch
from golden.workloads.layers import Cell, dense_gate, run_cell, step

__all__ = ["GRAPHEMES", "PHONEMES", "G2p"]

_PAD, _UNKNOWN, _START, _END = "<pad>", "<unk>", "<s>", "</s>"
GRAPHEMES = (_PAD, _UNKNOWN, _END, *"abcdefghijklmnopqrstuvwxyz")
_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split()
_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split()
# A vowel has a stress from 0 to 2; "UW" occurs without as well.
PHONEMES = (_PAD, _UNKNOWN, _START, _END,
            *sorted([vowel + stress for vowel in _VOWELS for stress in "012"] + _CONSONANTS + ["UW"]))
_LONGEST = 20  # phonemes


class G2p:
    """The converter: weights and forward pass, in which gates can be replaced. ``cells``: "enc" and "dec".

    ``weights``: name -> float32 array, names as in the published npz file.
    """

    def __init__(self, weights):
        self.weights = weights
        self.cells = {name: Cell(name, "gru", *(weights[f"{name}_{part}"] for part in ("w_ih", "w_hh", "b_ih", "b_hh")))
                      for name in ("enc", "dec")}

    @classmethod
    def load(cls, progress=print):
        """The published model, from the cache or fetched. Raises ``fetch.FetchError`` when it cannot be had."""
        with np.load(fetch("g2p-en", progress) / "checkpoint20.npz", allow_pickle=False) as file:
            return cls({name: file[name] for name in file.files})

    def letters(self, word):
        """The encoder's inputs (letters + 1, 256)."""
        indices = [GRAPHEMES.index(c if c in GRAPHEMES else _UNKNOWN) for c in (*word.lower(), _END)]
        return self.weights["enc_emb"][indices]

    def phonemes(self, word, gate=dense_gate):
        """The phonemes of a word, a list of strings of :data:`PHONEMES`."""
        _, state = run_cell(self.cells["enc"], self.letters(word), gate)
        last, said = PHONEMES.index(_START), []
        for _ in range(_LONGEST):
            state = step(self.cells["dec"], self.weights["dec_emb"][last], state, gate)
            last = int((self.weights["fc_w"] @ state[0] + self.weights["fc_b"]).argmax())
            if PHONEMES[last] == _END:
                break
            said.append(PHONEMES[last])
        return said
