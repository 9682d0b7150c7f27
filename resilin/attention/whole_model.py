"""The study of the whole model with detection in all layers, in a process of its own, its result kept in the cache.

The study takes minutes and does not depend on the simulation: it runs beside it, and again only when the golden
sources, the texts, or its arguments change.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import signal
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
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class StudyError(RuntimeError):
    """The study did not end well; the message has the reason."""


def arguments(scope, text=None, seed=0):
    """The study's arguments as plain data: ``scope`` one of :data:`SCOPES`, ``text`` the user's text or ``None``."""
    if scope not in SCOPES:
        raise ValueError(f"study = {scope!r} is not allowed: it must be one of {', '.join(SCOPES)}")
    return {"scope": scope, "text": text, "seed": seed}


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
    return _read(_key(chosen))


def _read(key):
    path = cache.cache_folder() / _KIND / key / "study.json"
    return json.loads(path.read_text()) if path.is_file() else None


def passages(model, text):
    """Passages of a user's text to study: int64 (texts, tokens), up to four of up to 128 tokens.

    Raises ``ValueError`` when the text is shorter than 16 tokens.
    """
    from golden.workloads.text import windows

    available = len(model.token_ids(text)) + 2
    if available < LEAST_TOKENS:
        raise ValueError(f"text = {available} tokens is not allowed: the study of the whole model needs at least "
                         f"{LEAST_TOKENS}; leave it out with --no-study")
    tokens = min(TOKENS, available)
    return windows(model, [text], tokens, min(TEXTS, (available - 2) // (tokens - 2)))


def run_study(chosen, progress=None, key=None):
    """Make the study, or take it from the cache: the dict of :func:`golden.dota.study.study`.

    ``key``: its name in the cache, when another process has worked that out already.
    """
    from golden.dota import study
    from golden.workloads.minilm import MiniLm

    text, scope, seed = (chosen[name] for name in ("text", "scope", "seed"))

    def make(folder):
        model = MiniLm.load(progress=lambda line: None)
        ids = None if text is None else passages(model, text)
        result = study.study(
            model, TOKENS if ids is None else ids.shape[1], TEXTS, seed=seed, ids=ids, progress=progress,
            choices=study.full_choices() if scope == "full" else study.DEFAULT_CHOICES)
        (folder / "study.json").write_text(json.dumps(result))

    return json.loads((cache.entry(_KIND, key or _key(chosen), make) / "study.json").read_text())


class StudyProcess:
    """A study in another process; leave the ``with`` block early and the process is ended.

    ``progress`` takes each line the study has to tell.
    """

    def __init__(self, chosen, progress):
        # Found out once: who edits the sources meanwhile gets the result that this process began with.
        self._chosen, self._key, self._progress = chosen, _key(chosen), progress
        self._errors = []

    def __enter__(self):
        # One thread: the simulator's build takes the other cores, and waiting BLAS threads would slow both down.
        self._process = subprocess.Popen([sys.executable, "-m", __name__], text=True, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                         env={**os.environ, **dict.fromkeys(_THREADS, "1")})
        with contextlib.suppress(BrokenPipeError):  # it ended at once: result() has the reason
            with self._process.stdin:
                self._process.stdin.write(json.dumps([self._chosen, self._key]))
        self._threads = [threading.Thread(target=self._follow, args=followed, daemon=True) for followed in
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
    def _follow(stream, take):
        with stream:
            for line in stream:
                take(line.rstrip("\n"))

    def result(self):
        """Wait for the end: the result. Raises :class:`StudyError`."""
        if self._process.wait() != 0:
            for thread in self._threads:
                thread.join()
            raise StudyError("the study of the whole model failed: " + (self._errors or ["no message"])[-1])
        return _read(self._key)


if __name__ == "__main__":
    # Ended early, it leaves the cache clean: an exit runs the handlers, a signal's default would not.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    asked, name = json.load(sys.stdin)
    run_study(asked, lambda line: print(line, flush=True), name)
