"""The table of ENMC's instructions, registers, buffers and errors, ``docs/enmc/isa.toml``, as objects."""

import dataclasses
import enum
import pathlib
import tomllib

__all__ = ["BUFFERS", "COMMAND", "COMMAND_BITS", "Definition", "Error", "Field", "Form", "INSTRUCTIONS", "KINDS",
           "OPERAND_BITS", "REGISTERS", "Register", "TABLE"]

TABLE = tomllib.loads((pathlib.Path(__file__).resolve().parents[2] / "docs" / "enmc" / "isa.toml").read_text())
"""The file as it is."""

COMMAND_BITS, OPERAND_BITS = TABLE["command"]["bits"], TABLE["operand"]["bits"]

Error = enum.IntEnum("Error", {error["name"]: error["code"] for error in TABLE["errors"]}, module=__name__)


@dataclasses.dataclass(frozen=True)
class Field:
    """Bits ``low`` to ``high``; ``kind`` ``"count"``: a number from ``min`` to ``max``, ``"address"``: of a byte."""

    name: str
    high: int
    low: int
    kind: str = "count"
    min: int = 0
    max: int = 0

    @property
    def mask(self):
        """The field's bits in the word."""
        return (1 << self.high + 1) - (1 << self.low)

    @property
    def fixed(self):
        """Whether it has one value only, ``min``."""
        return self.kind == "count" and self.min == self.max

    def of(self, word):
        """The field of a word."""
        return (word & self.mask) >> self.low


@dataclasses.dataclass(frozen=True)
class Form:
    """What an instruction does, for operands that are zero (``when`` = ``"zero"``) or for all others."""

    kind: str
    about: str
    job: str | None
    when: str | None
    fields: tuple

    @property
    def mask(self):
        """The operand's bits that have a meaning."""
        return sum(field.mask for field in self.fields)


@dataclasses.dataclass(frozen=True)
class Definition:
    """An instruction. ``buf1``, ``buf2``: buffers allowed there; ``register``: ``"read"`` or ``"write"`` one."""

    opcode: int
    name: str
    buf1: tuple
    buf2: tuple
    register: str | None
    forms: tuple

    @property
    def operand(self):
        """Whether it brings one (QUERY does not)."""
        return self.register != "read"

    @property
    def mask(self):
        """The command's bits that have a meaning."""
        names = ["opcode"] + (["write", "register"] if self.register else [])
        names += [name for name in ("buf1", "buf2") if getattr(self, name)]
        return sum(COMMAND[name].mask for name in names)


@dataclasses.dataclass(frozen=True)
class Register:
    """A register. ``access``: ``"read"``, or ``"write"`` for both; the others are of its value, see the table."""

    number: int
    name: str
    access: str
    about: str
    bits: int = 64
    kind: str = "count"
    min: int = 0
    max: int | None = None
    multiple: int = 1
    reset: int = 0
    lock: bool = False
    clears: bool = False
    fields: tuple = ()

    def takes(self, value, rank_bytes):
        """Whether INIT may write ``value``, with ``rank_bytes`` in a rank."""
        if self.kind in ("address", "limit"):
            return value % 64 == 0 and value < rank_bytes + (self.kind == "limit")
        most = (1 << self.bits) - 1 if self.max is None else self.max
        return self.min <= value <= most and value % self.multiple == 0


def _bits(name, place):
    return Field(name, *place)


def _form(row):
    fields = tuple(Field(name, *value["bits"], kind=value["kind"], min=value.get("min", 0), max=value.get("max", 0))
                   for name, value in row.get("fields", {}).items())
    return Form(row["kind"], row["about"], row.get("job"), row.get("when"), fields)


def _definition(row):
    return Definition(row["opcode"], row["name"], tuple(row.get("buf1", ())), tuple(row.get("buf2", ())),
                      row.get("register"), tuple(map(_form, row["forms"])))


def _register(row):
    fields = tuple(_bits(name, place) for name, place in row.get("fields", {}).items())
    return Register(**{**row, "fields": fields})


COMMAND = {name: _bits(name, place) for name, place in TABLE["command"].items() if name != "bits"}
"""Fields of a command, by name."""
BUFFERS = {row["name"]: row["id"] for row in TABLE["buffers"]}
KINDS = tuple(row["name"] for row in TABLE["kinds"])
INSTRUCTIONS = {definition.name: definition for definition in map(_definition, TABLE["instructions"])}
REGISTERS = {register.name: register for register in map(_register, TABLE["registers"])}
