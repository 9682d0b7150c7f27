"""``resilin lint``: Verilator's lint over generated Verilog."""

import pathlib


def add_arguments(parser, words):
    parser.add_argument("files", nargs="+", metavar="FILE.v", type=pathlib.Path)


def run(args):
    from synth.lint import lint

    for path in args.files:
        if not path.is_file():
            raise ValueError(f"file = {str(path)!r} is not allowed: it must be a Verilog file")
    count = 0
    for path in args.files:
        messages = lint(path)
        count += len(messages)
        print("\n".join([*messages, f"{path}: {len(messages)} warnings"]))
    return 1 if count else 0
