"""Texts: calibration and evaluation never meet; bad input is refused in one line."""

import numpy as np
import pytest

from golden.workloads import text
from golden.workloads.minilm import MiniLm


class Words:
    """Stands in for the model: a token is a word's number of letters."""

    check_tokens = staticmethod(MiniLm.check_tokens)

    @staticmethod
    def token_ids(words):
        return [len(word) for word in words.split()]

    @staticmethod
    def frame(ids):
        return np.array([101, *ids, 102])


def _long_paragraphs(texts):
    paragraphs = [" ".join(paragraph.split()) for text in texts for paragraph in text.split("\n\n")]
    return [paragraph for paragraph in paragraphs if len(paragraph) >= 60]


def test_parts_share_no_paragraph_and_repeat_none():
    calibration, evaluation = (_long_paragraphs(text.texts(part)) for part in text.PARTS)
    assert not set(calibration) & set(evaluation)
    assert len(set(calibration)) == len(calibration) and len(set(evaluation)) == len(evaluation)
    for part in text.PARTS:
        assert len(text.texts(part)) >= 10 and sum(map(len, text.texts(part))) > 80_000
    with pytest.raises(ValueError, match="part = 'test'"):
        text.texts("test")


def test_topics_that_quote_each_other_are_one_text():
    shared = "This paragraph is long enough to count as a quotation of one topic in another. " * 2
    families = text._families({"a": "first\n\n" + shared, "b": shared + "\n\nsecond", "c": "third"})
    assert families == ["first\n\n" + shared + "\n\nsecond", "third"]


def test_windows_are_whole_distinct_and_from_many_texts():
    texts = ["a bb ccc dddd eeeee ffffff ggggggg", "aa bb cc", "a"]
    windows = text.windows(Words, texts, 5, 3)
    assert windows.tolist() == [[101, 1, 2, 3, 102], [101, 2, 2, 2, 102], [101, 4, 5, 6, 102]]
    with pytest.raises(ValueError, match="tokens = 5.*holds 3 passages.*4 needed"):
        text.windows(Words, texts, 5, 4)


def test_a_model_that_adds_no_tokens_gets_whole_windows():
    class Plain(Words):
        @staticmethod
        def frame(ids):
            return np.array(ids, np.int64)

    assert text.windows(Plain, ["a bb ccc dddd eeeee ffffff", "a"], 3, 2).tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("tokens, count, field", [(2, 1, "tokens = 2"), (513, 1, "tokens = 513"), (5, 0, "count = 0")])
def test_bad_sizes_are_refused(tokens, count, field):
    with pytest.raises(ValueError, match=field):
        text.windows(Words, ["a b c"], tokens, count)


def test_built_in_texts_suffice_for_the_longest_passages():
    assert text.calibration_windows(Words, 512, 8).shape == (8, 512)
    assert text.evaluation_windows(Words, 512, 4).shape == (4, 512)


def test_user_file(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("une phrase à moi", encoding="utf-8")
    assert text.text_windows(Words, path, 6).tolist() == [[101, 3, 6, 1, 3, 102]]


@pytest.mark.parametrize("content, reason", [(None, "readable file"), (b"\xff\xfe\x00", "UTF-8"), (b" \n", "no text")])
def test_bad_user_file(tmp_path, content, reason):
    path = tmp_path / "own.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        text.read_text(path)
    assert "text = " in str(caught.value) and "\n" not in str(caught.value)
