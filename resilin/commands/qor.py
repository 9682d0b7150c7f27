"""``resilin qor``: area, delay and resources of the blocks against the committed baseline."""

import json
import pathlib
import sys

from resilin import registry


def add_arguments(parser, words):
    parser.add_argument("block", nargs="*", metavar="BLOCK", help="names from `resilin list` (default: all)")
    parser.add_argument("--preset", action="append", metavar="NAME", help="may be given again (default: all presets)")
    parser.add_argument("--target", action="append", metavar="T", help="may be given again (default: nangate45, ecp5)")
    parser.add_argument("--baseline", type=pathlib.Path, metavar="FILE", help="another baseline than the committed one")
    parser.add_argument("--update", action="store_true", help="make what is measured the new baseline")
    parser.add_argument("--all", action="store_true", help="print figures that did not change, too")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")


def run(args):
    from resilin import qor
    from synth.synthesize import target_library

    path = args.baseline or qor.BASELINE
    baseline = qor.load(path)
    blocks = args.block or [block.name for block in registry.BLOCKS]
    presets = args.preset or ["small", "fpga", "paper"]
    for target in args.target or ():
        target_library(target)
    for name in blocks:
        for preset in presets:
            registry.find(name).config_class.preset(preset)
    measured = qor.measure(presets, args.target or qor.TARGETS, blocks,
                           lambda key: print(f"  {key}", file=sys.stderr, flush=True))
    rows = qor.compare(baseline, measured)
    if args.json:
        print(json.dumps([dict(zip(("key", "metric", "baseline", "now", "change", "fails"), row)) for row in rows],
                         indent=2))
    else:
        print(qor.table(rows, args.all))
        for name, version in measured["tools"].items():
            if baseline["tools"].get(name, version) != version:
                print(f"the baseline was made with {name} {baseline['tools'][name]}, this is {version}")
    if args.update:
        qor.update(baseline, measured, path)
        print(f"written: {path}", file=sys.stderr)
        return 0
    failed = sum(row[-1] for row in rows)
    if failed:
        print(f"{failed} figures are more than {qor.LIMIT:.0%} from the baseline: make it better, or take the new "
              "figures with `resilin qor --update`, in the commit that changes them", file=sys.stderr)
    return 1 if failed else 0
