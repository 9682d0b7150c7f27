"""``resilin run cnn``: convolutions of a real text reader or detector on the DUET accelerator, in every mode."""

import contextlib
import dataclasses
import json
import pathlib
import sys

from resilin.files import check_folder, write_files
from resilin.options import add_config_arguments, check_seed, make_config, positive
from resilin.progress import Progress

summary = "convolutions of a real text reader on the DUET accelerator: cycles, MACs, error, in every mode"

#: Averages of the thesis (5.3.3, Figure 5.9): speed-up over BASE and MAC utilisation, and latencies as shares of that
#: of BASE, 1.06 ms: Executor 0.29 ms, Speculator 0.20 ms.
THESIS = {"OS": {"speed_up": 1.20, "utilisation": 0.47}, "BOS": {"speed_up": 1.93, "utilisation": 0.76},
          "IOS": {"speed_up": 2.36, "utilisation": 0.30}, "DUET": {"speed_up": 3.05, "utilisation": 0.39}}
THESIS_LATENCY = {"executor": 0.29 / 1.06, "speculator": 0.20 / 1.06}
#: Parts of a layer's cycles, see ``LayerCycles``, with their headings.
CAUSES = {"issue": "issue", "unequal": "unequal", "chunks": "chunks", "drain": "drain", "load": "load",
          "speculator": "SPEC", "dram": "DRAM", "commands": "commands"}
BUDGETS = (0.02, 0.05, 0.1, 0.2)


def add_arguments(parser):
    add_config_arguments(parser, "small")
    parser.add_argument("--network", choices=("reader", "detector"), default="reader",
                        help="EasyOCR's reader on a drawn line, or its detector (VGG16-BN) on a scanned page (default: "
                        "reader)")
    parser.add_argument("--first", type=int, default=0, help="first layer, from 0 (default: 0)")
    parser.add_argument("--layers", type=positive, default=3,
                        help="consecutive layers, at least 2; the first is never switched (default: 3)")
    parser.add_argument("--channels", type=int, default=8,
                        help="of each layer only so many channels, which fit in the preset small; 0: all (default: 8)")
    parser.add_argument("--crop", type=int, nargs=2, default=(8, 8), metavar=("HEIGHT", "WIDTH"),
                        help="part of the first layer's input, from the middle; 0 0: all of it (default: 8 8)")
    parser.add_argument("--sort-channels", action="store_true",
                        help="channels between the layers in an order in which the elements' work is more alike")
    parser.add_argument("--budget", type=float, default=0.05,
                        help="what skipping may change in a layer's output, on calibration data (default: 0.05)")
    parser.add_argument("--lines", type=positive, default=4, help="rendered lines to calibrate on (default: 4)")
    parser.add_argument("--evaluation-lines", type=int,
                        help="rendered lines of other texts, and at most 6 of a scanned page, that the whole reader "
                        "reads (default: 4; 0: none, as with the detector)")
    parser.add_argument("--no-rtl", dest="rtl", action="store_false", help="golden machine and cycle model only")
    parser.add_argument("--model-only", action="store_true",
                        help="the cycle model only: maps from plain numpy, the golden machine does not compute them")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulation (default: 1)")
    parser.add_argument("--timeout", type=positive, default=3600, metavar="SECONDS",
                        help="end a simulation that takes longer (default: 3600)")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, default=pathlib.Path("build/cnn"),
                        help="folder for cnn.json and cnn.txt (default: build/cnn)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args):
    from resilin.registry import find

    _check(args)
    config = make_config(find("duet_accelerator"), args)
    tell = Progress()
    with tell.alive():
        results = _measure(args, config, tell)
    text = _report(results)
    files = write_files(args.output, {"cnn.json": json.dumps(results, indent=2) + "\n", "cnn.txt": text})
    print(json.dumps(results) if args.json else text, end="\n" if args.json else "")
    print("written: " + ", ".join(map(str, files)), file=sys.stderr if args.json else sys.stdout)
    return 0


def _check(args):
    """Refuse what can be refused before a model is loaded; what is left out gets its default."""
    check_seed(args.seed)
    check_folder(args.output)
    if args.evaluation_lines is None:
        args.evaluation_lines = 4 if args.network == "reader" else 0
    for name in ("first", "channels", "evaluation_lines", "budget"):
        if getattr(args, name) < 0:
            raise ValueError(f"{name} = {getattr(args, name)} is not allowed: it must be at least 0")
    if args.layers < 2:
        raise ValueError(f"layers = {args.layers} is not allowed: it must be at least 2")
    if min(args.crop) < 0 or (min(args.crop) == 0) != (max(args.crop) == 0):
        raise ValueError("crop = {} {} is not allowed: both must be at least 1, or 0 for all of the input".format(
            *args.crop))
    if args.network == "detector" and args.evaluation_lines:
        raise ValueError(f"evaluation_lines = {args.evaluation_lines} is not allowed with the detector, whose decoder "
                         "is not here: it must be 0")


def _measure(args, config, tell):
    from golden.duet.convolution_study import network_study
    from golden.duet.networks import CLIPPING
    from golden.workloads.craft import Craft
    from golden.workloads.easyocr import Crnn
    from golden.workloads.lines import page, page_lines, rendered_lines
    from resilin.duet.cnn_run import make_stack, model_stack, run_stack

    with contextlib.redirect_stdout(sys.stderr):
        reader = args.network == "reader"
        model = (Crnn if reader else Craft).load(tell)
        images = [image for image, _ in rendered_lines("calibration", args.lines)]
        lines = rendered_lines("evaluation", max(1, args.evaluation_lines))
        tell.step("calibrating the layers")
        whole = make_stack(model, images, lines[0][0] if reader else page(tell), args.first, args.layers, config,
                           channels=args.channels or None, budget=args.budget, sort=args.sort_channels)
        stack = whole.part(*args.crop) if any(args.crop) else whole
        tell.step("running the programs")
        if args.model_only:
            runs = model_stack(stack, config)
        else:
            runs = run_stack(stack, config, rtl=args.rtl, **(dict(
                preset=args.preset, seed=args.seed, timeout=args.timeout,
                progress=lambda line: tell(f"simulated {line}")) if args.rtl else {}))
        how = "model" if args.model_only else "rtl" if args.rtl else "golden"
        results = {"config": config.to_dict(), "network": args.network, "how": how, "seed": args.seed,
                   "budget": args.budget, "sorted": args.sort_channels, "crop": list(stack.crop.shape[1:]),
                   "whole": list(whole.crop.shape[1:]), "layers": _layers(
                       stack, runs["DUET"].program, runs["BASE"].program),
                   "modes": _modes(runs), "thesis": THESIS, "thesis_latency": THESIS_LATENCY, "reader": None}
        results["averages"] = _averages(results)
        if args.evaluation_lines:
            tell.step("reading lines with the whole network in integers")
            sets = {"rendered": lines, "page": page_lines(tell)[:args.evaluation_lines]}
            study = network_study(model, images, sets, BUDGETS, ((CLIPPING, 12),), tell)
            results["reader"] = {"lines": {name: len(lines) for name, lines in sets.items()}, **study}
    return results


def _layers(stack, *programs):
    """What is the same in every mode but BASE, layer by layer; ``..._base``: what BASE gives. ``programs``: of DUET and
    of BASE."""
    rows = zip(stack.layers, stack.results(True), stack.results(False), stack.errors(True), stack.errors(False),
               *(zip(each.strips, each.parts) for each in programs))
    return [{"name": duet.name, "switched": number > 0 and duet.speculation is not None,
             "outputs": len(duet.execution.layer.weights), "window": duet.execution.layer.weights.shape[1],
             "result": list(results.shape),
             **_divided(*division), **{f"{name}_base": count for name, count in _divided(*plain_division).items()},
             "computed": float(mask.mean()), "not_zero": float((results != 0).mean()),
             "not_zero_base": float((plain != 0).mean()), "error": error, "error_base": plain_error}
            for number, (duet, (results, mask), (plain, _), error, plain_error, division,
                         plain_division) in enumerate(rows)]


def _divided(strips, parts):
    return {"strips": list(strips), "parts": [n for _, n in parts]}


def _modes(runs):
    """Figures of each mode: of the whole program, and of its layers."""
    from golden.duet.command import Engine
    from resilin.duet.layer_cycles import layer_cycles

    sizes = runs["BASE"].program.sizes
    elements, modes, base = sizes.executor.rows * sizes.cols, {}, layer_cycles(runs["BASE"])
    for name, run in runs.items():
        layers = []
        for layer, plain in zip(layer_cycles(run), base):
            layers.append({**dataclasses.asdict(layer), "cycles": layer.cycles, "work_cycles": layer.work_cycles,
                           "bound": plain.macs / layer.macs if layer.macs else None,
                           "speed_up": plain.cycles / layer.cycles,
                           "work_speed_up": plain.work_cycles / layer.work_cycles,
                           "utilisation": layer.macs / elements / layer.work_cycles})
        modes[name] = {"macs": run.macs, "cycles": run.cycles, "layers": layers}
        if run.counters is not None:
            modes[name] |= {"busy": {engine.name: run.counters[f"busy.{engine.value}"] for engine in Engine},
                            "counters": run.counters}
    return modes


def _averages(results):
    """For each mode the means over the switched layers, and latencies of all of them as shares of BASE's Executor.

    A layer of which no MAC is left has no bound: then there is no mean of bounds either.
    """
    chosen = [number for number, layer in enumerate(results["layers"]) if layer["switched"]]
    base = sum(results["modes"]["BASE"]["layers"][number]["work_cycles"] for number in chosen)
    averages = {}
    for name, mode in results["modes"].items():
        rows = [mode["layers"][number] for number in chosen]
        averages[name] = {key: None if None in (values := [row[key] for row in rows]) else sum(values) / len(rows)
                          for key in ("speed_up", "work_speed_up", "utilisation", "bound")}
        averages[name] |= {"executor": sum(row["work_cycles"] for row in rows) / base,
                           "speculator": sum(row["speculation"] for row in rows) / base}
    return averages


def _report(results):
    config, how = results["config"], {
        "rtl": "RTL: every word of the DRAM equals the golden machine's, every command's cycle the model's",
        "golden": "golden machine and cycle model, no RTL", "model": "cycle model alone"}[results["how"]]
    crop, whole = (f"{height} x {width}" for height, width in (results["crop"], results["whole"]))
    lines = [f"{len(results['layers'])} convolutions of the {results['network']} on {config['rows']} x "
             f"{config['cols']} elements, " + (f"all of {whole}" if crop == whole else f"crop of {crop} of {whole}")
             + f", budget {results['budget']:g}{', channels sorted' if results['sorted'] else ''}; {how}", "",
             f"{'layer':8}{'outputs':>8}{'window':>8}{'strips':>9}{'in BASE':>9}{'parts':>7}{'in BASE':>9}"
             f"{'computed':>10}{'not zero':>10}{'in BASE':>9}{'error':>9}{'in BASE':>9}"]
    lines += [f"{row['name']:8}{row['outputs']:>8}{row['window']:>8}{_times(row['strips']):>9}"
              f"{_times(row['strips_base']):>9}{len(row['parts']):>7}{len(row['parts_base']):>9}"
              f"{row['computed']:>10.3f}"
              f"{row['not_zero']:>10.3f}{row['not_zero_base']:>9.3f}{row['error']:>9.4f}{row['error_base']:>9.4f}"
              for row in results["layers"]]
    lines.append("never switched: " + ", ".join(row["name"] for row in results["layers"] if not row["switched"]))
    lines += ["", f"{'layer':8}{'mode':6}{'MACs':>11}{'cycles':>9}{'work':>9}{'speed-up':>10}{'of work':>9}{'bound':>8}"
              f"{'utilisation':>13}{'Speculator':>12}"]
    lines += [f"{title}{row['macs']:>11}{row['cycles']:>9}{row['work_cycles']:>9}{row['speed_up']:>10.2f}"
              f"{row['work_speed_up']:>9.2f}{_bound(row):>8}{100 * row['utilisation']:>12.1f}%"
              f"{row['speculation']:>12}" for title, row in _rows(results)]
    lines += ["work: without cycles in which the Executor waits for weights or input from the DRAM; bound: MACs of "
              "BASE / MACs; Speculator: cycles in which it works on the layer's tiles",
              "", "where the cycles go, in percent", f"{'layer':8}{'mode':6}"
              + "".join(f"{title:>10}" for title in CAUSES.values())]
    lines += [title + "".join(f"{100 * row[cause] / row['cycles']:>10.1f}" for cause in CAUSES)
              for title, row in _rows(results)]
    lines += ["issue: MACs / elements; unequal: besides, the element with most work in each step; chunks: others wait "
              "for the elements of their chunk; nobody issues:", "drain: sums are added up; load: chunks and "
              "configuration are loaded; SPEC, DRAM, commands: EXEC waits for the Speculator, weights or input, a "
              "command",
              "", f"{'program':8}{'cycles':>9}{'speed-up':>10}   switched layers, averages: {'speed-up':>8}"
              f"{'of work':>9}{'thesis':>8}{'bound':>8}{'utilisation':>13}{'thesis':>8}{'Executor':>10}"
              f"{'Speculator':>12}"]
    for name, mode in results["modes"].items():
        thesis, mean = results["thesis"].get(name, {"speed_up": 1}), results["averages"][name]
        lines.append(
            f"{name:8}{mode['cycles']:>9}{results['modes']['BASE']['cycles'] / mode['cycles']:>10.2f}{'':29}"
            f"{mean['speed_up']:>10.2f}{mean['work_speed_up']:>9.2f}{thesis['speed_up']:>8.2f}{_bound(mean):>8}"
            f"{100 * mean['utilisation']:>12.1f}%{_percent(thesis.get('utilisation')):>8}"
            f"{mean['executor']:>10.2f}{mean['speculator']:>12.2f}")
    latency = results["thesis_latency"]
    lines.append("Executor, Speculator: cycles of work of all switched layers as shares of BASE's Executor; thesis, "
                 f"DUET: {latency['executor']:.2f}, {latency['speculator']:.2f}")
    if results["how"] == "rtl":
        lines += ["", f"{'RTL':8}{'MACs':>11}{'Executor issues':>17}{'drains':>8}{'loads':>8}{'EXEC busy':>11}"
                  f"{'SPEC busy':>11}{'DMA busy':>10}{'bus items':>11}"]
        for name, mode in results["modes"].items():
            counters, busy = mode["counters"], mode["busy"]
            lines.append(f"{name:8}{counters['executor.macs']:>11}{counters['executor.busy']:>17}"
                         f"{counters['executor.drain']:>8}{counters['executor.load']:>8}{busy['EXEC']:>11}"
                         f"{busy['SPEC']:>11}{busy['DMA']:>10}{counters['bus']:>11}")
    reader = results["reader"]
    if reader:
        lines += ["", "The reader, all convolutions in integers, on lines of other texts; characters read by the exact "
                  "network: " + ", ".join(f"{name} {share:.3f}" for name, share in reader["reference"].items()),
                  f"{'lines':14}{'budget':>8}{'MACs skipped':>14}{'error':>9}{'as exact network':>18}"
                  f"{'lines as it':>13}{'characters read':>17}"]
        for row in reader["rows"]:
            name, count = row["images"], reader["lines"][row["images"]]
            lines.append(f"{f'{count} {name}':14}{row['budget']:>8.2f}{row['macs_skipped']:>14.3f}{row['error']:>9.4f}"
                         f"{row['agreement']:>18.3f}{row['same']:>13}{row['accuracy']:>17.3f}")
    return "\n".join(lines) + "\n"


def _rows(results):
    """(title, figures) of each layer and mode."""
    for number, layer in enumerate(results["layers"]):
        for name, mode in results["modes"].items():
            yield f"{layer['name'] if name == 'BASE' else '':8}{name:6}", mode["layers"][number]


def _times(strips):
    return "{} x {}".format(*strips)


def _bound(figures):
    return "-" if figures["bound"] is None else f"{figures['bound']:.2f}"


def _percent(share):
    return "-" if share is None else f"{100 * share:.0f}%"
