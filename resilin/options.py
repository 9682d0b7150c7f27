"""Choosing a block and its configuration on the command line."""

import argparse
import dataclasses
import pathlib
import tomllib

from hw.config import Config, ConfigError

__all__ = ["add_config_arguments", "changed_fields", "check_seed", "make_config", "parse_value", "positive"]


def add_config_arguments(parser, default):
    """Add ``--preset``, ``--config`` and ``--set``; ``default`` is the preset when none is named."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--preset", metavar="NAME", help=f"configuration to start from (default: {default})")
    source.add_argument("--config", metavar="FILE.toml", type=pathlib.Path, help="read the configuration from a file")
    parser.add_argument("--set", metavar="FIELD=VALUE", action="append", default=[], dest="overrides",
                        help="change one field; may be given again (`resilin schema BLOCK` lists the fields)")
    parser.set_defaults(default_preset=default)


def parse_value(config_class, text):
    """``("field", value)`` from ``field=value``, the value read by the field's type.

    Integers take Python's notations (``0x40``, ``1_024``), booleans are ``true`` or ``false``. Raises ``ValueError``.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text}: expected FIELD=VALUE")
    types = {spec.name: spec.type for spec in dataclasses.fields(config_class)}
    if name not in types:
        raise ConfigError(name, value, "left out, this block has only " + ", ".join(types))
    if types[name] is bool:
        if value not in ("true", "false"):
            raise ConfigError(name, value, "true or false")
        return name, value == "true"
    try:
        return name, int(value, 0) if types[name] is int else types[name](value)
    except ValueError:
        raise ConfigError(name, value, {int: "an integer", float: "a number"}[types[name]]) from None


def make_config(block, args):
    """The configuration of ``block`` that parsed arguments describe. Raises ``ValueError``, ``OSError``."""
    config_class: type[Config] = block.config_class
    values = {}
    if args.config is not None:
        try:
            values = tomllib.loads(args.config.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{args.config}: {error}") from None
    values.update(parse_value(config_class, text) for text in args.overrides)
    if args.config is not None:
        return config_class.from_dict(values)
    return config_class.preset(args.preset or args.default_preset, values)


def changed_fields(config):
    """``(preset, fields)``: the preset a configuration differs least from, and the fields that differ."""
    values = config.to_dict()
    best = None
    for name in type(config).PRESETS:
        base = type(config).preset(name).to_dict()
        changes = {field: value for field, value in values.items() if base[field] != value}
        if best is None or len(changes) < len(best[1]):
            best = name, changes
    return best


def check_seed(seed):
    """Refuse, with a ``ValueError``, a seed that random generators do not take."""
    if seed < 0:
        raise ValueError(f"seed = {seed} is not allowed: seed must be at least 0")


def positive(text):
    """An integer above 0, for argparse."""
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{value} is not above 0")
    return value
