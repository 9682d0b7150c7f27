"""Letters to phonemes: known words, unknown letters; gates can be replaced."""

import numpy as np

from golden.workloads.g2p import GRAPHEMES, PHONEMES
from golden.workloads.layers import dense_gate
from tests.workloads.models import g2p


def test_tables():
    assert len(GRAPHEMES) == 29 and len(PHONEMES) == 74 == len(set(PHONEMES))
    assert PHONEMES[4] == "AA0" and PHONEMES[-1] == "ZH" and PHONEMES.index("UW") + 1 == PHONEMES.index("UW0")


def test_words():
    model = g2p()
    assert model.phonemes("attention") == "AH0 T EH1 N SH AH0 N".split()
    assert model.phonemes("Attention") == model.phonemes("attention")
    assert 10 < len(model.phonemes("attention" * 20)) <= 20 and model.phonemes("é")


def test_gates_can_be_replaced():
    model, seen = g2p(), set()

    def gate(cell, name, x, h, reset=None):
        seen.add((cell.name, name))
        return dense_gate(cell, name, x, h, reset)

    assert model.phonemes("word", gate) == model.phonemes("word")
    assert seen == {(cell, name) for cell in ("enc", "dec") for name in "rzn"}
    assert model.phonemes("word", lambda cell, *_: np.zeros(cell.width)) != model.phonemes("word")
