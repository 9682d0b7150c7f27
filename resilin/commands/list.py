"""``resilin list``: the blocks and their presets."""

import json

from resilin import registry


def add_arguments(parser, words):
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args):
    rows = [dict(name=block.name, system=block.system, summary=block.summary,
                 presets=list(block.config_class.PRESETS), page=block.page) for block in registry.BLOCKS]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        print(f"{row['name']:{width}}  {row['summary']}  [{', '.join(row['presets'])}]")
    return 0
