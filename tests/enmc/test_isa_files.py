"""What is made of the table of ENMC's instructions: page, C header; the command that does it."""

import pathlib
import subprocess

import pytest

from golden.enmc.isa import assemble, make
from golden.enmc.isa_table import BUFFERS, INSTRUCTIONS, KINDS, REGISTERS, Error
from hw.enmc import isa_table as hardware
from resilin import cli
from resilin.enmc import isa_files

PROGRAM = "LDR FEATURE_INT4, address=0x40000, count=4\nINIT CLASSES, 49152\nBARRIER\n"


def test_page_is_made_from_the_table():
    page = pathlib.Path(__file__).resolve().parents[2] / "docs" / "enmc" / "isa.md"
    assert page.read_text() == isa_files.page(), "run: resilin isa enmc --page -o docs/enmc/isa.md"


def test_hardware_has_the_same_numbers():
    assert {member.name: member.value for member in hardware.Buffer} == BUFFERS
    assert {member.name: member.value for member in hardware.Register} == {
        name: register.number for name, register in REGISTERS.items()}
    assert {member.name: member.value for member in hardware.Error} == {
        "NONE": 0, **{error.name: error.value for error in Error}}
    assert [member.name for member in hardware.Kind] == list(KINDS)


def test_header_in_c(tmp_path):
    """A C program that builds and takes apart instructions with the header gives what the assembler gives."""
    (tmp_path / "enmc_isa.h").write_text(isa_files.header())
    rows = [(definition, form, field) for definition in INSTRUCTIONS.values() for form in definition.forms
            for field in form.fields]
    places = [f"ENMC_{row.name}_{field.name.upper()}" for row, _, field in rows]
    reads = "\n".join(f'    printf("%llx\\n", (unsigned long long)enmc_get(word, {place}_HIGH, {place}_LOW));'
                      for place in places)
    (tmp_path / "main.c").write_text(f"""
#include <stdio.h>
#include "enmc_isa.h"
int main(void)
{{
    uint64_t word = UINT64_C(0x123456789abcdef0), operand = 0;
    operand = enmc_put(operand, ENMC_LDR_ADDRESS_HIGH, ENMC_LDR_ADDRESS_LOW, 0x40000);
    operand = enmc_put(operand, ENMC_LDR_COUNT_HIGH, ENMC_LDR_COUNT_LOW, 4);
    printf("%x %llx\\n", enmc_command(ENMC_OP_LDR, ENMC_BUF_FEATURE_INT4, 0), (unsigned long long)operand);
    printf("%x %x\\n", enmc_init(ENMC_REG_CLASSES), enmc_query(ENMC_REG_OUTPUT));
    printf("%x %d\\n", enmc_command(ENMC_OP_MOVE, ENMC_BUF_PSUM_FP32, ENMC_BUF_OUTPUT), ENMC_ERROR_SETTING);
{reads}
    return 0;
}}
""")
    subprocess.run(["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-o", "main", "main.c"], cwd=tmp_path, check=True)
    out = subprocess.run([tmp_path / "main"], check=True, capture_output=True, text=True).stdout.splitlines()
    load = make("LDR", "FEATURE_INT4", address=0x40000, count=4)
    init, query = make("INIT", "CLASSES", 1).command, make("QUERY", "OUTPUT").command
    assert out[:3] == [f"{load.command:x} {load.operand:x}", f"{init:x} {query:x}",
                       f"{make('MOVE', 'PSUM_FP32', 'OUTPUT').command:x} {Error.SETTING.value}"]
    assert out[3:] == [f"{field.of(0x123456789abcdef0):x}" for _, _, field in rows]


def test_command_assembles_and_back(tmp_path, capsys):
    (tmp_path / "program").write_text(PROGRAM)
    assert cli.main(["isa", "enmc", "--assemble", str(tmp_path / "program"), "-o", str(tmp_path / "words")]) == 0
    first, *_ = assemble(PROGRAM)
    assert (tmp_path / "words").read_text().splitlines()[0] == f"{first.command:04x} {first.operand:016x}"
    assert cli.main(["isa", "enmc", "--disassemble", str(tmp_path / "words")]) == 0
    assert assemble(capsys.readouterr().out) == assemble(PROGRAM)
    assert cli.main(["isa", "enmc", "--header"]) == 0
    assert capsys.readouterr().out == isa_files.header()


@pytest.mark.parametrize("option, text, message", [
    ("--assemble", "NOP\nFOO\n", "line 2: FOO: FOO is not an instruction"),
    ("--disassemble", "0 0\n2000 0\n", "line 2: '2000 0' is not allowed"),
    ("--disassemble", "1\n", "must be a command of 13 bits"),
])
def test_command_refuses(tmp_path, capsys, option, text, message):
    (tmp_path / "program").write_text(text)
    assert cli.main(["isa", "enmc", option, str(tmp_path / "program")]) == 2
    assert message in capsys.readouterr().err
