"""Configurations: legal values, messages for the others, files, command-line values, schema."""

import argparse
import dataclasses
import json

import pytest

from hw.config import Config, ConfigError, field
from resilin import registry
from resilin.options import add_config_arguments, changed_fields, make_config, parse_value


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes(Config):
    rows: int = field(8, "rows", unit="PEs", min=2, max=64, multiple=2)
    banks: int = field(4, "banks", power_of_two=True, min=1)
    kind: str = field("plain", "kind", choices=("plain", "fancy"))
    turbo: bool = field(False, "faster")
    ratio: float = field(0.5, "ratio", min=0.0, max=1.0)

    PRESETS = {"paper": {}, "small": {"rows": 2, "banks": 1}}

    def check(self):
        if self.banks > self.rows:
            raise ConfigError("banks", self.banks, f"at most rows = {self.rows}")


@pytest.mark.parametrize("values, message", [
    ({"rows": 3}, "rows = 3 is not allowed: rows must be an integer, a multiple of 2, from 2 to 64"),
    ({"rows": 66}, "from 2 to 64"),
    ({"rows": "8"}, "rows = '8' is not allowed: rows must be an integer"),
    ({"rows": True}, "rows = True is not allowed"),
    ({"banks": 3}, "banks must be an integer, power of two"),
    ({"banks": 0}, "banks = 0 is not allowed"),
    ({"kind": "odd"}, "kind must be one of plain, fancy"),
    ({"ratio": 2.0}, "from 0.0 to 1.0"),
    ({"rows": 2}, "banks = 4 is not allowed: banks must be at most rows = 2"),
    ({"cows": 1}, "this block has only rows, banks, kind, turbo, ratio"),
])
def test_refused(values, message):
    with pytest.raises(ConfigError) as error:
        Sizes.from_dict(values)
    assert message in str(error.value)


def test_preset():
    assert Sizes.preset("small", {"turbo": True}).to_dict() == {
        "rows": 2, "banks": 1, "kind": "plain", "turbo": True, "ratio": 0.5}
    with pytest.raises(ConfigError, match="preset must be one of paper, small"):
        Sizes.preset("large")


@pytest.mark.parametrize("text, value", [
    ("rows=0x10", ("rows", 16)), ("kind=fancy", ("kind", "fancy")), ("turbo=true", ("turbo", True)),
    ("turbo=false", ("turbo", False)), ("ratio=.25", ("ratio", 0.25)),
])
def test_command_line_value(text, value):
    assert parse_value(Sizes, text) == value


@pytest.mark.parametrize("text, message", [
    ("rows", "expected FIELD=VALUE"), ("rows=many", "rows must be an integer"), ("turbo=1", "true or false"),
    ("ratio=x", "a number"), ("cows=1", "this block has only"),
])
def test_refused_command_line_value(text, message):
    with pytest.raises(ValueError, match=message):
        parse_value(Sizes, text)


class SizesBlock:
    config_class = Sizes


def parsed(*words):
    parser = argparse.ArgumentParser()
    add_config_arguments(parser, "paper")
    return make_config(SizesBlock, parser.parse_args(words))


def test_config_file(tmp_path):
    path = tmp_path / "sizes.toml"
    path.write_text('rows = 16\nkind = "fancy"\n')
    assert parsed("--config", str(path), "--set", "rows=32") == Sizes(rows=32, kind="fancy")
    path.write_text("rows = = 16\n")
    with pytest.raises(ValueError, match="sizes.toml: "):
        parsed("--config", str(path))
    with pytest.raises(OSError, match="absent.toml"):
        parsed("--config", str(tmp_path / "absent.toml"))


def test_changed_fields_lead_back():
    config = Sizes(rows=2, banks=1, turbo=True)
    assert changed_fields(config) == ("small", {"turbo": True})
    assert changed_fields(Sizes()) == ("paper", {})


@pytest.mark.parametrize("block", registry.BLOCKS, ids=lambda block: block.name)
def test_registered_presets(block):
    assert {"paper", "small", "fpga"} <= set(block.config_class.PRESETS)
    for name in block.config_class.PRESETS:
        config = block.config_class.preset(name)
        assert block.config_class.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("block", registry.BLOCKS, ids=lambda block: block.name)
def test_schema_tells_every_field(block):
    schema = block.config_class.json_schema()
    for name in block.config_class().to_dict():
        assert schema["properties"][name]["description"], f"{block.name}: {name} has no description"
    assert schema["additionalProperties"] is False
    json.dumps(schema)


def test_schema_tells_the_rules():
    properties = Sizes.json_schema()["properties"]
    assert properties["rows"] == {"type": "integer", "default": 8, "description": "rows [PEs]", "minimum": 2,
                                  "maximum": 64, "multipleOf": 2}
    assert properties["kind"]["enum"] == ["plain", "fancy"]

