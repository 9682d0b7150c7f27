"""``resilin report``: blocks on targets as tables, charts, and beside the papers' figures."""

import json
import pathlib
import shlex
import sys

from resilin import registry
from resilin.commands.synthesize import periods
from resilin.options import add_config_arguments, make_config


def add_arguments(parser, words):
    parser.add_argument("block", nargs="*", metavar="BLOCK", help="names from `resilin list` (default: all)")
    add_config_arguments(parser, "small")
    parser.add_argument("--target", metavar="T", action="append",
                        help="nangate45 (default), sg13g2, asap7, ecp5, ice40 or xc7; may be given again")
    parser.add_argument("--period", type=float, metavar="NS",
                        help="standard cells: meet this clock period at least area (default: least area)")
    parser.add_argument("--sweep", type=periods, default=[], metavar="NS,NS,...",
                        help="standard cells: an area-delay curve of runs for these periods")
    parser.add_argument("--place", action="store_true", help="place and route on ecp5 too, three seeds")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, required=True,
                        help="folder for report.html and report.json")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args):
    from resilin.files import check_folder
    from resilin.report import collect, page, terminal
    from resilin.report.compare import compare
    from resilin.synthesis import synthesis_record

    requests = _requests(args)
    check_folder(args.output)
    results = collect.collect(requests, synthesis_record, stop=args.traceback, tell=_tell)
    report = {"command": _command(args), "tools": collect.tools(results), "mapped": _mapped(args),
              "results": results, "comparisons": compare(results)}
    text = json.dumps(report, indent=1) + "\n"
    paths = page.write(report, args.output, text)
    print(text if args.json else terminal.summary(report), end="" if args.json else "\n")
    print(f"written: {' '.join(map(str, paths))}", file=sys.stderr)
    return 0 if all(map(collect.ok, results)) else 1


def _requests(args):
    """What to synthesize, for :func:`resilin.report.collect.collect`; everything is checked here, before the work."""
    from synth.synthesize import Options, target_library

    names = list(dict.fromkeys(args.block)) or [block.name for block in registry.BLOCKS]
    if len(names) > 1 and (args.config or args.overrides):
        raise ValueError("--config and --set need one block, and this report is of several")
    blocks = [(block, make_config(block, args)) for block in map(registry.find, names)]
    targets = list(dict.fromkeys(args.target or ["nangate45"]))
    libraries = {target: target_library(target) for target in targets}
    if args.place and "ecp5" not in targets:
        raise ValueError(f"--place is not allowed with target = {', '.join(targets)}: one must be ecp5")
    if (args.period or args.sweep) and not any(libraries.values()):
        raise ValueError(f"--period and --sweep are not allowed with target = {', '.join(targets)}: "
                         "one must be of standard cells")
    seeds = {"ecp5": (1, 2, 3)} if args.place else {}
    options = {target: Options(period_ns=args.period) if library else Options(seeds=seeds.get(target, ()))
               for target, library in libraries.items()}
    sweep = [Options(period_ns=period) for period in sorted(set(args.sweep))]
    return [(block, config, target, options[target], sweep if library else [])
            for block, config in blocks for target, library in libraries.items()]


def _mapped(args):
    """How standard cells were mapped, in words."""
    return ("standard cells: mapped for least area" if args.period is None else
            f"standard cells: mapped for a period of {args.period:g} ns at least area")


def _command(args):
    """The command line that repeats this report."""
    words = ["resilin", "report", *args.block]
    words += ["--config", str(args.config)] if args.config else ["--preset", args.preset or args.default_preset]
    words += [word for override in args.overrides for word in ("--set", override)]
    words += [word for target in args.target or ["nangate45"] for word in ("--target", target)]
    words += ["--period", f"{args.period:g}"] if args.period else []
    words += ["--sweep", ",".join(f"{period:g}" for period in args.sweep)] if args.sweep else []
    words += ["--place"] if args.place else []
    return shlex.join([*words, "-o", str(args.output)])


def _tell(text):
    print(f"  {text}", file=sys.stderr, flush=True)
