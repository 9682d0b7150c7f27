"""ENMC's instructions: encode, decode, assemble and disassemble, all from the table (docs/enmc/isa.md).

Text, a line an instruction: ``NAME ARGUMENT, ... FIELD=NUMBER``; ``#`` begins a comment::

    INIT CLASSES, 49152
    LDR FEATURE_INT4, address=0x40000, count=4
    MUL_ADD_INT4 FEATURE_INT4, WEIGHT_INT4, address=0x10000, groups=8
    FILTER PSUM_INT4, class=64
    QUERY STATUS
    .word 0x0123, 0x456     # any command and operand, also ones that are no instruction
"""

import dataclasses

from .isa_table import BUFFERS, COMMAND, COMMAND_BITS, INSTRUCTIONS, OPERAND_BITS, REGISTERS, Error
from .layout import BURST_BYTES

__all__ = ["AssemblyError", "Decoded", "Instruction", "RANK_BYTES", "assemble", "decode", "disassemble", "make"]

#: Bytes of a rank of eight chips of 8 Gb.
RANK_BYTES = 1 << 33

_BUFFER_NAMES = {number: name for name, number in BUFFERS.items()}
_REGISTER_NUMBERS = {register.number: register for register in REGISTERS.values()}


class AssemblyError(ValueError):
    """A line of a program that is no instruction; the message has the line's number, what is wrong, what is allowed."""


@dataclasses.dataclass(frozen=True)
class Instruction:
    """A command, address bits A12 to A0, and its 64-bit operand. Raises ``ValueError`` for one that does not fit."""

    command: int
    operand: int = 0

    def __post_init__(self):
        for name, bits in (("command", COMMAND_BITS), ("operand", OPERAND_BITS)):
            if not 0 <= getattr(self, name) < 1 << bits:
                raise ValueError(f"{name} = {getattr(self, name)} is not allowed: it must have {bits} bits")

    def __str__(self):
        return disassemble(self)


@dataclasses.dataclass(frozen=True)
class Decoded:
    """What a command and operand mean.

    ``definition`` and ``form`` of the table (``None``: no such opcode), ``buf1``, ``buf2``, ``register`` as numbers,
    ``fields`` of the operand by name, ``errors``: the set of :class:`Error` that the table alone tells (registers'
    contents may add VALUE, REGISTER, OPERAND, RANGE, SETTING).
    """

    definition: object
    form: object
    buf1: int
    buf2: int
    register: int
    fields: dict
    errors: frozenset


def decode(instruction, rank_bytes=RANK_BYTES):
    """:class:`Decoded` of an :class:`Instruction`, of any bits."""
    command, operand = instruction.command, instruction.operand
    part = {name: field.of(command) for name, field in COMMAND.items()}
    definition = next((definition for definition in INSTRUCTIONS.values() if definition.opcode == part["opcode"] and
                       definition.register in (None, "write" if part["write"] else "read")), None)
    errors = set()
    if definition is None:
        return Decoded(None, None, part["buf1"], part["buf2"], part["register"], {}, frozenset({Error.OPCODE}))
    form = next(form for form in definition.forms if form.when is None or operand == 0)
    fields = {field.name: field.of(operand) for field in form.fields}
    if command & ~definition.mask:
        errors.add(Error.OPERAND)
    for name in ("buf1", "buf2"):
        if getattr(definition, name) and part[name] not in getattr(definition, name):
            errors.add(Error.BUFFER)
    if definition.register:
        register = _REGISTER_NUMBERS.get(part["register"])
        if register is None or definition.register == "write" and register.access != "write":
            errors.add(Error.REGISTER)
        elif definition.register == "write" and not register.clears and not register.takes(operand, rank_bytes):
            errors.add(Error.VALUE)
    elif operand & ~form.mask:
        errors.add(Error.OPERAND)
    for field in form.fields:
        value = fields[field.name]
        if field.kind == "address":
            errors |= {Error.UNALIGNED} if value % 64 else set()
            errors |= {Error.RANGE} if value >= rank_bytes else set()
        elif not field.min <= value <= field.max:
            errors.add(Error.OPERAND)
    if form.job == "LOAD" and fields["address"] + BURST_BYTES * fields["count"] > rank_bytes:
        errors.add(Error.RANGE)
    return Decoded(definition, form, part["buf1"], part["buf2"], part["register"], fields, frozenset(errors))


def make(name, *arguments, **fields):
    """The :class:`Instruction` called ``name``.

    ``arguments``: names of its buffers, or INIT's register and value, or QUERY's register. ``fields``: numbers of the
    operand (``class`` as ``class_``). An instruction with two forms has no fields in the one of operand zero. Raises
    ``ValueError`` naming what is wrong and what is allowed.
    """
    definition = INSTRUCTIONS.get(name)
    if definition is None:
        raise ValueError(f"{name} is not an instruction: there are " + ", ".join(INSTRUCTIONS))
    command = definition.opcode << COMMAND["opcode"].low
    if definition.register:
        return _register_instruction(definition, command, arguments, fields)
    places = [place for place in ("buf1", "buf2") if getattr(definition, place)]
    if len(arguments) != len(places):
        raise ValueError(f"{name} takes {len(places)} buffers, not {len(arguments)}")
    for place, argument in zip(places, arguments):
        allowed = [_BUFFER_NAMES[number] for number in getattr(definition, place)]
        if argument not in allowed:
            raise ValueError(f"{place} = {argument} is not allowed in {name}: it must be one of " + ", ".join(allowed))
        command |= BUFFERS[argument] << COMMAND[place].low
    return Instruction(command, _operand(definition, fields))


def _register_instruction(definition, command, arguments, fields):
    count = 2 if definition.operand else 1
    if len(arguments) != count or fields:
        raise ValueError(f"{definition.name} takes a register" + (" and a value" if count == 2 else ""))
    register = REGISTERS.get(arguments[0])
    if register is None or definition.operand and register.access != "write":
        allowed = [row.name for row in REGISTERS.values() if not definition.operand or row.access == "write"]
        raise ValueError(f"register = {arguments[0]} is not allowed in {definition.name}: it must be one of "
                         + ", ".join(allowed))
    command |= register.number << COMMAND["register"].low
    if not definition.operand:
        return Instruction(command)
    value = arguments[1]
    if value < 0:  # a two's complement number of the register's width
        value += 1 << register.bits
    if value < 0 or not register.clears and not register.takes(value, RANK_BYTES):
        raise ValueError(f"{register.name} = {arguments[1]} is not allowed: {_allowed(register)}")
    return Instruction(command | 1 << COMMAND["write"].low, value)


def _allowed(register):
    if register.kind != "count":
        return f"it must be a multiple of 64, {'at most' if register.kind == 'limit' else 'below'} {RANK_BYTES:#x}"
    most = (1 << register.bits) - 1 if register.max is None else register.max
    return f"it must be from {register.min} to {most}" + \
        (f", a multiple of {register.multiple}" if register.multiple > 1 else "")


def _operand(definition, given):
    """The operand of ``given`` fields."""
    given = {name.removesuffix("_"): value for name, value in given.items()}
    form = next(form for form in definition.forms if (form.when == "zero") <= (not given))
    fixed = {field.name: field.min for field in form.fields if field.fixed}
    names = [field.name for field in form.fields if field.name not in fixed]
    if sorted(given) != sorted(names):
        raise ValueError(f"{definition.name} takes the fields {', '.join(names) or 'none'}, "
                         f"not {', '.join(given) or 'none'}")
    operand = 0
    for field in form.fields:
        value = {**fixed, **given}[field.name]
        if field.kind == "address":
            if not 0 <= value < RANK_BYTES or value % 64:
                raise ValueError(f"{field.name} = {value:#x} is not allowed in {definition.name}: it must be a "
                                 f"multiple of 64, below {RANK_BYTES:#x}")
        elif not field.min <= value <= field.max:
            raise ValueError(f"{field.name} = {value} is not allowed in {definition.name}: it must be from "
                             f"{field.min} to {field.max}")
        operand |= value << field.low
    if form.when is None and definition.forms[0] is not form and operand == 0:
        raise ValueError(f"{definition.name} with an operand of 0 is another instruction")
    return operand


def disassemble(instruction):
    """The text of an :class:`Instruction` of any bits; :func:`assemble` gives the same bits again."""
    decoded = decode(instruction)
    definition = decoded.definition
    if decoded.errors or not definition.operand and instruction.operand:
        return f".word {instruction.command:#06x}, {instruction.operand:#x}"
    if definition.register:
        words = [_REGISTER_NUMBERS[decoded.register].name] + ([f"{instruction.operand:#x}"] * definition.operand)
        return f"{definition.name} {', '.join(words)}"
    words = [_BUFFER_NAMES[getattr(decoded, place)] for place in ("buf1", "buf2") if getattr(definition, place)]
    for field in decoded.form.fields:
        if not field.fixed:
            value = decoded.fields[field.name]
            words.append(f"{field.name}={value:#x}" if field.kind == "address" else f"{field.name}={value}")
    return f"{definition.name} {', '.join(words)}".strip()


def assemble(text):
    """The list of :class:`Instruction` of a program's text. Raises :class:`AssemblyError`."""
    program = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#")[0].strip()
        if line:
            try:
                program.append(_assemble_line(line))
            except ValueError as error:
                raise AssemblyError(f"line {number}: {line}: {error}") from None
    return program


def _number(text):
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def _assemble_line(line):
    name, _, rest = line.partition(" ")
    words = [word.strip() for word in rest.split(",")] if rest.strip() else []
    if name == ".word":
        if len(words) != 2:
            raise ValueError(".word takes a command and an operand")
        return Instruction(*map(_number, words))
    plain = [word for word in words if "=" not in word]
    if words[:len(plain)] != plain:
        raise ValueError("buffers and registers come before fields")
    pairs = [[part.strip() for part in word.split("=", 1)] for word in words[len(plain):]]
    if len({field for field, _ in pairs}) != len(pairs):
        raise ValueError("a field is given twice")
    if name == "INIT" and len(plain) == 2:
        plain[1] = _number(plain[1])
    return make(name, *plain, **{field: _number(value) for field, value in pairs})
