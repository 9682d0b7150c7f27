"""C header and documentation page of ENMC's instructions, from their table."""

from golden.enmc.isa_table import BUFFERS, COMMAND, COMMAND_BITS, INSTRUCTIONS, OPERAND_BITS, REGISTERS, TABLE, Error

__all__ = ["header", "page"]

_ACCESS = """\
/* Bits HIGH to LOW of a command or operand. */
static inline uint64_t enmc_get(uint64_t word, unsigned high, unsigned low)
{
    return word >> low & (UINT64_MAX >> (63 - (high - low)));
}

static inline uint64_t enmc_put(uint64_t word, unsigned high, unsigned low, uint64_t value)
{
    uint64_t mask = UINT64_MAX >> (63 - (high - low)) << low;
    return (word & ~mask) | (value << low & mask);
}

/* Commands: address bits A12 to A0 of the PRECHARGE that carries an instruction. */
static inline uint16_t enmc_command(unsigned opcode, unsigned buf1, unsigned buf2)
{
    return (uint16_t)(opcode << 8 | buf1 << 4 | buf2);
}

static inline uint16_t enmc_init(unsigned reg)
{
    return (uint16_t)(ENMC_OP_INIT << 8 | 1u << 7 | reg << 2);
}

static inline uint16_t enmc_query(unsigned reg)
{
    return (uint16_t)(ENMC_OP_QUERY << 8 | reg << 2);
}
"""


def _enum(name, about, members):
    stem = f"ENMC_{name.upper()}"
    rows = [f"    {stem}_{member} = {value}, /* {note} */" for member, value, note in members]
    return [f"/* {about} */", f"enum enmc_{name} {{", *rows, "};", ""]


def _places(title, rows):
    lines = [f"/* {title} */"]
    for name, field in rows:
        lines += [f"#define ENMC_{name.upper()}_HIGH {field.high}", f"#define ENMC_{name.upper()}_LOW {field.low}"]
    return [*lines, ""]


def header():
    """The text of the C header: numbers of opcodes, buffers, registers and errors, places of all fields, access."""
    about = {row.name: row.forms[0].about if len(row.forms) == 1 else "; or ".join(form.about for form in row.forms)
             for row in INSTRUCTIONS.values()}
    operands = [(f"{row.name}_{field.name}", field) for row in INSTRUCTIONS.values() for form in row.forms
                for field in form.fields]
    lines = [
        "/* ENMC: instructions, registers, errors. Made from docs/enmc/isa.toml by: resilin isa enmc --header",
        " * HIGH and LOW are the bits of a field, for enmc_get and enmc_put.", " */",
        "#ifndef RESILIN_ENMC_ISA_H", "#define RESILIN_ENMC_ISA_H", "", "#include <stdint.h>", "",
        f"#define ENMC_COMMAND_BITS {COMMAND_BITS}", f"#define ENMC_OPERAND_BITS {OPERAND_BITS}", "",
        *_enum("op", "Opcodes", [(row.name, row.opcode, about[row.name]) for row in INSTRUCTIONS.values()]),
        *_enum("buf", "Buffers", [(row["name"], row["id"], row["about"]) for row in TABLE["buffers"]]),
        *_enum("reg", "Registers", [(row.name, row.number, row.about) for row in REGISTERS.values()]),
        *_enum("error", "Error codes", [(row["name"], row["code"], row["about"]) for row in TABLE["errors"]]),
        *_places("Fields of a command", [(f"command_{name}", field) for name, field in COMMAND.items()]),
        *_places("Fields of the operands", operands),
        *_places("Fields of the registers", [(f"{row.name}_{field.name}", field) for row in REGISTERS.values()
                                             for field in row.fields]),
    ]
    return "\n".join([*lines, _ACCESS, "#endif /* RESILIN_ENMC_ISA_H */", ""])


def _table(*rows):
    head, *body = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return [head, "|" + "---|" * len(rows[0]), *body, ""]


def _span(field):
    return f"[{field.high}]" if field.high == field.low else f"[{field.high}:{field.low}]"


def _operand(form):
    if form.when == "zero":
        return "0"
    words = []
    for field in form.fields:
        every = field.kind == "address" or (field.min, field.max) == (0, (1 << field.high - field.low + 1) - 1)
        limits = f" = {field.min}" if field.fixed else "" if every else f" {field.min} to {field.max}"
        words.append(f"{field.name} {_span(field)}{limits}")
    return ", ".join(words) or "0"


def _buffers(numbers):
    return ", ".join(map(str, numbers)) or "-"


def _instruction_rows():
    for row in INSTRUCTIONS.values():
        for form in row.forms:
            register = {"read": "register", "write": "register (bit 7 is 1)", None: None}[row.register]
            operand = {"read": "none", "write": "value"}.get(row.register) or _operand(form)
            yield (row.opcode, f"`{row.name}`", register or _buffers(row.buf1),
                   "" if register else _buffers(row.buf2), operand, form.about)


def _allowed(row):
    if row.access == "read":
        return ""
    if row.clears:
        return "any"
    if row.kind != "count":
        return "multiple of 64, " + ("at most" if row.kind == "limit" else "below") + " the rank's size"
    most = (1 << row.bits) - 1 if row.max is None else row.max
    return f"{row.min} to {most if most < 1 << 16 else f'2^{row.bits} - 1'}" + \
        (f", multiple of {row.multiple}" if row.multiple > 1 else "")


def page():
    """The text of docs/enmc/isa.md."""
    names = {row["code"]: row["about"] for row in TABLE["errors"]}
    lines = [
        "# ENMC: instruction set", "",
        "Made from `docs/enmc/isa.toml` by `resilin isa enmc --page`; a test compares them. The same table makes the "
        "decoder",
        "and registers (`hw/enmc/`), the assembler, disassembler and models (`golden/enmc/isa.py`) and the C header",
        "(`resilin isa enmc --header`). What instructions mean: [machine.md](machine.md).", "",
        "## Format", "",
        f"A command has {COMMAND_BITS} bits, address bits A12 to A0 of a PRECHARGE; the operand has {OPERAND_BITS}. "
        "Unused bits are zero.", "",
        *_table(("field", "bits"), *((f"`{name}`", _span(field)) for name, field in COMMAND.items())),
        "## Instructions", "",
        *_table(("opcode", "name", "buf1", "buf2", "operand", "does"), *_instruction_rows()),
        "## Buffers", "",
        *_table(("number", "name", "in", "contents"),
                *((number, f"`{name}`", row["unit"], row["about"])
                  for (name, number), row in zip(BUFFERS.items(), TABLE["buffers"]))),
        "## Registers", "",
        *_table(("number", "name", "QUERY, INIT", "values of INIT", "at first", "about"),
                *((row.number, f"`{row.name}`", "QUERY" if row.access == "read" else "both", _allowed(row),
                   f"{row.reset:#x}" if row.reset else 0,
                   row.about + (": " + ", ".join(f"{field.name} {_span(field)}" for field in row.fields)
                                if row.fields else ""))
                  for row in REGISTERS.values())),
        "## Errors", "",
        "Of several errors of an instruction the one of the lowest code is reported.", "",
        *_table(("code", "name", "when"), *((error.value, f"`{error.name}`", names[error]) for error in Error)),
        "## Assembly", "",
        "A line an instruction; `#` begins a comment. `resilin isa enmc --assemble FILE` prints commands and operands,",
        "`resilin isa enmc --disassemble FILE` makes text of them.", "", "```",
        "INIT CLASSES, 49152",
        "LDR FEATURE_INT4, address=0x40000, count=4",
        "MUL_ADD_INT4 FEATURE_INT4, WEIGHT_INT4, address=0x10000, groups=8",
        "FILTER PSUM_INT4, class=64",
        "QUERY STATUS",
        ".word 0x0123, 0x456     # any command and operand, also ones that are no instruction",
        "```",
    ]
    return "\n".join([*lines, ""])
