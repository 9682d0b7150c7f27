"""Texts: calibration and evaluation passages that never overlap, and the user's own file.

The default source is the Python language reference that every Python installation carries
(``pydoc_data.topics``, about 465,000 characters in 79 topics). Topics are split by name, so a text used to
calibrate a detector is never a text it is judged on. The wording differs a little between Python versions.
"""

import pathlib
import pydoc_data.topics

import numpy as np

__all__ = ["calibration_windows", "evaluation_windows", "read_text", "text_windows", "topics", "windows"]


def topics(part):
    """{topic: text} of one part, "calibration" or "evaluation"; the parts share no topic.

    Topics in alphabetical order are dealt alternately to the two parts.
    """
    names = sorted(pydoc_data.topics.topics)
    starts = {"calibration": 0, "evaluation": 1}
    if part not in starts:
        raise ValueError(f"part = {part!r} is not allowed: it must be one of {', '.join(starts)}")
    return {name: pydoc_data.topics.topics[name] for name in names[starts[part]::2]}


def windows(model, texts, tokens, count):
    """``count`` passages of ``tokens`` tokens each, [CLS] and [SEP] included: int64 (count, tokens).

    Passages are taken in turn from each of ``texts`` that still has a whole, not yet used passage, so that
    they come from as many texts as possible. Raises ValueError when the texts hold fewer passages.
    """
    model.check_tokens(tokens)
    if count < 1:
        raise ValueError(f"count = {count} is not allowed: it must be at least 1")
    pieces = []
    for text in texts:
        ids = model.token_ids(text)
        whole = len(ids) // (tokens - 2)
        pieces.append([ids[i * (tokens - 2):(i + 1) * (tokens - 2)] for i in range(whole)])
    order = [piece[i] for i in range(max(map(len, pieces), default=0)) for piece in pieces if i < len(piece)]
    if len(order) < count:
        raise ValueError(f"tokens = {tokens} is not allowed: the text holds {len(order)} passages of that length, "
                         f"{count} needed; use fewer tokens or a longer text")
    return np.stack([model.frame(ids) for ids in order[:count]])


def calibration_windows(model, tokens=128, count=32):
    """Passages to calibrate on: int64 (count, tokens)."""
    return windows(model, topics("calibration").values(), tokens, count)


def evaluation_windows(model, tokens=128, count=4):
    """Passages to evaluate on, from topics that calibration never sees: int64 (count, tokens)."""
    return windows(model, topics("evaluation").values(), tokens, count)


def text_windows(model, path, tokens, count=1):
    """Passages from the user's text file: int64 (count, tokens)."""
    return windows(model, [read_text(path)], tokens, count)


def read_text(path):
    """The text of a UTF-8 file. Raises ValueError when it is missing, not UTF-8, or blank."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"text = {str(path)!r} is not allowed: it must be a readable file ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError(f"text = {str(path)!r} is not allowed: it must be a UTF-8 text file") from None
    if not text.strip():
        raise ValueError(f"text = {str(path)!r} is not allowed: the file holds no text")
    return text
