"""Typed, validated configuration objects: one frozen dataclass a block.

A block's configuration derives from :class:`Config` and declares every parameter with :func:`field`, which
carries its documentation, unit and allowed range. Values are checked when the object is made, before any
elaboration; an error names the field, the value and what is allowed.
"""

import dataclasses
import typing


class ConfigError(ValueError):
    """A configuration value outside its allowed range.

    Attributes
    ----------
    field, value, allowed:
        The field's name, the refused value, and a phrase that tells what is allowed.
    """

    def __init__(self, field, value, allowed):
        super().__init__(f"{field} = {value!r} is not allowed: {field} must be {allowed}")
        self.field = field
        self.value = value
        self.allowed = allowed


def field(default, doc, *, unit=None, min=None, max=None, choices=None, multiple=None, power_of_two=False):
    """Declare a configuration field with its documentation, unit and allowed values.

    Parameters: ``min``/``max`` inclusive bounds, ``choices`` the complete list of allowed values, ``multiple`` a
    number the value must be a multiple of, ``power_of_two`` whether it must be a power of two.
    """
    rules = dict(doc=doc, unit=unit, min=min, max=max, choices=choices, multiple=multiple, power_of_two=power_of_two)
    return dataclasses.field(default=default, metadata=rules)


def _allowed(spec):
    """The phrase that tells what a field takes, from its rules."""
    rules = spec.metadata
    if rules["choices"] is not None:
        return "one of " + ", ".join(str(choice) for choice in rules["choices"])
    words = ["an integer" if spec.type is int else f"of type {spec.type.__name__}"]
    if rules["power_of_two"]:
        words.append("power of two")
    if rules["multiple"] is not None:
        words.append(f"a multiple of {rules['multiple']}")
    if rules["min"] is not None and rules["max"] is not None:
        words.append(f"from {rules['min']} to {rules['max']}")
    elif rules["min"] is not None:
        words.append(f"at least {rules['min']}")
    elif rules["max"] is not None:
        words.append(f"at most {rules['max']}")
    return ", ".join(words)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Base of every block's configuration. Sub-classes override :meth:`check` for rules across fields.

    ``PRESETS`` maps a preset's name (``paper``, ``small``, ``fpga``) to the fields that differ from the defaults.
    """

    PRESETS: typing.ClassVar[dict[str, dict]] = {}

    def __post_init__(self):
        for spec in dataclasses.fields(self):
            value = getattr(self, spec.name)
            rules = spec.metadata
            ok = type(value) is spec.type
            if ok and rules["choices"] is not None:
                ok = value in rules["choices"]
            if ok and rules["min"] is not None:
                ok = value >= rules["min"]
            if ok and rules["max"] is not None:
                ok = value <= rules["max"]
            if ok and rules["multiple"] is not None:
                ok = value % rules["multiple"] == 0
            if ok and rules["power_of_two"]:
                ok = value > 0 and value & (value - 1) == 0
            if not ok:
                raise ConfigError(spec.name, value, _allowed(spec))
        self.check()

    def check(self):
        """Rules across fields; raises :class:`ConfigError`. The base has none."""

    @classmethod
    def from_dict(cls, values):
        """Make a configuration from plain values; an unknown name is a :class:`ConfigError`."""
        known = [spec.name for spec in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise ConfigError(name, values[name], "left out, this block has only " + ", ".join(known))
        return cls(**values)

    @classmethod
    def preset(cls, name, overrides=None):
        """The named preset, with ``overrides`` (a dict of fields) on top."""
        if name not in cls.PRESETS:
            raise ConfigError("preset", name, "one of " + ", ".join(cls.PRESETS))
        return cls.from_dict({**cls.PRESETS[name], **(overrides or {})})

    def to_dict(self):
        """The configuration as plain values, in the order of declaration."""
        return dataclasses.asdict(self)

    @classmethod
    def json_schema(cls):
        """The JSON schema (draft 2020-12) of this configuration."""
        kinds = {int: "integer", bool: "boolean", str: "string", float: "number"}
        properties = {}
        for spec in dataclasses.fields(cls):
            rules = spec.metadata
            entry = {"type": kinds[spec.type], "default": spec.default, "description": rules["doc"]}
            if rules["unit"] is not None:
                entry["description"] += f" [{rules['unit']}]"
            if rules["power_of_two"]:
                # JSON Schema has no word for it.
                entry["description"] += "; a power of two"
            for key, name in (("min", "minimum"), ("max", "maximum"), ("multiple", "multipleOf"), ("choices", "enum")):
                if rules[key] is not None:
                    entry[name] = list(rules[key]) if key == "choices" else rules[key]
            properties[spec.name] = entry
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": cls.__name__, "type": "object",
                "properties": properties, "additionalProperties": False}
