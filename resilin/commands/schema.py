"""``resilin schema``: the JSON schema of a block's configuration."""

import json

from resilin import registry


def add_arguments(parser, words):
    parser.add_argument("block", metavar="BLOCK", help="a name from `resilin list`")


def run(args):
    print(json.dumps(registry.find(args.block).config_class.json_schema(), indent=2))
    return 0
