"""The ``resilin`` command: parses arguments, runs one command, turns errors into one line and an exit code.

Exit codes: 0 done, 1 a check failed (a simulation, a design rule), 2 the request was wrong or cannot be met here, 130
interrupted, 141 the reader of the output has left (``| head``).
"""

import argparse
import importlib
import importlib.metadata
import os
import sys

__all__ = ["COMMANDS", "build_parser", "main"]

#: Command -> one line for ``resilin --help``; each is a module in resilin/commands, imported when it is asked for.
COMMANDS = {
    "list": "the blocks, and their presets",
    "generate": "write a block's Verilog",
    "schema": "the JSON schema of a block's configuration",
    "simulate": "run a block's cocotb tests",
    "run": "an end-to-end job on the simulated hardware, checked against its golden model",
    "synthesize": "area, timing and memories of a block on a target",
    "qor": "area, delay and resources of the blocks against the committed baseline",
    "report": "tables and charts of blocks on targets, beside the papers' figures",
    "isa": "a machine's instructions: C header, page, assembler, disassembler",
    "lint": "check generated Verilog with Verilator's lint",
    "models": "trained models that jobs take their weights from",
    "doctor": "check that every tool is there and works",
}


def build_parser(words=()):
    """The parser for a command line that starts with ``words``. Only the command named there gets its options."""
    parser = argparse.ArgumentParser(
        prog="resilin", description="Generator of elastic and sparse machine-learning accelerators.",
        epilog="`resilin COMMAND --help` tells about one command.")
    parser.add_argument("--version", action="version", version=f"resilin {importlib.metadata.version('resilin')}")
    parser.add_argument("--traceback", action="store_true", help="on an error, show where in the program it came from")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    named = next((index for index, word in enumerate(words) if word in COMMANDS), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if named is not None and words[named] == name:
            module = importlib.import_module(f"resilin.commands.{name}")
            module.add_arguments(command, words[named + 1:])
            command.set_defaults(run=module.run)
    return parser


def main(words=None):
    """Run the command line ``words`` (``sys.argv`` when ``None``) and return the exit code."""
    words = sys.argv[1:] if words is None else words
    args = build_parser(words).parse_args(words)
    try:
        code = args.run(args) or 0
        sys.stdout.flush()  # a pipe without a reader shows here, not when Python ends
        return code
    except KeyboardInterrupt:
        return _tell("interrupted", 130)
    except BrokenPipeError:
        # Whoever read our output has left. Python flushes what is still in the buffer when it ends: to nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if args.traceback:
            raise
        if isinstance(error, AssertionError):
            return _tell(error, 1)
        if isinstance(error, (ValueError, OSError, RuntimeError)):
            return _tell(error, 2)
        raise


def _tell(error, code):
    print(f"resilin: error: {error}", file=sys.stderr)
    return code
