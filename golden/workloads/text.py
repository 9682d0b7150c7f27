"""Texts: calibration and evaluation passages that never overlap, and the user's own file.

The default source is the Python language reference that every Python installation carries
(``pydoc_data.topics``, about 465,000 characters in 79 topics, many of which quote each other). The wording
differs a little between Python versions, and so do results measured on it.
"""

import functools
import pathlib
import pydoc_data.topics

import numpy as np

__all__ = ["calibration_windows", "evaluation_windows", "read_text", "text_windows", "texts", "windows"]

PARTS = ("calibration", "evaluation")
_LONG = 60  # characters from which a paragraph that occurs in two topics makes them one family


def texts(part):
    """The built-in texts of one part, "calibration" or "evaluation": list of strings.

    Topics that share a paragraph of 60 characters or more form a family; a family is one text, in which every
    such paragraph occurs once, and belongs to one part. So no long paragraph is in both parts.
    """
    if part not in PARTS:
        raise ValueError(f"part = {part!r} is not allowed: it must be one of {', '.join(PARTS)}")
    return _parts()[part]


@functools.cache
def _parts():
    parts = {part: [] for part in PARTS}
    # The longest family first, each to the part that has less: both parts end up with many texts and equal length.
    for text in sorted(_families(pydoc_data.topics.topics), key=len, reverse=True):
        min(parts.values(), key=lambda part: sum(map(len, part))).append(text)
    return parts


def _families(topics):
    """One text per family of topics {name: text}, without repeated long paragraphs."""
    family, first = {name: name for name in topics}, {}

    def root(name):
        while family[name] != name:
            name = family[name]
        return name

    kept = {}
    for name in sorted(topics):
        for paragraph in topics[name].split("\n\n"):
            key = " ".join(paragraph.split())
            if len(key) >= _LONG and key in first:
                family[root(name)] = root(first[key])
            else:
                first[key] = name
                kept.setdefault(name, []).append(paragraph)
    members = {}
    for name, paragraphs in kept.items():
        members.setdefault(root(name), []).extend(paragraphs)
    return ["\n\n".join(paragraphs) for paragraphs in members.values()]


def windows(model, sources, tokens, count):
    """``count`` passages of ``tokens`` tokens each, those that the model adds included: int64 (count, tokens).

    Passages are taken in turn from each text of ``sources`` that still has a whole, not yet used passage, so that
    they come from as many texts as possible. Raises ValueError when the texts hold fewer passages.
    """
    model.check_tokens(tokens)
    if count < 1:
        raise ValueError(f"count = {count} is not allowed: it must be at least 1")
    pieces, length = [], tokens - len(model.frame([]))
    for text in sources:
        ids = model.token_ids(text)
        pieces.append([ids[i * length:(i + 1) * length] for i in range(len(ids) // length)])
    order = [piece[i] for i in range(max(map(len, pieces), default=0)) for piece in pieces if i < len(piece)]
    if len(order) < count:
        raise ValueError(f"tokens = {tokens} is not allowed: the text holds {len(order)} passages of that length, "
                         f"{count} needed; use fewer tokens or a longer text")
    return np.stack([model.frame(ids) for ids in order[:count]])


def calibration_windows(model, tokens=128, count=32):
    """Passages to calibrate on: int64 (count, tokens)."""
    return windows(model, texts("calibration"), tokens, count)


def evaluation_windows(model, tokens=128, count=4):
    """Passages to evaluate on, from texts that calibration never sees: int64 (count, tokens)."""
    return windows(model, texts("evaluation"), tokens, count)


def text_windows(model, path, tokens, count=1):
    """Passages from the user's text file: int64 (count, tokens)."""
    return windows(model, [read_text(path)], tokens, count)


def read_text(path):
    """The text of a UTF-8 file. Raises ValueError when it is missing, not UTF-8, or blank."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror
        raise ValueError(f"text = {str(path)!r} is not allowed: it must be a readable file ({reason})") from None
    except UnicodeDecodeError:
        raise ValueError(f"text = {str(path)!r} is not allowed: it must be a UTF-8 text file") from None
    if not text.strip():
        raise ValueError(f"text = {str(path)!r} is not allowed: the file holds no text")
    return text
