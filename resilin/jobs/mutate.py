"""``resilin run mutate``: do a block's tests notice when its netlist is changed?"""

import json
import pathlib
import time

summary = "change a block's netlist in small ways and count how many changes its tests notice"


def add_arguments(parser):
    parser.add_argument("--block", default="scheduler", help="the block (default: scheduler)")
    parser.add_argument("--preset", default="small", help="its configuration (default: small)")
    parser.add_argument("--count", type=int, default=20, help="number of mutants, 1 to 1023 (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the choice of mutants (default: 1)")
    parser.add_argument("--only", type=int, metavar="N", nargs="+", help="run these of the mutants, numbered from 1")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, required=True,
                        help="folder for mutate.json")


def survey(block, config, count, seed, only=None, tell=print):
    """Run the block's tests on each mutant; a list of dicts: ``mutant``, ``change``, ``result``, ``by``.

    ``block``: a :class:`~resilin.registry.Block`, ``config`` its configuration, ``only`` numbers of the mutants to
    run, all when ``None``. ``result`` is ``killed`` (then ``by`` says how), ``equivalent`` (proven) or ``survived``.
    Parts that are blocks of their own have their own runs: no mutant is in them.

    Raises ``AssertionError`` when the tests fail on the netlist as it is.
    """
    from hw.generate import generate
    from resilin import mutants
    from resilin.registry import BLOCKS
    from resilin.simulate import simulate

    netlist = mutants.prepare(generate(block.component_class(config), block.name), block.name)
    modules = mutants.own_modules(netlist, block.name, {f"{block.name}_{other.name}" for other in BLOCKS})
    chosen = mutants.choose(netlist, modules, count, seed)
    verilog = mutants.combine(netlist, chosen)

    def failure(number, timeout):
        """How the tests fail on a mutant; ``None`` when they pass."""
        try:
            simulate(block.name, overrides=config.to_dict(), options={"mutant": number}, quiet=True, verilog=verilog,
                     timeout=timeout, max_failures=1)
        except AssertionError as error:
            if number == 0:
                raise
            return str(error).splitlines()[0]
        return None

    failure(0, timeout=3600)  # builds the simulator
    started = time.monotonic()
    failure(0, timeout=3600)
    limit = 60 + 5 * (time.monotonic() - started)
    rows = []
    for number in only or range(1, len(chosen) + 1):
        mutant = chosen[number - 1]
        reason = failure(number, limit)
        result = "killed" if reason else "equivalent" if mutants.is_equivalent(netlist, mutant) else "survived"
        rows.append({"mutant": number, "change": mutants.describe(mutant), "result": result, "by": reason})
        tell(f"mutant {number} of {len(chosen)}: {result}: {rows[-1]['change']}")
    return rows


def run(args):
    from resilin import mutants, registry

    block = registry.find(args.block)
    most = (1 << mutants.SELECT_BITS) - 1
    if not 1 <= args.count <= most:
        raise ValueError(f"count = {args.count} is not allowed: count must be from 1 to {most}")
    for number in args.only or ():
        if not 1 <= number <= args.count:
            raise ValueError(f"only = {number} is not allowed: a mutant's number is from 1 to count = {args.count}")
    rows = survey(block, block.config_class.preset(args.preset), args.count, args.seed, args.only)
    results = {result: sum(row["result"] == result for row in rows) for result in ("killed", "equivalent", "survived")}
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "mutate.json").write_text(json.dumps(
        {"block": block.name, "preset": args.preset, "seed": args.seed, **results, "mutants": rows}, indent=2) + "\n")
    print(f"{block.name}, preset {args.preset}: of {len(rows)} mutants {results['killed']} killed, "
          f"{results['equivalent']} proven equivalent, {results['survived']} survived")
    print(f"written: {args.output / 'mutate.json'}")
