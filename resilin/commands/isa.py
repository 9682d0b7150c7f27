"""``resilin isa``: a machine's instructions: C header, page, assembler, disassembler."""

import pathlib

MACHINES = ("enmc",)


def add_arguments(parser, words):
    parser.add_argument("machine", metavar="MACHINE", choices=MACHINES, help=", ".join(MACHINES))
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--header", action="store_true", help="the C header")
    what.add_argument("--page", action="store_true", help="the documentation page")
    what.add_argument("--assemble", metavar="FILE", type=pathlib.Path,
                      help="a program's text to a line an instruction: command, operand, in hexadecimal")
    what.add_argument("--disassemble", metavar="FILE", type=pathlib.Path, help="such lines to text")
    parser.add_argument("-o", "--output", metavar="FILE", type=pathlib.Path, help="write there instead of printing")


def run(args):
    from golden.enmc import isa
    from resilin.enmc import isa_files

    if args.header or args.page:
        text = isa_files.header() if args.header else isa_files.page()
    elif args.assemble:
        program = isa.assemble(args.assemble.read_text())
        text = "".join(f"{instruction.command:04x} {instruction.operand:016x}\n" for instruction in program)
    else:
        text = "".join(f"{isa.disassemble(instruction)}\n" for instruction in _words(args.disassemble))
    if args.output:
        args.output.write_text(text)
    else:
        print(text, end="")
    return 0


def _words(path):
    from golden.enmc.isa import Instruction

    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            command, operand = (int(word, 16) for word in line.split())
            yield Instruction(command, operand)
        except ValueError:
            raise ValueError(f"{path.name}, line {number}: {line!r} is not allowed: it must be a command of 13 bits "
                             "and an operand of 64 bits, in hexadecimal") from None
