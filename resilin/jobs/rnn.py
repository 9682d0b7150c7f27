"""``resilin run rnn``: a real LSTM on the DUET accelerator, accurate and with insensitive outputs left approximate."""

import contextlib
import dataclasses
import json
import pathlib
import sys

from resilin.files import check_folder, write_files
from resilin.options import add_config_arguments, check_seed, make_config, positive
from resilin.progress import Progress

summary = "an LSTM of a real model on the DUET accelerator: cycles, weights read, error, by insensitive ratio"

#: Inputs and neurons of the cell that the RTL runs, unless the whole one is asked for.
INPUTS, WIDTH = 24, 16
#: Step of the evaluation speech from which on the programs run: somebody speaks there.
FIRST_STEP = 20
#: Seconds of speech to calibrate on.
CALIBRATION = 16


def _ratio(text):
    value = float(text)
    if not 0 < value < 1:
        raise ValueError
    return value


def add_arguments(parser):
    add_config_arguments(parser, "small")
    parser.add_argument("--whole", action="store_true",
                        help=f"the RTL runs the whole cell, which takes the preset paper; else {INPUTS} of its "
                             f"inputs and {WIDTH} of its neurons")
    parser.add_argument("--no-rtl", dest="rtl", action="store_false", help="golden machine and cycle model only")
    parser.add_argument("--steps", type=positive, default=4, help="time steps of the programs (default: 4)")
    parser.add_argument("--ratio", type=_ratio, action="append", dest="ratios", metavar="SHARE",
                        help="insensitive ratio on calibration data; may be given again (default: 0.3, 0.5, 0.7)")
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
    tell = Progress()
    with tell.alive():
        results = _measure(args, config, tell)
    text = _report(results)
    files = write_files(args.output, {"rnn.json": json.dumps(results, indent=2) + "\n", "rnn.txt": text})
    print(json.dumps(results) if args.json else text, end="\n" if args.json else "")
    print("written: " + ", ".join(map(str, files)), file=sys.stderr if args.json else sys.stdout)
    return 0


def _measure(args, config, tell):
    from golden.duet.gate_study import voice_task
    from golden.workloads.silero import RATE, SileroVad
    from golden.workloads.speech import speech
    from hw.duet.accelerator_config import DuetAcceleratorConfig
    from resilin.duet.rnn_run import cut_cell, make_cell, run_cells

    ratios = sorted(args.ratios or (0.3, 0.5, 0.7))
    model = SileroVad.load(tell)
    sounds = (speech("calibration", tell)[:CALIBRATION * RATE], speech("evaluation", tell)[:args.seconds * RATE])
    calibration, evaluation = (model.features(samples) for samples in sounds)
    x = evaluation[FIRST_STEP:FIRST_STEP + args.steps]
    if len(x) < args.steps:
        raise ValueError(f"steps = {args.steps} is not allowed: {args.seconds} s have {len(evaluation) - FIRST_STEP} "
                         f"steps from {FIRST_STEP} on")
    paper = DuetAcceleratorConfig.preset("paper")

    def cell(whole, config):
        inputs, width = (model.cell.input_weight.shape[1], model.cell.width) if whole else (INPUTS, WIDTH)
        return cut_cell(model.cell, inputs, width), inputs

    def measure(whole, config, **options):
        given, inputs = cell(whole, config)
        tell.step(f"calibrating an LSTM of {inputs} inputs and {given.width} neurons")
        duet = make_cell(given, calibration[:, :inputs], config)
        tell.step("running the programs")
        runs, _ = run_cells(given, duet, x[:, :inputs], ratios, config, **options)
        return duet, {"inputs": inputs, "width": given.width, "rtl": options["rtl"],
                      "config": config.to_dict(), "runs": [dataclasses.asdict(item) for item in runs]}

    with contextlib.redirect_stdout(sys.stderr):
        _, cut = measure(args.whole, config, rtl=args.rtl, **(dict(
            preset=args.preset, seed=args.seed, timeout=args.timeout,
            progress=lambda line: tell(f"simulated {line}")) if args.rtl else {}))
        duet, whole = measure(True, paper, rtl=False)
    tell.step("evaluating the voice detector")
    task = voice_task(model, *sounds)
    return {"steps": args.steps, "programs": [cut, whole], "seed": args.seed,
            "detector": {"seconds": args.seconds, "rows": list(_detector(task, duet, ratios))}}


def _detector(task, duet, ratios):
    """What the detector decides at each ratio, with the whole cell in integers; 0: nearly everything is accurate."""
    import numpy as np

    from golden.duet.gates import gate_function
    from golden.workloads.layers import dense_gate

    exact, reference = task.evaluate(dense_gate)
    for ratio in (0, *ratios):
        maps = []
        found, answer = task.evaluate(gate_function({"lstm": duet.at_ratio(ratio)},
                                                    lambda cell, gate, mask: maps.append(mask.mean())))
        yield {"wanted": ratio, "ratio": 1 - float(np.mean(maps)), "decisions": len(answer),
               "error": float(np.linalg.norm(found - exact) / np.linalg.norm(exact)),
               **task.compare(answer, reference)}


def _report(results):
    lines = []
    for part in results["programs"]:
        base = part["runs"][0]
        how = ("RTL, every word of the DRAM equals the golden machine's" if part["rtl"]
               else "golden machine and cycle model, no RTL")
        config = part["config"]
        lines += [f"LSTM, {part['inputs']} inputs, {part['width']} neurons, {results['steps']} steps; "
                  f"{config['rows']} x {config['cols']} elements, INT{config['code_bits']} approximations; {how}",
                  f"{'':10}{'wanted':>8}{'ratio':>8}{'cycles':>9}{'speed-up':>10}{'weight bytes':>14}{'of BASE':>9}"
                  f"{'little':>8}{'MACs':>10}{'error of h':>12}"]
        for row in part["runs"]:
            speed_up = base["cycles"] / row["cycles"]
            lines.append(f"{row['name']:10}{row['wanted']:8.2f}{row['ratio']:8.2f}{row['cycles']:>9}{speed_up:>10.2f}"
                         f"{row['weight_bytes']:>14}{row['weight_bytes'] / base['weight_bytes']:>9.3f}"
                         f"{row['little_bytes']:>8}{row['macs']:>10}{row['error']:>12.4f}")
        lines.append("")
    detector = results["detector"]
    lines += [f"Voice detector, whole cell in integers, {detector['seconds']} s of another reader, against float",
              f"{'wanted':>8}{'ratio':>8}{'error of output':>17}{'decisions':>11}{'equal':>8}"]
    lines += [f"{row['wanted']:8.2f}{row['ratio']:8.2f}{row['error']:>17.4f}{row['decisions']:>11}"
              f"{row['decisions_equal']:>8.3f}" for row in detector["rows"]]
    return "\n".join(lines) + "\n"
