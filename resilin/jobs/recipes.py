"""``resilin run recipes``: every recipe of the standard-cell flow on the same blocks, side by side."""

import json
import pathlib

summary = "compare the recipes of synthesis: area and delay of each on the same blocks"

#: Blocks that are compared when none is named: arithmetic, comparison, control.
BLOCKS = ("scheduler", "detector", "mfu")


def add_arguments(parser):
    parser.add_argument("blocks", nargs="*", metavar="BLOCK", help="names from `resilin list` (default: "
                        f"{', '.join(BLOCKS)}) in preset small, besides the processing element and the plain MAC")
    parser.add_argument("--target", default="nangate45", help="default: nangate45")
    parser.add_argument("--period", type=float, default=1.0, metavar="NS", help="what the fast recipes aim at "
                        "(default: 1)")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, required=True,
                        help="folder for recipes.md and recipes.json")


def designs(names):
    """Name -> Verilog of what is compared; the name is the top module's."""
    from hw.arith.multi_precision_pe import MultiPrecisionPe
    from hw.arith.plain_mac import PlainMac
    from hw.generate import generate
    from resilin import registry
    from resilin.synthesis import kept_verilog

    found = {"plain_mac": generate(PlainMac(), "plain_mac"),
             "multi_precision_pe": generate(MultiPrecisionPe(), "multi_precision_pe")}
    for block in map(registry.find, names):
        found[block.name] = kept_verilog(block, block.config_class.preset("small"))
    return found


def run(args):
    from resilin.files import check_folder, write_files
    from sim import cache
    from synth.asic import RECIPES
    from synth.synthesize import Options, synthesize, target_library

    check_folder(args.output)
    if target_library(args.target) is None:
        raise ValueError(f"target = {args.target!r} is not allowed: recipes are for standard cells")
    rows = []
    for name, verilog in designs(args.blocks or BLOCKS).items():
        for recipe in RECIPES:
            period = args.period if recipe in ("balanced", "speed") else None
            record = synthesize(verilog, name, args.target, Options(recipe=recipe, period_ns=period),
                                store=cache.entry)
            path = record["timing"]["register"]
            rows.append({"block": name, "recipe": recipe, "um2": round(record["total"]["logic_um2"], 1),
                         "register_ps": path["ps"] if path else None, "tools": record["tools"]})
            print(f"{name}: {recipe}: {rows[-1]['um2']:,.0f} um2, {rows[-1]['register_ps']} ps", flush=True)
    text = table(rows, RECIPES)
    print("\n" + text)
    write_files(args.output, {"recipes.md": text, "recipes.json": json.dumps(rows, indent=2) + "\n"})
    return 0


def table(rows, recipes):
    """Markdown: a line a recipe, a column a block: um2 / ns register to register."""
    blocks = list(dict.fromkeys(row["block"] for row in rows))
    cells = {(row["block"], row["recipe"]): f"{row['um2']:,.0f} / {(row['register_ps'] or 0) / 1000:.2f}"
             for row in rows}
    lines = [("recipe", "what", *blocks), ("---",) * (2 + len(blocks))]
    lines += [(f"`{name}`", recipe.about, *(cells[block, name] for block in blocks))
              for name, recipe in recipes.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
