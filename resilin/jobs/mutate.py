"""``resilin run mutate``: do a block's tests notice when its netlist is changed?"""

import json
import pathlib
import re

summary = "change a block's netlist in small ways and count how many changes its tests notice"

#: Bits of the port that chooses a mutant; 0 is the netlist as it is.
SELECT_BITS = 10


def add_arguments(parser):
    parser.add_argument("--block", default="scheduler", help="the block (default: scheduler)")
    parser.add_argument("--preset", default="small", help="its configuration (default: small)")
    parser.add_argument("--count", type=int, default=20, help="number of mutants, 1 to 1023 (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the choice of mutants (default: 1)")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, required=True,
                        help="folder for mutate.json")


def mutants(verilog, top, count, seed):
    """One netlist that holds ``count`` mutants, and what each is: (Verilog, list of descriptions).

    Yosys' ``mutate`` changes one bit at one port of one cell: inverted, constant, or mixed with another. A new input
    ``mutant`` chooses which change is on; with 0 the netlist is the original.
    """
    from hw.generate import yosys

    read = f"read_verilog -sv -formal top.v\nhierarchy -top {top}\nproc\nmemory_collect\n"
    listed = yosys(read + f"mutate -list {count} -seed {seed} -ctrl mutant {SELECT_BITS} 1 -o list.txt\n",
                   {"top.v": verilog})["list.txt"]
    commands = listed.splitlines()
    changed = yosys(read + listed + "\nclean\nwrite_verilog -noattr out.v\n", {"top.v": verilog})["out.v"]
    words = [re.sub(r"^mutate (-ctrl \S+ \S+ \S+ )?| -src \S+", "", command).strip() for command in commands]
    return changed, words


def survey(block, preset, count, seed, tell=print):
    """Run the block's tests on each mutant; a list of dicts: ``mutant``, ``change``, ``killed``, ``by``.

    Raises ``AssertionError`` when the tests fail on the netlist as it is.
    """
    from resilin.simulate import simulate

    made = {}

    def edit(verilog):
        if not made:
            made["verilog"], made["changes"] = mutants(verilog, block, count, seed)
        return made["verilog"]

    def passes(number):
        try:
            simulate(block, preset=preset, options={"mutant": number}, quiet=True, edit=edit, timeout=300)
        except AssertionError as error:
            if number == 0:
                raise
            return str(error).splitlines()[0]
        return None

    passes(0)
    rows = []
    for number, change in enumerate(made["changes"], 1):
        reason = passes(number)
        rows.append({"mutant": number, "change": change, "killed": reason is not None, "by": reason})
        tell(f"mutant {number} of {len(made['changes'])}: {'killed' if reason else 'SURVIVED'}: {change}")
    return rows


def run(args):
    from resilin import registry

    block = registry.find(args.block)
    if not 1 <= args.count < 1 << SELECT_BITS:
        raise ValueError(f"count = {args.count} is not allowed: count must be from 1 to {(1 << SELECT_BITS) - 1}")
    block.config_class.preset(args.preset)
    rows = survey(block.name, args.preset, args.count, args.seed)
    killed = sum(row["killed"] for row in rows)
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "mutate.json").write_text(json.dumps(
        {"block": block.name, "preset": args.preset, "seed": args.seed, "killed": killed, "mutants": rows},
        indent=2) + "\n")
    print(f"{block.name}, preset {args.preset}: {killed} of {len(rows)} mutants killed; the others change nothing that "
          "can be seen, or are not noticed")
    print(f"written: {args.output / 'mutate.json'}")
