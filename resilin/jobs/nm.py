"""``resilin run nm``: a real linear layer pruned to N:M on FiGS, a dense array and a multiplexer array."""

import contextlib
import json
import pathlib
import shlex
import sys

from resilin.files import check_folder, write_files
from resilin.options import add_config_arguments, check_seed, make_config, positive
from resilin.progress import Progress

summary = "a layer of a real model pruned to N:M on FiGS and its rivals: RTL bit for bit, cycles, input bits, area"

DEFAULT_PRESET = "paper"
#: Outputs and tokens that the RTL computes; the whole layer is the cycle model's.
RTL_OUTPUTS, RTL_TOKENS = 128, 16


def add_arguments(parser):
    add_config_arguments(parser, DEFAULT_PRESET)
    parser.add_argument("--layer", choices=("first", "second"), default="first",
                        help="of MiniLM's last feed-forward block: 384 to 1536, or 1536 to 384 (default: first)")
    parser.add_argument("--ratio", action="append", metavar="N:M",
                        help="may be given again (default: 1:1, 1:2, 2:4 and on to 8:32; 1:8, 1:16, 1:32)")
    parser.add_argument("--epochs", type=int, default=4, metavar="N",
                        help="of training by the FiGS recipe; 0: the greatest magnitudes alone (default: 4)")
    parser.add_argument("--tokens", type=positive, default=128, metavar="N", help="columns of X (default: 128)")
    parser.add_argument("--rtl-outputs", type=positive, default=RTL_OUTPUTS, metavar="N",
                        help=f"outputs that the RTL computes (default: {RTL_OUTPUTS})")
    parser.add_argument("--rtl-tokens", type=positive, default=RTL_TOKENS, metavar="N",
                        help=f"columns of X that the RTL computes (default: {RTL_TOKENS})")
    parser.add_argument("--no-rtl", dest="rtl", action="store_false", help="golden model and cycle model only")
    parser.add_argument("--no-area", dest="area", action="store_false", help="no synthesis")
    parser.add_argument("--period", type=float, metavar="NS",
                        help="synthesize for this clock period (default: for least area)")
    parser.add_argument("--seed", type=int, default=1, help="of training and simulation (default: 1)")
    parser.add_argument("--simulator", choices=("verilator", "icarus"), default="verilator")
    parser.add_argument("--timeout", type=positive, default=3600, metavar="SECONDS",
                        help="end a simulation that takes longer (default: 3600)")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, default=pathlib.Path("build/nm"),
                        help="folder for report.json and report.txt (default: build/nm)")
    parser.add_argument("--json", action="store_true", help="print report.json instead of the text")


def run(args):
    from golden.figs.patterns import RATIOS, pattern_of
    from resilin.figs import nm_report
    from resilin.registry import find

    check_seed(args.seed)
    check_folder(args.output)
    if args.epochs < 0:
        raise ValueError(f"epochs = {args.epochs} is not allowed: it must be at least 0")
    if args.period is not None and not args.period > 0:
        raise ValueError(f"period = {args.period} is not allowed: it must be above 0")
    config = make_config(find("figs_engine"), args)
    if config.array != "figs":
        raise ValueError(f"array = {config.array!r} is not allowed: it must be 'figs', the rivals are made from it")
    patterns = list(dict.fromkeys(map(pattern_of, args.ratio) if args.ratio else RATIOS))
    tell = Progress()
    with tell.alive(), contextlib.redirect_stdout(sys.stderr):
        record = _measure(args, config, patterns, tell)
    record["command"] = shlex.join(["resilin", "run", "nm", *_words(args)])
    text = nm_report.text(record)
    files = write_files(args.output, {"report.json": json.dumps(record, indent=2) + "\n", "report.txt": text})
    print(json.dumps(record) if args.json else text, end="\n" if args.json else "")
    print("written: " + ", ".join(map(str, files)), file=sys.stderr if args.json else sys.stdout)
    return 0


def _words(args):
    for ratio in args.ratio or ():
        yield from ("--ratio", ratio)
    for name in ("layer", "epochs", "tokens", "rtl_outputs", "rtl_tokens", "seed"):
        yield from (f"--{name.replace('_', '-')}", str(getattr(args, name)))
    if args.period is not None:
        yield from ("--period", str(args.period))
    yield from ([] if args.rtl else ["--no-rtl"])
    yield from ([] if args.area else ["--no-area"])


def _measure(args, config, patterns, tell):
    from resilin.figs.comparison import area, engines_for
    from resilin.figs.nm_layer import PrunedLayers

    tell.step("loading the model")
    layers = PrunedLayers(tell, args.layer, args.epochs, args.seed, args.tokens, config)
    areas, rows = {}, []
    for pattern in patterns:
        for engine in engines_for(pattern, config):
            tell.step(f"{pattern}: {engine.name}")
            layer = layers.get(pattern, engine.shared)
            rows.append(_row(args, pattern, engine, layer, tell))
            if args.area and engine.config not in areas:
                areas[engine.config] = area(engine.config, args.period, tell)
            if args.area:
                rows[-1]["area"] = areas[engine.config]
    base = {row["ratio"]: row["cycles"] for row in rows if row["engine"] == "dense"}
    for row in rows:
        row["speedup"] = base[row["ratio"]] / row["cycles"]
    return {"layer": args.layer, "outputs": layers.outputs, "inputs": layers.inputs, "tokens": args.tokens,
            "epochs": args.epochs, "seed": args.seed, "rtl": args.rtl,
            "rtl_outputs": min(args.rtl_outputs, layers.outputs), "rtl_tokens": min(args.rtl_tokens, args.tokens),
            "config": config.to_dict(), "period_ns": args.period, "rows": rows}


def _row(args, pattern, engine, layer, tell):
    from resilin.figs.engine_run import run_layer

    weights, x = layer.weights, layer.x
    options = {"seed": args.seed, "simulator": args.simulator, "timeout": args.timeout, "progress": tell}
    if args.rtl:
        run_layer(engine.config, weights[:args.rtl_outputs], x[:, :args.rtl_tokens], pattern, rtl=True, **options)
    whole = run_layer(engine.config, weights, x, pattern)
    return {"ratio": str(pattern), "engine": engine.name, "config": engine.config.to_dict(), "shared": engine.shared,
            "macs": engine.config.macs, "cycles": whole.cycles, "passes": whole.passes,
            "held": whole.report.held, "tail": whole.report.tail, "positions": whole.report.positions,
            "utilisation": layer.nonzeros * x.shape[1] / (whole.cycles * engine.config.macs),
            "activation_bits": whole.activation_bits / whole.schedule_cycles,
            "port_bits": engine.config.beat_bits, "program_bits": whole.program_bits / whole.schedule_cycles,
            "loaded_bits": whole.loaded_bits, "quality": layer.quality}
