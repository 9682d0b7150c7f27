"""``resilin run rnn``: recurrent cells of real models on the DUET accelerator, accurate and with insensitive outputs
left approximate."""

import contextlib
import dataclasses
import json
import pathlib
import sys

from resilin.files import check_folder, write_files
from resilin.options import add_config_arguments, check_seed, make_config, positive
from resilin.progress import Progress

summary = "recurrent cells of real models on the DUET accelerator: cycles, weights read, error, by insensitive ratio"

#: Inputs and neurons of the cell that the RTL runs, unless the whole one is asked for.
INPUTS, WIDTH = 24, 16
_NETWORKS = ("silero", "easyocr", "g2p")


def _ratio(text):
    value = float(text)
    if not 0 < value < 1:
        raise ValueError
    return value


def add_arguments(parser):
    add_config_arguments(parser, "small")
    parser.add_argument("--whole", action="store_true",
                        help=f"the RTL runs Silero's whole cell, which takes the preset paper; else {INPUTS} of its "
                             f"inputs and {WIDTH} of its neurons")
    parser.add_argument("--no-rtl", dest="rtl", action="store_false", help="golden machine and cycle model only")
    parser.add_argument("--network", choices=_NETWORKS, action="append", dest="networks",
                        help="network to evaluate at the size of the paper; may be given again (default: all)")
    parser.add_argument("--convolutions", action="store_true",
                        help="easyocr's text with approximate convolutions as well")
    parser.add_argument("--steps", type=positive, default=4, help="time steps of the programs (default: 4)")
    parser.add_argument("--ratio", type=_ratio, action="append", dest="ratios", metavar="SHARE",
                        help="insensitive ratio on calibration data; may be given again (default: 0.3, 0.5, 0.7)")
    parser.add_argument("--code-bits", type=int, choices=range(2, 9), default=8, metavar="N",
                        help="width of an approximate gate, whatever the configuration says (default: 8)")
    parser.add_argument("--seconds", type=positive, default=10,
                        help="seconds of speech that the detector is evaluated on (default: 10)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulation (default: 1)")
    parser.add_argument("--timeout", type=positive, default=3600, metavar="SECONDS",
                        help="end a simulation that takes longer (default: 3600)")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, default=pathlib.Path("build/rnn"),
                        help="folder for rnn.json and rnn.txt (default: build/rnn)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args):
    from resilin.registry import find

    check_seed(args.seed)
    check_folder(args.output)
    config = make_config(find("duet_accelerator"), args)
    config = dataclasses.replace(config, code_bits=args.code_bits)
    if args.convolutions and args.networks and "easyocr" not in args.networks:
        raise ValueError("--convolutions is not allowed without --network easyocr")
    tell = Progress()
    with tell.alive(), contextlib.redirect_stdout(sys.stderr):
        results = _measure(args, config, tell)
    text = _report(results)
    files = write_files(args.output, {"rnn.json": json.dumps(results, indent=2) + "\n", "rnn.txt": text})
    print(json.dumps(results) if args.json else text, end="\n" if args.json else "")
    print("written: " + ", ".join(map(str, files)), file=sys.stderr if args.json else sys.stdout)
    return 0


def _measure(args, config, tell):
    from hw.duet.accelerator_config import DuetAcceleratorConfig

    ratios = sorted(args.ratios or (0.3, 0.5, 0.7))
    paper = dataclasses.replace(DuetAcceleratorConfig.preset("paper"), code_bits=args.code_bits)
    results = {"steps": args.steps, "seed": args.seed, "seconds": args.seconds, "rtl": None, "networks": []}
    if args.rtl:
        results["rtl"] = _simulated(args, config, ratios, tell)
    for name in dict.fromkeys(args.networks or _NETWORKS):
        results["networks"].append(_evaluated(name, args, paper, ratios, tell))
    return results


def _part(data, first, steps):
    """Evaluation data up to ``steps`` after ``first``, refused where there are too few."""
    if len(data) < first + steps:
        raise ValueError(f"steps = {steps} is not allowed: there are {max(0, len(data) - first)} steps from {first} on")
    return data[:first + steps]


def _simulated(args, config, ratios, tell):
    """Silero's cell, or a part of it, on the RTL."""
    from resilin.duet.rnn_networks import CALIBRATION_SECONDS, FIRST_STEP, choices
    from resilin.duet.rnn_run import cut_cell, make_cell, run_cells

    from golden.workloads.silero import RATE, SileroVad
    from golden.workloads.speech import speech

    model = SileroVad.load(tell)
    calibration = model.features(speech("calibration", tell)[:CALIBRATION_SECONDS * RATE])
    evaluation = model.features(speech("evaluation", tell)[:args.seconds * RATE])
    whole = model.cell.input_weight.shape[1], model.cell.width
    inputs, width = whole if args.whole else (INPUTS, WIDTH)
    x = _part(evaluation, FIRST_STEP, args.steps)
    tell.step(f"calibrating an LSTM of {inputs} inputs and {width} neurons")
    given = cut_cell(model.cell, inputs, width)
    duet = make_cell(given, calibration[:, :inputs], config)
    tell.step("running the programs on the RTL")
    runs, _ = run_cells(given, choices(duet, ratios, "i"), x[:, :inputs], config, first=FIRST_STEP, preset=args.preset,
                        seed=args.seed, timeout=args.timeout, progress=lambda line: tell(f"simulated {line}"))
    return {"inputs": inputs, "width": width, "config": config.to_dict(),
            "runs": [dataclasses.asdict(item) for item in runs]}


def _evaluated(name, args, config, ratios, tell):
    """A network's cells on the golden machine and the cycle model, and its answers."""
    from resilin.duet.rnn_networks import answers, choices, load_network, reader_with_convolutions
    from resilin.duet.rnn_run import run_cells, summed

    network = load_network(name, config, tell, args.seconds)
    runs, cells = [], []
    for cell, trained in network.cells.items():
        tell.step(f"{network.title}: programs of {cell}")
        duet = network.duets[cell]
        found, _ = run_cells(trained, choices(duet, ratios, network.accurate),
                             _part(network.inputs[cell], network.first, args.steps), config, first=network.first,
                             rtl=False)
        runs.append(found)
        cells.append({"name": cell, "kind": trained.kind, "inputs": trained.input_weight.shape[1],
                      "width": trained.width, "little_modules": sorted(duet.speculations)})
    tell.step(f"{network.title}: answers")
    result = {"network": name, "title": network.title, "cells": cells, "config": config.to_dict(),
              "runs": [dataclasses.asdict(summed(same)) for same in zip(*runs)],
              "answers": answers(network, ratios), "answer_count": len(network.answer)}
    if name == "easyocr" and args.convolutions:
        tell.step(f"{network.title}: convolutions")
        result["with_convolutions"] = reader_with_convolutions(network, ratios, tell)
    return result


def _runs(runs):
    """Lines of a table of runs."""
    base = runs[0]
    waits = list(base["waits"])
    lines = [f"{'':22}{'ratio':>7}{'cycles':>9}{'speed-up':>10}{'DRAM':>9}" + "".join(f"{kind:>7}" for kind in waits)
             + f"{'MACs':>8}{'weight bytes':>14}{'of BASE':>9}{'little':>8}{'error of h':>12}"]
    for row in runs:
        lines.append(f"{row['name']:22}{row['ratio']:7.2f}{row['cycles']:>9}{base['cycles'] / row['cycles']:>10.2f}"
                     f"{row['dram_cycles']:>9}" + "".join(f"{row['waits'][kind]:>7}" for kind in waits)
                     + f"{row['mac_cycles']:>8}{row['weight_bytes']:>14}"
                     f"{row['weight_bytes'] / base['weight_bytes']:>9.3f}{row['little_bytes']:>8}{row['error']:>12.4f}")
    return lines


def _answers(rows):
    """Lines of a table of answers."""
    names = [name for name in rows[0] if name.endswith(("_equal", "_read", "_skipped"))]
    headings = ["ratio", "weights read", "error", *(name.replace("_", " ") for name in names)]
    lines = [f"{'':22}" + "".join(f"{heading:>{len(heading) + 2}}" for heading in headings)]
    for row in rows:
        cells = [f"{row['ratio']:.2f}", f"{row['read']:.3f}", f"{row['error']:.4f}", *(f"{row[name]:.3f}"
                                                                                     for name in names)]
        lines.append(f"{row['name']:22}" + "".join(f"{cell:>{len(heading) + 2}}"
                                                   for cell, heading in zip(cells, headings)))
    return lines


def _report(results):
    lines = ["cycles: of the whole program = DRAM (beats on its port) + start + tail (last gate, CellUnit) + first "
             "(its map) + rest", "MACs: multiplications by elements; little: bytes of little modules, once", ""]
    part, steps = results["rtl"], results["steps"]
    if part:
        config = part["config"]
        lines += [f"RTL: LSTM of {part['inputs']} inputs, {part['width']} neurons, {steps} steps; {config['rows']} x "
                  f"{config['cols']} elements, INT{config['code_bits']} approximations; every word of the DRAM equals "
                  "the golden machine's", *_runs(part["runs"]), ""]
    for network in results["networks"]:
        config = network["config"]
        cells = ", ".join(f"{cell['name']} ({cell['kind'].upper()}, {cell['inputs']} inputs, {cell['width']} neurons, "
                          f"approximate {''.join(cell['little_modules'])})" for cell in network["cells"])
        lines += [f"{network['title']}: {cells}",
                  f"{steps} steps of each cell; {config['rows']} x {config['cols']} elements, INT{config['code_bits']} "
                  "approximations; golden machine and cycle model", *_runs(network["runs"]), "",
                  f"answers of the whole network ({network['answer_count']}), gates in integers", ""]
        lines[-1:] = _answers(network["answers"])
        lines.append("")
        if "with_convolutions" in network:
            lines += ["the same with approximate convolutions", *_answers(network["with_convolutions"]), ""]
    return "\n".join(lines[:-1]) + "\n"
