"""``resilin run gemm``: utilisation of a lane's array in dense matrix products, in cycles of the simulated RTL."""

import contextlib
import itertools
import json
import pathlib
import sys

summary = "measure the utilisation of dense matrix products on the lane, in all precisions"

#: Products that one processing element forms in a cycle.
PRODUCTS = {"FX16": 1, "INT8": 4, "INT4": 16, "INT2": 64}
#: Operand and result precisions that are measured. An INT2 result of INT8 is two words, which take two cycles.
CASES = (("FX16", "FX16"), ("INT8", "INT8"), ("INT4", "INT8"), ("INT2", "INT4"), ("INT2", "INT8"))
MAX_BEATS = 8192
LEAST_INNER = 256


def add_arguments(parser):
    parser.add_argument("--preset", default="paper", help="configuration of the lane (default: paper)")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, required=True, help="folder for gemm.json")
    parser.add_argument("--seed", type=int, default=1, help="seed of the operands (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def plan(size, precision, out):
    """The longest product of at most MAX_BEATS beats with K >= 256 that fits in the memory: a Command.

    ``size``: a ``golden.dota.program.LaneSize``; ``out``: precision of the result. A, B and the result have banks of
    their own.
    Raises ``ValueError`` when K = 256 does not fit.
    """
    from golden.dota.program import Command, LaneOp, Phase

    best, most = None, 0
    inners = (LEAST_INNER, 2 * LEAST_INNER, 4 * LEAST_INNER)
    for inner, tiles, rows in itertools.product(inners, range(1, 33), (size.psum_depth, size.psum_depth // 2)):
        chunks = -(-inner // size.chunk(precision))
        beats = rows * tiles * chunks
        if beats > MAX_BEATS or beats <= most:
            continue
        words, result_words = size.chunk_words(precision, chunks), size.words_for(out, tiles * size.tile(precision))
        a, b, c = (-(-count // size.bank_words) for count in
                   (rows * words, tiles * size.tile(precision) * words, rows * result_words))
        if a + b + c > size.banks:
            continue
        best, most = Command(
            op=LaneOp.GEMM, phase=Phase.LINEAR, precision=precision, out=out, m=rows, n_tiles=tiles, k_chunks=chunks,
            shift=precision.bits, a_stride=words, b_base=a * size.bank_words, b_stride=words,
            c_base=(a + b) * size.bank_words, c_stride=result_words), beats
    if best is None:
        raise ValueError(f"bank_words = {size.bank_words} is not allowed: a {precision.name} product with K = "
                         f"{LEAST_INNER} must fit in {size.banks} banks")
    best.check(size)
    return best


def utilisation(size, command, cycles):
    """Share of the array's peak that a GEMM reached: a dict for the table."""
    precision = command.precision
    inner, columns = command.k_chunks * size.chunk(precision), command.n_tiles * size.tile(precision)
    macs = command.m * inner * columns
    peak = size.rows * size.cols * PRODUCTS[precision.name]
    return {"precision": precision.name, "result": command.out.name, "m": command.m, "n": columns, "k": inner,
            "macs": macs, "cycles": cycles, "macs_per_cycle": macs / cycles, "peak_macs_per_cycle": peak,
            "utilisation": macs / cycles / peak}


def run(args):
    from golden.arith.precision import Precision
    from golden.dota.program import LaneSize
    from resilin.files import check_folder, write_files
    from resilin.options import check_seed
    from resilin.registry import find
    from resilin.simulate import simulate

    check_seed(args.seed)
    check_folder(args.output)
    config = find("lane").config_class.preset(args.preset).to_dict()
    size = LaneSize.from_config(config)
    commands = [plan(size, Precision[precision], Precision[out]) for precision, out in CASES]
    # The simulator's log goes to stderr when stdout is for machines.
    with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
        result = simulate("lane", preset=args.preset, seed=args.seed, testcase="measure_programs",
                          options={"programs": [[command.fields()] for command in commands]}, timeout=1800)
    line = next(line for line in result.log.splitlines() if line.startswith("cycles of programs: "))
    rows = [utilisation(size, command, cycles)
            for command, cycles in zip(commands, json.loads(line.partition(": ")[2]))]
    report = {"preset": args.preset, "config": config, "seed": args.seed, "products": rows}
    files = write_files(args.output, {"gemm.json": json.dumps(report, indent=2) + "\n"})
    if args.json:
        print(json.dumps(report))
        return
    print(f"Dense products on the lane ({args.preset}), cycles of the RTL from a command's start to its end; "
          "results equal the golden model")
    print(f"{'':14}{'M x N x K':>18}{'cycles':>9}{'MAC/cycle':>11}{'peak':>8}{'utilisation':>13}")
    for row in rows:
        shape = f"{row['m']} x {row['n']} x {row['k']}"
        print(f"{row['precision']} to {row['result']:6}{shape:>18}{row['cycles']:>9}{row['macs_per_cycle']:>11.1f}"
              f"{row['peak_macs_per_cycle']:>8}{100 * row['utilisation']:>12.1f}%")
    print(f"written: {files[0]}")
