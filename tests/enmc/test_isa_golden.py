"""ENMC's instructions: encodings by hand, round trips of all commands, refusals."""

import numpy as np
import pytest

from golden.enmc import isa_table
from golden.enmc.isa import AssemblyError, Instruction, assemble, decode, disassemble, make
from golden.enmc.isa_table import BUFFERS, INSTRUCTIONS, REGISTERS, Error

PROGRAM = """
INIT CLASSES, 0xc000
INIT THRESHOLD, 0xfffffffb
LDR FEATURE_INT4, address=0x40000, count=4
MUL_ADD_INT4 FEATURE_INT4, WEIGHT_INT4, address=0x10000, groups=8
MUL_ADD_INT4 FEATURE_INT4, WEIGHT_INT4
MUL_ADD_FP32 FEATURE_FP32, WEIGHT_FP32, class=3, count=5, item=1
FILTER PSUM_INT4, class=64
STR OUTPUT, address=0x40, count=4, width=2, stride=7
SOFTMAX PSUM_FP32, phase=1, item=2, count=64
MOVE PSUM_FP32, OUTPUT
QUERY STATUS
BARRIER
.word 0x0123, 0x456
"""


@pytest.mark.parametrize("text, command, operand", [
    ("MUL_ADD_FP32 FEATURE_FP32, WEIGHT_FP32", 2 << 8 | 2 << 4 | 3, 0),
    ("QUERY ROW_BASE", 9 << 8 | 9 << 2, 0),
    ("INIT SHIFT, 12  # comment", 9 << 8 | 1 << 7 | 7 << 2, 12),
    ("INIT THRESHOLD, -5", 9 << 8 | 1 << 7 | 8 << 2, 0xFFFFFFFB),
    ("LDR PSUM_FP32, address=0x1fc0, count=3", 10 << 8 | 5 << 4, 3 << 36 | 0x1FC0),
    ("STR OUTPUT, address=64, count=4, width=2, stride=7", 11 << 8 | 6 << 4, 7 << 42 | 2 << 39 | 4 << 36 | 64),
    ("MUL_ADD_FP32 FEATURE_FP32, WEIGHT_FP32, class=9, count=1, item=3", 0x223, 1 << 63 | 3 << 56 | 1 << 32 | 9),
    ("CLR", 19 << 8, 0),
])
def test_encoding(text, command, operand):
    assert assemble(text) == [Instruction(command, operand)]


def test_program_comes_back():
    program = assemble(PROGRAM)
    assert "\n".join(map(str, program)).split() == PROGRAM.split()


def test_every_command_comes_back():
    """Every one of the 8,192 commands with operands of zero, of random bits, of few bits."""
    rng = np.random.default_rng(1)
    legal = 0
    for command in range(1 << isa_table.COMMAND_BITS):
        sparse = 1 << int(rng.integers(64)) | 1 << int(rng.integers(64))
        for operand in (0, int(rng.integers(1 << 64, dtype=np.uint64)), sparse):
            instruction = Instruction(command, operand)
            assert assemble(disassemble(instruction)) == [instruction]
            legal += not decode(instruction).errors
    assert legal > 150


@pytest.mark.parametrize("definition", INSTRUCTIONS.values(), ids=INSTRUCTIONS)
def test_legal_instructions_of_every_form(definition):
    """Least and greatest values of every field, all buffers and registers: no error, and the fields come back."""
    names = {number: name for name, number in BUFFERS.items()}
    if definition.register:
        for register in REGISTERS.values():
            if definition.register == "read":
                assert not decode(make("QUERY", register.name)).errors
            elif register.access == "write":
                assert not decode(make("INIT", register.name, register.reset)).errors
        return
    buffers = [(a, b) for a in definition.buf1 or (None,) for b in definition.buf2 or (None,)]
    for form in definition.forms:
        for choose in (lambda field: field.min, lambda field: field.max if field.kind == "count" else (1 << 33) - 256):
            fields = {field.name: choose(field) for field in form.fields if not field.fixed}
            for pair in buffers:
                if form is not definition.forms[0] and not any(fields.values()):
                    continue
                decoded = decode(make(definition.name, *(names[b] for b in pair if b is not None), **fields))
                assert not decoded.errors and decoded.form is form
                assert {name: decoded.fields[name] for name in fields} == fields


@pytest.mark.parametrize("command, operand, error", [
    (0x001, 0, Error.OPCODE), (0x0F00, 0, Error.OPCODE), (0x1F00, 0, Error.OPCODE),
    (0x0A70, 1 << 36, Error.BUFFER), (0x0210, 0, Error.BUFFER), (0x0A01, 1 << 36, Error.OPERAND),
    (9 << 8 | 1 << 7, 0, Error.REGISTER), (9 << 8 | 19 << 2, 0, Error.REGISTER), (9 << 8 | 1, 0, Error.OPERAND),
    (9 << 8 | 1 << 7 | 4 << 2, 5, Error.VALUE), (9 << 8 | 1 << 7 | 9 << 2, 32, Error.VALUE),
    (9 << 8 | 1 << 7 | 9 << 2, 1 << 33, Error.VALUE), (9 << 8 | 1 << 7 | 17 << 2, (1 << 33) + 64, Error.VALUE),
    (0x0A00, 0, Error.OPERAND), (0x0A00, 5 << 36, Error.OPERAND), (0x0A00, 1 << 36 | 1 << 39, Error.OPERAND),
    (0x0A00, 1 << 36 | 32, Error.UNALIGNED), (0x0A00, 1 << 36 | 1 << 33, Error.RANGE), (0x1100, 1, Error.OPERAND),
    (0x0223, 1, Error.OPERAND), (0x0E50, 65 << 3, Error.OPERAND),
])
def test_errors(command, operand, error):
    assert decode(Instruction(command, operand)).errors == {error}


def test_limit_takes_the_size_of_the_rank():
    assert not decode(Instruction(9 << 8 | 1 << 7 | 17 << 2, 1 << 33)).errors


@pytest.mark.parametrize("line, message", [
    ("FOO", "FOO is not an instruction: there are MUL_ADD_INT4"),
    ("LDR INDEX, address=0, count=1", "buf1 = INDEX is not allowed in LDR: it must be one of FEATURE_INT4"),
    ("LDR OUTPUT, address=1, count=1", "address = 0x1 is not allowed in LDR: it must be a multiple of 64"),
    ("LDR OUTPUT, address=64, count=5", "count = 5 is not allowed in LDR: it must be from 1 to 4"),
    ("INIT SHIFT, 99", "SHIFT = 99 is not allowed: it must be from 0 to 47"),
    ("INIT ROW_BASE, 1", "ROW_BASE = 1 is not allowed: it must be a multiple of 64, below"),
    ("INIT LOG_STRIDE, 65", "a multiple of 64"),
    ("INIT STATUS, 1", "register = STATUS is not allowed in INIT: it must be one of ERROR"),
    ("QUERY NOTHING", "register = NOTHING is not allowed"), ("INIT SHIFT", "takes a register and a value"),
    ("QUERY SHIFT, 1", "takes a register"), ("BARRIER OUTPUT", "takes 0 buffers, not 1"),
    ("NOP x=1", "NOP takes the fields none, not x"), ("LDR OUTPUT, count=x", "'x' is not a number"),
    ("LDR OUTPUT, count=1, count=2", "a field is given twice"), ("LDR count=1, OUTPUT", "come before fields"),
    ("MUL_ADD_INT4 FEATURE_INT4, WEIGHT_INT4, groups=1", "takes the fields address, groups, not groups"),
    (".word 1", "takes a command and an operand"), (".word 0x2000, 0", "command = 8192 is not allowed"),
])
def test_assembler_refuses(line, message):
    with pytest.raises(AssemblyError, match=message) as caught:
        assemble(f"NOP\n{line}")
    assert "line 2: " in str(caught.value)


def test_table_is_sound():
    """No opcode, register or bit has two meanings; opcodes of the plain PRECHARGE commands are free."""
    opcodes = [(row.opcode, row.register) for row in INSTRUCTIONS.values()]
    assert len(set(opcodes)) == len(opcodes) and not {0, 4} & {opcode for opcode, _ in opcodes}
    assert len({row.number for row in REGISTERS.values()}) == len(REGISTERS)
    for definition in INSTRUCTIONS.values():
        for form in definition.forms:
            assert form.mask.bit_count() == sum(field.high - field.low + 1 for field in form.fields)
    for register in REGISTERS.values():
        assert register.access == "read" or register.takes(register.reset, 1 << 33)
