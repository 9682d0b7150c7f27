"""Cache of built simulators, shared by all runs and safe with concurrent builds.

An entry is a folder named by the hash of everything it was built from. It is built in a temporary folder beside its
final place and renamed at the end, so that an entry that exists is whole. A lock file an entry lets a second process
wait for the first one's build instead of repeating it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import tempfile

import platformdirs

__all__ = ["cache_folder", "entry", "key"]


def cache_folder():
    """The cache's folder: ``RESILIN_CACHE`` when set, else the user's cache folder for ``resilin``."""
    folder = os.environ.get("RESILIN_CACHE") or platformdirs.user_cache_dir("resilin")
    return pathlib.Path(folder).resolve()


def key(*parts):
    """A hash of ``parts`` (text, numbers, lists and dicts of them), as 24 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


@contextlib.contextmanager
def _locked(path):
    with open(path, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def entry(kind, name, build):
    """The folder of entry ``name`` of a ``kind``; ``build(folder)`` fills it first when it does not exist.

    An exception from ``build`` leaves no entry behind.
    """
    root = cache_folder() / kind
    final = root / name
    if final.is_dir():
        return final
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root / f"{name}.lock"):
        if final.is_dir():
            return final
        scratch = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}.", dir=root))
        try:
            build(scratch)
            os.rename(scratch, final)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    return final
