"""Folders that results go to: checked before the work begins, each file written whole or not at all."""

import os
import pathlib
import tempfile

__all__ = ["check_folder", "write_files"]


def check_folder(path):
    """Refuse, with a ``ValueError``, an output folder that is something else."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"output = {str(path)!r} is not allowed: it must be a folder, or not exist")


def write_files(folder, texts):
    """Write ``texts``, a dict of file name -> text, into a folder, which is made if need be; their paths.

    All are written before the first takes its place, so an error leaves what was there before.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".resilin-", dir=folder) as scratch:
        for name, text in texts.items():
            (pathlib.Path(scratch) / name).write_text(text, encoding="utf-8")
        for name in texts:
            os.replace(pathlib.Path(scratch) / name, folder / name)
    return [folder / name for name in texts]
