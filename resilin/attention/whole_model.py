"""The study of the whole model with detection in all layers, in a process of its own, its result kept in the cache.

The study takes minutes and does not depend on the simulation: it runs beside it, and again only when the golden
sources, the texts, or its arguments change.
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import threading

import numpy as np

import golden
from sim import cache

__all__ = ["SCOPES", "StudyError", "StudyProcess", "arguments", "passages", "run_study", "stored"]

#: How much is studied: the default detectors, or every combination.
SCOPES = ("quick", "full")
TOKENS, TEXTS, LEAST_TOKENS = 128, 4, 16
_KIND = "studies"  # of cache entry


class StudyError(RuntimeError):
    """The study did not end well; the message has the reason."""


def arguments(scope, text=None, seed=0):
    """The study's arguments as plain data: ``scope`` one of :data:`SCOPES`, ``text`` the user's file or ``None``.

    Raises ``ValueError`` for a file that cannot be read.
    """
    from golden.workloads.text import read_text

    if scope not in SCOPES:
        raise ValueError(f"study = {scope!r} is not allowed: it must be one of {', '.join(SCOPES)}")
    return {"scope": scope, "text": None if text is None else read_text(text), "seed": seed}


def _key(chosen):
    """A hash of everything the result depends on: golden sources, texts, numpy, arguments."""
    import pydoc_data.topics

    digest = hashlib.sha256(json.dumps(pydoc_data.topics.topics, sort_keys=True).encode())
    for root in sorted(golden.__path__):
        for path in sorted(pathlib.Path(root).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return cache.key("study", digest.hexdigest(), np.__version__, chosen)


def stored(chosen):
    """The result for these :func:`arguments` from the cache, or ``None``."""
    path = cache.cache_folder() / _KIND / _key(chosen) / "study.json"
    return json.loads(path.read_text()) if path.is_file() else None


def passages(model, text):
    """Passages of a user's text to study: int64 (texts, tokens), up to four of up to 128 tokens.

    Raises ``ValueError`` when the text is shorter than 16 tokens.
    """
    from golden.workloads.text import windows

    available = len(model.token_ids(text)) + 2
    if available < LEAST_TOKENS:
        raise ValueError(f"text = {available} tokens is not allowed: the study needs at least {LEAST_TOKENS}")
    tokens = min(TOKENS, available)
    return windows(model, [text], tokens, min(TEXTS, (available - 2) // (tokens - 2)))


def run_study(chosen, progress=None):
    """Make the study, or take it from the cache: the dict of :func:`golden.dota.study.study`."""
    from golden.dota import study
    from golden.workloads.minilm import MiniLm

    def make(folder):
        model = MiniLm.load(progress=lambda line: None)
        ids = None if chosen["text"] is None else passages(model, chosen["text"])
        result = study.study(
            model, TOKENS if ids is None else ids.shape[1], TEXTS, seed=chosen["seed"], ids=ids, progress=progress,
            choices=study.full_choices() if chosen["scope"] == "full" else study.DEFAULT_CHOICES)
        (folder / "study.json").write_text(json.dumps(result))

    return json.loads((cache.entry(_KIND, _key(chosen), make) / "study.json").read_text())


class StudyProcess:
    """A study in another process; leave the ``with`` block early and the process is ended.

    ``progress`` takes each line the study has to tell.
    """

    def __init__(self, chosen, progress):
        self._chosen, self._progress = chosen, progress
        self._errors = []

    def __enter__(self):
        self._process = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, text=True,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._process.stdin.write(json.dumps(self._chosen))
        self._process.stdin.close()
        self._threads = [threading.Thread(target=self._read, args=arguments, daemon=True) for arguments in
                         ((self._process.stdout, self._progress), (self._process.stderr, self._errors.append))]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()
        for thread in self._threads:
            thread.join()

    @staticmethod
    def _read(stream, take):
        with stream:
            for line in stream:
                take(line.rstrip("\n"))

    def result(self):
        """Wait for the end: the result. Raises :class:`StudyError`."""
        if self._process.wait() != 0:
            for thread in self._threads:
                thread.join()
            raise StudyError("the study of the whole model failed: " + (self._errors or ["no message"])[-1])
        return stored(self._chosen)


if __name__ == "__main__":
    run_study(json.load(sys.stdin), lambda line: print(line, flush=True))
