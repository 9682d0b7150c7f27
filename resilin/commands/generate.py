"""``resilin generate``: a block's Verilog, alone or in a package for hand-over."""

import json
import pathlib
import sys
import time

from resilin import registry
from resilin.options import add_config_arguments, check_seed, make_config


def add_arguments(parser, words):
    parser.add_argument("block", nargs="+", metavar="BLOCK", help="names from `resilin list`, or `all`")
    add_config_arguments(parser, "paper")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, default=pathlib.Path("."),
                        help="folder for BLOCK.v and BLOCK.json (default: here)")
    target.add_argument("--package", metavar="DIR", type=pathlib.Path,
                        help="write a package to DIR/BLOCK instead: Verilog, constraints, FuseSoC core, C header, "
                             "self-checking test bench with golden vectors")
    parser.add_argument("--seed", type=int, metavar="N", default=1,
                        help="seed of the tests that a package's golden vectors are recorded from (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the names of the files as JSON")


def run(args):
    from resilin.verilog import write_block

    check_seed(args.seed)
    names = [block.name for block in registry.BLOCKS] if args.block == ["all"] else args.block
    if len(names) > 1 and (args.config or args.overrides):
        raise ValueError("--config and --set need one block, and this command line names several")
    jobs = [(block, make_config(block, args)) for block in map(registry.find, names)]
    written = {}
    for block, config in jobs:
        started = time.monotonic()
        if args.package:
            from resilin.package import write_package

            paths = write_package(block, config, args.package, seed=args.seed,
                                  tell=lambda line: print(f"{block.name}: {line}", file=sys.stderr, flush=True))
        else:
            paths = write_block(block, config, args.output)
        written[block.name] = [str(path) for path in paths]
        print(f"{block.name}: {' '.join(written[block.name])} ({time.monotonic() - started:.1f} s)", file=sys.stderr)
    if args.json:
        print(json.dumps(written, indent=2))
    return 0
