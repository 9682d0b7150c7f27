"""Verilator's lint over generated Verilog, with the waivers listed in constraints/lint.vlt."""

import importlib.metadata
import os
import pathlib
import re
import subprocess

__all__ = ["WAIVERS", "LintError", "lint"]

#: Rules that are off, each with its reason.
WAIVERS = pathlib.Path(__file__).resolve().parents[1] / "constraints" / "lint.vlt"


class LintError(RuntimeError):
    """Verilator cannot read the file, or cannot be started."""


def lint(path):
    """The warnings of ``verilator --lint-only -Wall`` on a Verilog file, one string each; none is an empty list.

    Raises :class:`LintError` when the file is not legal Verilog.
    """
    root = importlib.metadata.distribution("verilator").locate_file("verilator")
    command = [str(root / "bin" / "verilator_bin"), "--lint-only", "-Wall", "--timing", str(WAIVERS), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          env={**os.environ, "VERILATOR_ROOT": str(root)})
    messages = re.findall(r"^%Warning-.*", done.stderr, re.MULTILINE)
    errors = re.findall(r"^%Error(?:-|: (?!Exiting due to))", done.stderr, re.MULTILINE)
    if errors or done.returncode != 0 and not messages:
        raise LintError(f"verilator on {path}:\n{done.stderr.strip()}")
    return messages
