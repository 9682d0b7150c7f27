"""``resilin run figs_mapping``: how busy FiGS' multipliers are on random N:M patterns, by ratio and depth.

The compile step alone: no training, no RTL.
"""

import json
import pathlib
import sys

from resilin.files import check_folder, write_files
from resilin.options import add_config_arguments, check_seed, make_config, positive
from resilin.tables import table

summary = "use of FiGS' multipliers on random N:M patterns, by ratio and depth"

DEFAULT_PRESET = "paper"
DEPTHS, INPUTS = (1, 2, 4, 6, 8, 13), (384, 1536)
#: Columns of the table that are those of the last depth.
_LAST = ("positions", "held", "tail", "program_bits", "compressed_bits")


def add_arguments(parser):
    from golden.figs.patterns import RATIOS

    add_config_arguments(parser, DEFAULT_PRESET)
    parser.add_argument("--ratio", action="append", metavar="N:M",
                        help="may be given again (default: " + ", ".join(map(str, RATIOS)) + ")")
    parser.add_argument("--depth", action="append", type=positive, metavar="N",
                        help="in place of the configuration's; may be given again (default: "
                             + ", ".join(map(str, DEPTHS)) + ")")
    parser.add_argument("--inputs", action="append", type=positive, metavar="K",
                        help="columns of W; may be given again (default: " + ", ".join(map(str, INPUTS)) + ")")
    parser.add_argument("--outputs", type=positive, default=256, metavar="N", help="rows of W (default: 256)")
    parser.add_argument("--seed", type=int, default=1, help="of the patterns (default: 1)")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, default=pathlib.Path("build/figs_mapping"),
                        help="folder for figs_mapping.json (default: build/figs_mapping)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args):
    from golden.figs.mapping_study import study
    from golden.figs.patterns import RATIOS, pattern_of
    from golden.figs.sizes import Sizes
    from resilin.registry import find

    check_seed(args.seed)
    check_folder(args.output)
    config = make_config(find("figs_engine"), args)
    if config.array != "figs":
        raise ValueError(f"array = {config.array!r} is not allowed: it must be 'figs'")
    depths = tuple(args.depth or DEPTHS)
    patterns = [pattern_of(text) for text in args.ratio] if args.ratio else RATIOS
    rows = study(Sizes.of(config), patterns, depths, args.inputs or INPUTS, args.outputs, args.seed,
                 lambda line: print(line, file=sys.stderr, flush=True))
    results = {"config": config.to_dict(), "outputs": args.outputs, "seed": args.seed, "rows": rows}
    files = write_files(args.output, {"figs_mapping.json": json.dumps(results, indent=2) + "\n"})
    if args.json:
        print(json.dumps(results))
    else:
        _print(config, depths, results)
        print("written: " + ", ".join(map(str, files)))
    return 0


def _print(config, depths, results):
    print(f"FiGS of {config.rows} x {config.columns} x {config.beta} multipliers, alpha {config.alpha}, groups "
          f"{config.groups}; random patterns of {results['outputs']} outputs")
    print("non-zeros per multiplier and cycle, by depth; then, with the last depth, cycles of all tiles, and bits for\n"
          "each non-zero in the program and in the compressed matrix")
    for inputs in dict.fromkeys(row["inputs"] for row in results["rows"]):
        lines = {}
        for row in results["rows"]:
            if row["inputs"] == inputs:
                lines.setdefault((row["pattern"], row["kind"]), []).append(row)
        print(f"-- {inputs} inputs")
        print("\n".join(table(("ratio", "patterns", *map(str, depths), *_LAST), [
            (*key, *(row["utilisation"] for row in found), *(found[-1][name] for name in _LAST))
            for key, found in lines.items()])))
