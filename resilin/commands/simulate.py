"""``resilin simulate``: a block's cocotb tests."""

import contextlib
import json
import sys

from resilin import registry
from resilin.options import add_config_arguments, check_seed, make_config, positive


def add_arguments(parser, words):
    parser.add_argument("block", metavar="BLOCK", help="a name from `resilin list`")
    add_config_arguments(parser, "small")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of every random choice (default: a new one)")
    parser.add_argument("--testcase", metavar="NAME", action="append", help="run this test only; may be given again")
    parser.add_argument("--simulator", choices=("verilator", "icarus"), default="verilator",
                        help="default: verilator")
    parser.add_argument("--waves", nargs="?", const="vcd", choices=("vcd", "fst"), default=None,
                        help="write waveforms to build/waves (default format: vcd)")
    parser.add_argument("--flat", action="store_true",
                        help="compile repeated modules with the whole: longer to build, faster for long runs")
    parser.add_argument("--timeout", type=positive, default=600, metavar="SECONDS",
                        help="end a run that takes longer (default: 600)")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON, the log on stderr")


def run(args):
    from resilin.simulate import simulate

    block = registry.find(args.block)
    config = make_config(block, args)
    if args.seed is not None:
        check_seed(args.seed)
    with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
        result = simulate(block.name, preset=args.preset or "small", overrides=config.to_dict(), seed=args.seed,
                          testcase=args.testcase, waves=args.waves or False, simulator=args.simulator,
                          timeout=args.timeout, flat=args.flat)
    if args.json:
        print(json.dumps(dict(block=block.name, config=config.to_dict(), tests=list(result.tests), seed=result.seed,
                              seconds=result.seconds, build_seconds=result.build_seconds, coverage=result.coverage,
                              waves=str(result.waves) if result.waves else None), indent=2))
    else:
        print(f"{block.name}: {len(result.tests)} tests passed in {result.seconds:.1f} s "
              f"(simulator ready in {result.build_seconds:.1f} s), seed {result.seed}")
    return 0
