"""``resilin generate``: a block's Verilog."""

import json
import pathlib
import sys
import time

from resilin import registry
from resilin.options import add_config_arguments, make_config


def add_arguments(parser, words):
    parser.add_argument("block", nargs="+", metavar="BLOCK", help="names from `resilin list`, or `all`")
    add_config_arguments(parser, "paper")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, default=pathlib.Path("."),
                        help="folder for BLOCK.v and BLOCK.json (default: here)")
    parser.add_argument("--json", action="store_true", help="print the names of the files as JSON")


def run(args):
    from resilin.verilog import write_block

    names = [block.name for block in registry.BLOCKS] if args.block == ["all"] else args.block
    if len(names) > 1 and (args.config or args.overrides):
        raise ValueError("--config and --set need one block, and this command line names several")
    jobs = [(block, make_config(block, args)) for block in map(registry.find, names)]
    written = {}
    for block, config in jobs:
        started = time.monotonic()
        paths = write_block(block, config, args.output)
        written[block.name] = [str(path) for path in paths]
        print(f"{block.name}: {' '.join(written[block.name])} ({time.monotonic() - started:.1f} s)", file=sys.stderr)
    if args.json:
        print(json.dumps(written, indent=2))
    return 0
