"""``resilin synthesize``: area, timing and memories of a block on a target."""

import json
import pathlib
import sys

from resilin import registry
from resilin.options import add_config_arguments, make_config, positive


def periods(text):
    """Periods above 0 from ``"2,1.5,1"``, for argparse."""
    values = [float(part) for part in text.split(",")]
    if not all(value > 0 for value in values):
        raise ValueError
    return values


def add_arguments(parser, words):
    parser.add_argument("block", metavar="BLOCK", help="a name from `resilin list`")
    add_config_arguments(parser, "small")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--target", metavar="T", default="nangate45",
                        help="nangate45 (default), sg13g2, asap7, ecp5, ice40 or xc7")
    target.add_argument("--liberty", metavar="FILE", type=pathlib.Path, help="standard cells of a Liberty file instead")
    parser.add_argument("--bit-area", type=float, metavar="UM2", help="area of a memory bit, instead of the target's")
    parser.add_argument("--macro-bits", type=positive, metavar="N", default=1024,
                        help="memories from N bits on are macros, smaller ones registers (default: 1024)")
    speed = parser.add_mutually_exclusive_group()
    speed.add_argument("--period", type=float, metavar="NS", help="meet this clock period at least area "
                       "(default: least area)")
    speed.add_argument("--sweep", type=periods, metavar="NS,NS,...", help="a run for each of these periods")
    parser.add_argument("--recipe", metavar="NAME", help="map every unit by this recipe of docs/synthesis.md")
    parser.add_argument("--flat", action="store_true", help="flatten the block instead of rolling its modules up")
    parser.add_argument("--place", action="store_true", help="place and route too (ecp5)")
    parser.add_argument("--seeds", type=positive, metavar="N", default=3, help="placements to take the median of "
                        "(default: 3)")
    parser.add_argument("--frequency", type=float, metavar="MHZ", default=100, help="what placement aims at "
                        "(default: 100)")
    parser.add_argument("--device", metavar="NAME", help="ECP5 device: 25k, 45k or 85k (default: smallest that fits)")
    parser.add_argument("--depth", type=positive, default=3, metavar="N", help="levels of hierarchy to print "
                        "(default: 3)")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, help="write BLOCK_TARGET.json there")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")


def run(args):
    from resilin import synthesis
    from resilin.files import write_files
    from synth.library import from_liberty
    from synth.synthesize import Options, target_library

    block = registry.find(args.block)
    config = make_config(block, args)
    target = from_liberty(args.liberty) if args.liberty else args.target
    if not args.liberty and target_library(target) is None:
        asked = [f"--{name.replace('_', '-')}" for name in ("period", "sweep", "recipe", "bit_area")
                 if getattr(args, name) is not None]
        if asked:
            raise ValueError(f"{asked[0]} is not allowed with target = {target}: target must be of standard cells")
    if args.place and target != "ecp5":
        raise ValueError(f"--place is not allowed with target = {args.liberty or target}: target must be ecp5")
    records = []
    for period in args.sweep or [args.period]:
        options = Options(period_ns=period, recipe=args.recipe, flat=args.flat, macro_bits=args.macro_bits,
                          bit_um2=args.bit_area, seeds=tuple(range(1, args.seeds + 1)) if args.place else (),
                          frequency_mhz=args.frequency, device=args.device)
        records.append(synthesis.synthesis_record(block, config, target, options, _tell))
        if not args.json:
            print(synthesis.summary(records[-1], args.depth) if not args.sweep else synthesis.sweep_line(records[-1]),
                  flush=True)
    text = json.dumps(records if args.sweep else records[0], indent=2) + "\n"
    if args.json:
        print(text, end="")
    if args.output:
        name = f"{block.name}_{records[0]['target']['name']}{'_sweep' if args.sweep else ''}.json"
        (path,) = write_files(args.output, {name: text})
        print(f"written: {path}", file=sys.stderr)
    return 0


def _tell(text):
    print(f"  {text}", file=sys.stderr, flush=True)
