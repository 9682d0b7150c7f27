"""The table of ENMC's instructions, registers and errors, ``docs/enmc/isa.toml``, as enumerations and plain values."""

import pathlib
import tomllib

from amaranth.hdl import unsigned
from amaranth.lib import data, enum

from hw.registers import Register as RegisterRow

__all__ = ["Buffer", "COMMAND_BITS", "Error", "Kind", "OPERAND_BITS", "Register", "TABLE", "jobs", "rank_registers",
           "register_row"]

TABLE = tomllib.loads((pathlib.Path(__file__).resolve().parents[2] / "docs" / "enmc" / "isa.toml").read_text())
"""The file as it is."""

OUTPUT_BITS = 512
"""Of a word of OUTPUT, the one register without fields or bits in the table."""
COMMAND_BITS, OPERAND_BITS = TABLE["command"]["bits"], TABLE["operand"]["bits"]


def jobs(kind):
    """Jobs of a kind of instructions, name -> number, in the order of the table."""
    names = [form["job"] for row in TABLE["instructions"] for form in row["forms"]
             if form["kind"] == kind and "job" in form]
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


class Buffer(enum.Enum, shape=4):
    """Numbers of the buffers."""

    vars().update((row["name"], row["id"]) for row in TABLE["buffers"])


class Register(enum.Enum, shape=5):
    """Numbers of the registers."""

    vars().update((row["name"], row["number"]) for row in TABLE["registers"])


class Error(enum.Enum, shape=8):
    """Codes of the errors."""

    NONE = 0
    vars().update((row["name"], row["code"]) for row in TABLE["errors"])


class Kind(enum.Enum, shape=4):
    """What the controller does with an instruction."""

    vars().update((row["name"], number) for number, row in enumerate(TABLE["kinds"]))


def register_row(register):
    """The row of the table of a register's name."""
    return next(row for row in TABLE["registers"] if row["name"] == register)


def rank_registers():
    """The registers that INIT and QUERY name by their numbers: a list of :class:`hw.registers.Register`."""
    found = []
    for row in TABLE["registers"]:
        fields = {name: data.Field(unsigned(high - low + 1), low)
                  for name, (high, low) in row.get("fields", {}).items()}
        size = row.get("bits", max((field.offset + field.width for field in fields.values()), default=OUTPUT_BITS))
        found.append(RegisterRow(row["name"].lower(), row["number"],
                                 data.FlexibleLayout(size, fields) if fields else unsigned(size)))
    return found
