"""Hidden vectors: kept in the cache, whole or not at all; domains and targets."""

import numpy as np
import pytest

from golden.workloads import hidden
from golden.workloads.text import texts


class Toy:
    """Stands in for the model: a token is a word's number of letters; counts its forward passes."""

    output_weight = np.zeros((30, 4), np.float32)

    def __init__(self):
        self.passes = 0

    def check_tokens(self, tokens):
        pass

    def token_ids(self, text):
        return [len(word) for word in text.split()]

    def frame(self, ids):
        return np.array(ids, np.int64)

    def hidden(self, ids):
        self.passes += 1
        return np.outer(ids, np.arange(4)).astype(np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RESILIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hidden"


def test_vectors_are_computed_once(cache):
    model, messages = Toy(), []
    first = hidden.passages(model, texts("evaluation"), 8, 3, messages.append)
    assert first.hidden.shape == (3, 8, 4) and model.passes == 3 and len(messages) == 3
    again = hidden.passages(model, texts("evaluation"), 8, 4, messages.append)
    assert model.passes == 4 and np.array_equal(again.hidden[:3], first.hidden)
    assert np.array_equal(again.hidden, np.multiply.outer(again.ids, np.arange(4)))
    assert len(list(cache.iterdir())) == 4


def test_a_broken_entry_is_made_again(cache):
    model = Toy()
    first = hidden.passages(model, texts("calibration"), 8, 2, lambda line: None)
    for path, content in zip(sorted(cache.iterdir()), (b"", b"\x93NUMPY broken")):
        path.write_bytes(content)
    second = hidden.passages(model, texts("calibration"), 8, 2, lambda line: None)
    assert model.passes == 4 and np.array_equal(first.hidden, second.hidden)
    np.save(sorted(cache.iterdir())[0], np.zeros((2, 2), np.float32))  # another width
    assert np.array_equal(hidden.passages(model, texts("calibration"), 8, 2, lambda line: None).hidden, first.hidden)


def test_a_cache_that_cannot_be_written_to_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RESILIN_CACHE", str(tmp_path / "file"))
    assert hidden.passages(Toy(), texts("evaluation"), 8, 1, lambda line: None).hidden.shape == (1, 8, 4)


def test_targets_are_the_next_tokens():
    vectors = np.zeros((2, 3, 4), np.float32)
    passages = hidden.Passages(np.array([[5, 6, 7], [1, 2, 3]]), vectors)
    assert passages.targets.tolist() == [6, 7, -1, 2, 3, -1] and passages.vectors.shape == (6, 4)


def test_domains(tmp_path, monkeypatch):
    assert hidden.domain_texts("evaluation") == texts("evaluation")
    monkeypatch.setattr(hidden, "_GPL", tmp_path / "absent")
    assert "Apache License" in hidden.domain_texts("licence")[0]
    (tmp_path / "there").write_text("A licence.")
    monkeypatch.setattr(hidden, "_GPL", tmp_path / "there")
    assert hidden.domain_texts("licence") == ["A licence."]
    with pytest.raises(ValueError, match="domain = 'prose'.*calibration, evaluation, licence"):
        hidden.domain_texts("prose")
