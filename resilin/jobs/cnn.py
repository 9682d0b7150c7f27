"""``resilin run cnn``: convolutions of a real text reader on the DUET accelerator, in every mode."""

import contextlib
import dataclasses
import json
import pathlib
import sys

from resilin.files import check_folder, write_files
from resilin.options import add_config_arguments, check_seed, make_config, positive
from resilin.progress import Progress

summary = "convolutions of a real text reader on the DUET accelerator: cycles, MACs, error, in every mode"

#: Averages of the thesis: speed-up over BASE, and MAC utilisation where it is told.
THESIS = {"OS": {"speed_up": 1.20, "utilisation": 0.47}, "BOS": {"speed_up": 1.93, "utilisation": 0.76},
          "IOS": {"speed_up": 2.36}, "DUET": {"speed_up": 3.05}}
BUDGETS = (0.02, 0.05, 0.1, 0.2)


def add_arguments(parser):
    add_config_arguments(parser, "small")
    parser.add_argument("--first", type=int, default=0, help="first layer, from 0 (default: 0)")
    parser.add_argument("--layers", type=positive, default=3,
                        help="consecutive layers, at least 2; the first is never switched (default: 3)")
    parser.add_argument("--channels", type=int, default=8,
                        help="of each layer only so many channels, which fit in the preset small; 0: all (default: 8)")
    parser.add_argument("--crop", type=positive, nargs=2, default=(8, 8), metavar=("HEIGHT", "WIDTH"),
                        help="part of the first layer's input, from the middle (default: 8 8)")
    parser.add_argument("--budget", type=float, default=0.05,
                        help="what skipping may change in a layer's output, on calibration data (default: 0.05)")
    parser.add_argument("--lines", type=positive, default=4, help="rendered lines to calibrate on (default: 4)")
    parser.add_argument("--evaluation-lines", type=int, default=4,
                        help="rendered lines of other texts that the whole network reads (default: 4; 0: none)")
    parser.add_argument("--no-rtl", dest="rtl", action="store_false", help="golden machine and cycle model only")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulation (default: 1)")
    parser.add_argument("--timeout", type=positive, default=3600, metavar="SECONDS",
                        help="end a simulation that takes longer (default: 3600)")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, default=pathlib.Path("build/cnn"),
                        help="folder for cnn.json and cnn.txt (default: build/cnn)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args):
    from resilin.registry import find

    check_seed(args.seed)
    check_folder(args.output)
    for name, least in (("channels", 0), ("evaluation_lines", 0), ("budget", 0)):
        if getattr(args, name) < least:
            raise ValueError(f"{name} = {getattr(args, name)} is not allowed: it must be at least {least}")
    config = make_config(find("duet_accelerator"), args)
    tell = Progress()
    with tell.alive():
        results = _measure(args, config, tell)
    text = _report(results)
    files = write_files(args.output, {"cnn.json": json.dumps(results, indent=2) + "\n", "cnn.txt": text})
    print(json.dumps(results) if args.json else text, end="\n" if args.json else "")
    print("written: " + ", ".join(map(str, files)), file=sys.stderr if args.json else sys.stdout)
    return 0


def _measure(args, config, tell):
    from golden.duet.convolution_study import network_study
    from golden.duet.networks import CLIPPING
    from golden.workloads.easyocr import Crnn
    from golden.workloads.lines import rendered_lines
    from resilin.duet.cnn_run import make_stack, run_stack

    with contextlib.redirect_stdout(sys.stderr):
        model = Crnn.load(tell)
        images = [image for image, _ in rendered_lines("calibration", args.lines)]
        lines = rendered_lines("evaluation", max(1, args.evaluation_lines))
        tell.step("calibrating the layers")
        stack = make_stack(model, images, lines[0][0], args.first, args.layers, tuple(args.crop), config,
                           channels=args.channels or None, budget=args.budget)
        tell.step("running the programs")
        runs = run_stack(stack, config, rtl=args.rtl, **(dict(
            preset=args.preset, seed=args.seed, timeout=args.timeout,
            progress=lambda line: tell(f"simulated {line}")) if args.rtl else {}))
        results = {"config": config.to_dict(), "rtl": args.rtl, "seed": args.seed, "budget": args.budget,
                   "crop": list(args.crop), "layers": _layers(stack), "modes": _modes(runs, config),
                   "thesis": THESIS, "reader": None}
        if args.evaluation_lines:
            tell.step("reading lines with the whole network in integers")
            study = network_study(model, images, {"rendered": lines}, BUDGETS, ((CLIPPING, 12),), tell)
            results["reader"] = {"lines": len(lines), **study}
    return results


def _layers(stack):
    """What is the same in every mode but BASE, layer by layer; ``..._base``: what BASE gives."""
    rows = zip(stack.layers, stack.results(True), stack.results(False), stack.errors(True), stack.errors(False))
    return [{"name": duet.name, "switched": number > 0, "outputs": len(duet.execution.layer.weights),
             "window": duet.execution.layer.weights.shape[1], "result": list(results.shape),
             "computed": float(mask.mean()), "not_zero": float((results != 0).mean()),
             "not_zero_base": float((plain != 0).mean()), "error": error, "error_base": plain_error}
            for number, (duet, (results, mask), (plain, _), error, plain_error) in enumerate(rows)]


def _modes(runs, config):
    """Figures of each mode: of the whole program, and of its layers."""
    from golden.duet.command import Engine
    from resilin.duet.cnn_run import layer_runs

    elements, modes, base = config.rows * config.cols, {}, layer_runs(runs["BASE"])
    for name, run in runs.items():
        layers = []
        for layer, plain in zip(layer_runs(run), base):
            layers.append({**dataclasses.asdict(layer), "speed_up": plain.cycles / layer.cycles,
                           "work_speed_up": plain.work_cycles / layer.work_cycles,
                           "utilisation": layer.macs / elements / layer.work_cycles})
        modes[name] = {"macs": run.macs, "cycles": run.cycles, "layers": layers}
        if run.counters is not None:
            modes[name] |= {"busy": {engine.name: run.counters[f"busy.{engine.value}"] for engine in Engine},
                            "counters": run.counters}
    return modes


def _report(results):
    config, rtl = results["config"], results["rtl"]
    how = "RTL, every word of the DRAM equals the golden machine's" if rtl else "golden machine and cycle model, no RTL"
    lines = [f"{len(results['layers'])} convolutions of the reader on {config['rows']} x {config['cols']} elements, "
             f"crop of {results['crop'][0]} x {results['crop'][1]}, budget {results['budget']:g}; {how}", "",
             f"{'layer':8}{'outputs':>8}{'window':>8}{'computed':>10}{'not zero':>10}{'in BASE':>9}{'error':>9}"
             f"{'in BASE':>9}"]
    lines += [f"{row['name']:8}{row['outputs']:>8}{row['window']:>8}{row['computed']:>10.3f}{row['not_zero']:>10.3f}"
              f"{row['not_zero_base']:>9.3f}{row['error']:>9.4f}{row['error_base']:>9.4f}" for row in results["layers"]]
    lines += ["", f"{'layer':8}{'mode':6}{'MACs':>10}{'cycles':>9}{'weights':>9}{'speed-up':>10}{'without':>9}"
              f"{'utilisation':>13}"]
    for number, layer in enumerate(results["layers"]):
        for name, mode in results["modes"].items():
            row = mode["layers"][number]
            lines.append(f"{layer['name'] if name == 'BASE' else '':8}{name:6}{row['macs']:>10}{row['cycles']:>9}"
                         f"{row['waits']:>9}{row['speed_up']:>10.2f}{row['work_speed_up']:>9.2f}"
                         f"{100 * row['utilisation']:>12.1f}%")
    lines += ["weights: cycles in which the Executor waits for weights from the DRAM; without: speed-up without",
              "", f"{'program':8}{'cycles':>9}{'speed-up':>10}{'thesis':>8}{'Executor busy':>15}"
              f"{'Speculator busy':>17}"]
    for name, mode in results["modes"].items():
        thesis = results["thesis"].get(name, {}).get("speed_up", 1)
        lines.append(f"{name:8}{mode['cycles']:>9}{results['modes']['BASE']['cycles'] / mode['cycles']:>10.2f}"
                     f"{thesis:>8.2f}"
                     + (f"{mode['busy']['EXEC']:>15}{mode['busy']['SPEC']:>17}" if rtl else f"{'-':>15}{'-':>17}"))
    lines.append("thesis: averages of whole networks on 16 x 16 elements; its MAC utilisation: "
                 + ", ".join(f"{name} {100 * row['utilisation']:.0f}%" for name, row in results["thesis"].items()
                             if "utilisation" in row))
    reader = results["reader"]
    if reader:
        lines += ["", f"The reader, all convolutions in integers, {reader['lines']} rendered lines of other texts; "
                  f"characters read by the exact network: {reader['reference']['rendered']:.3f}",
                  f"{'budget':>8}{'MACs skipped':>14}{'error':>9}{'characters read':>17}"]
        lines += [f"{row['budget']:8.2f}{row['macs_skipped']:>14.3f}{row['error']:>9.4f}{row['accuracy']:>17.3f}"
                  for row in reader["rows"]]
    return "\n".join(lines) + "\n"
