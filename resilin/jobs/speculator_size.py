"""``resilin run speculator_size``: DUET with Speculators of several sizes, cycles of real layers against area."""

import contextlib
import dataclasses
import json
import pathlib
import sys

from resilin.files import check_folder, write_files
from resilin.options import positive
from resilin.progress import Progress

summary = "sizes of DUET's Speculator: cycles of real convolutions and gates against area"

#: Convolutions of the reader, conv3 to conv8, on a part of a line of text; lines to calibrate on.
FIRST_LAYER, LAYERS, LINES = 1, 3, 4
#: Gates that stay accurate in the second kind of run.
ACCURATE = "i"


def add_arguments(parser):
    parser.add_argument("--steps", type=positive, default=4, help="time steps of the LSTM (default: 4)")
    parser.add_argument("--crop", type=positive, nargs=2, default=(16, 24), metavar=("HEIGHT", "WIDTH"),
                        help="part of the first convolution's input (default: 16 24)")
    parser.add_argument("--ratio", type=float, default=0.5, metavar="SHARE",
                        help="insensitive ratio of the gates on calibration data (default: 0.5)")
    parser.add_argument("--no-area", dest="area", action="store_false", help="no synthesis")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path,
                        default=pathlib.Path("build/speculator_size"),
                        help="folder for speculator_size.json and speculator_size.txt (default: build/speculator_size)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args):
    if not 0 < args.ratio < 1:
        raise ValueError(f"ratio = {args.ratio} is not allowed: it must be between 0 and 1")
    check_folder(args.output)
    tell = Progress()
    with tell.alive(), contextlib.redirect_stdout(sys.stderr):
        results = _measure(args, tell)
    text = _report(results)
    files = write_files(args.output, {"speculator_size.json": json.dumps(results, indent=2) + "\n",
                                      "speculator_size.txt": text})
    print(json.dumps(results) if args.json else text, end="\n" if args.json else "")
    print("written: " + ", ".join(map(str, files)), file=sys.stderr if args.json else sys.stdout)
    return 0


def _measure(args, tell):
    from hw.duet.accelerator_config import DuetAcceleratorConfig
    from resilin.duet.speculator_sizes import MOST_TREES, SIZES, area, sized

    config = DuetAcceleratorConfig.preset("paper", {"code_bits": 8})
    calibration = next(sized(config, shape, gates=True) for shape in SIZES if shape.trees == MOST_TREES)
    workloads = {"convolutions": _convolutions(args, config, calibration, tell),
                 **_gates(args, config, calibration, tell)}
    areas = [area(config, shape, lambda line, shape=shape: tell(f"{shape}: {line}")) for shape in SIZES] \
        if args.area else None
    return {"steps": args.steps, "crop": list(args.crop), "ratio": args.ratio, "cycles": workloads, "area": areas,
            "shapes": [dataclasses.asdict(shape) for shape in SIZES]}


def _convolutions(args, config, calibration, tell):
    from golden.workloads.easyocr import Crnn
    from golden.workloads.lines import rendered_lines
    from resilin.duet.cnn_run import make_stack
    from resilin.duet.speculator_sizes import stack_cycles

    tell.step("calibrating convolutions")
    stack = make_stack(Crnn.load(tell), [image for image, _ in rendered_lines("calibration", LINES)],
                       rendered_lines("evaluation", 1)[0][0], FIRST_LAYER, LAYERS, calibration).part(*args.crop)
    tell.step("programs of convolutions")
    return stack_cycles(stack.layers, stack.image, config)


def _gates(args, config, calibration, tell):
    from golden.workloads.layers import run_cell
    from golden.workloads.silero import RATE, SileroVad
    from golden.workloads.speech import speech
    from resilin.duet.rnn_networks import CALIBRATION_SECONDS, FIRST_STEP
    from resilin.duet.rnn_run import integers_of, make_cell
    from resilin.duet.speculator_sizes import cell_cycles

    tell.step("calibrating an LSTM")
    model = SileroVad.load(tell)
    duet = make_cell(model.cell, model.features(speech("calibration", tell)[:CALIBRATION_SECONDS * RATE]), calibration)
    x = model.features(speech("evaluation", tell))[:FIRST_STEP + args.steps]
    if len(x) < FIRST_STEP + args.steps:
        raise ValueError(f"steps = {args.steps} is not allowed: there are {len(x) - FIRST_STEP} steps")
    _, before = run_cell(model.cell, x[:FIRST_STEP])
    inputs, _ = duet.quantize(x[FIRST_STEP:], before[0])
    state = integers_of(before, duet, config.c_fraction)
    tell.step("programs of the LSTM")
    return {name: cell_cycles(part.at_ratio(args.ratio), inputs, state, config)
            for name, part in (("LSTM", duet), (f"LSTM, {ACCURATE} accurate", duet.without(ACCURATE)))}


def _report(results):
    lines = [f"DUET of preset paper; {LAYERS} convolutions of the reader, {results['crop'][0]} x {results['crop'][1]}; "
             f"Silero's LSTM, {results['steps']} steps, ratio {results['ratio']:g}; cycle model",
             "area: logic of systolic array + adder trees + MFU, nangate45, um2", ""]
    names = list(results["cycles"])
    lines.append(f"{'':10}{'trees':>6}" + "".join(f"{name:>20}{'speed-up':>10}" for name in names)
                 + ("{:>12}".format("area") if results["area"] else ""))
    for index, shape in enumerate([None, *results["shapes"]]):
        name = f"{shape['rows']} x {shape['cols']}" if shape else "BASE"
        line = f"{name:10}{shape['trees'] if shape else '':>6}"
        for cycles in results["cycles"].values():
            line += f"{cycles[name]:>20}{cycles['BASE'] / cycles[name]:>10.2f}"
        if shape and results["area"]:
            line += f"{sum(results['area'][index - 1].values()):>12.0f}"
        lines.append(line)
    return "\n".join(lines) + "\n"
