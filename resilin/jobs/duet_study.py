"""``resilin run duet_study``: how well DUET's little modules imitate real networks, and what that does to the answers.

Golden models only, no RTL. Calibration data are apart from what is evaluated on.
"""

import json
import pathlib
import sys

from resilin.options import positive
from resilin.tables import table

summary = "quality of dual-module inference on trained networks: layers, thresholds, text read, recurrent gates"

PARTS = ("layers", "methods", "network", "gates")
_CHECKED = 8  # lines of each kind to check a budget on


def add_arguments(parser):
    parser.add_argument("--part", choices=(*PARTS, "all"), default="all", help="which study (default: all)")
    parser.add_argument("--lines", type=positive, default=16, metavar="N",
                        help="rendered lines of text to calibrate on (default: 16)")
    parser.add_argument("--evaluation-lines", type=positive, default=6, metavar="N",
                        help="rendered lines to evaluate on; three of a scanned page come on top (default: 6)")
    parser.add_argument("--image", metavar="FILE", type=pathlib.Path, action="append", default=[],
                        help="read this picture of a line of text as well, in the network study; may be given again")
    parser.add_argument("--samples", type=positive, default=12_000, metavar="N",
                        help="positions of a layer in the studies of layers and methods (default: 12000)")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, default=pathlib.Path("build/duet_study"),
                        help="folder for one JSON file a part (default: build/duet_study)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def _tell(line):
    print(line, file=sys.stderr, flush=True)


def _lines(args):
    from golden.workloads.lines import page_lines, rendered_lines

    return (rendered_lines("calibration", args.lines),
            {"rendered": rendered_lines("evaluation", args.evaluation_lines), "page": page_lines(_tell)[::2]})


def _layers(args):
    from golden.duet.convolution_study import layer_study
    from golden.workloads.easyocr import Crnn

    calibration, sets = _lines(args)
    others = [image for lines in sets.values() for image, _ in lines]
    return layer_study(Crnn.load(_tell), [image for image, _ in calibration], others, args.samples, progress=_tell)


def _methods(args):
    from golden.duet.convolution_study import method_study
    from golden.workloads.easyocr import Crnn

    calibration, sets = _lines(args)
    others = [image for lines in sets.values() for image, _ in lines]
    return method_study(Crnn.load(_tell), [image for image, _ in calibration], others, args.samples)


def _network(args):
    from golden.duet.convolution_study import network_study
    from golden.duet.networks import CLIPPING
    from golden.workloads.easyocr import Crnn
    from golden.workloads.lines import page_lines, read_line, rendered_lines

    calibration, sets = _lines(args)
    model, images = Crnn.load(_tell), [image for image, _ in calibration]
    # Other lines of the calibration's texts tell what budget to take; what follows from that is seen on new lines.
    check = {"calibration": rendered_lines("calibration", args.lines + _CHECKED)[args.lines:],
             "new": rendered_lines("evaluation", args.evaluation_lines + _CHECKED)[args.evaluation_lines:],
             "new page": page_lines(_tell)[1::2]}
    if args.image:  # there is no other text to compare with than what the exact network reads
        own = [read_line(path) for path in args.image]
        check["own"] = [(image, model.read(image)) for image in own]
    return {"inputs": network_study(model, images, sets, progress=_tell),
            "budgets": network_study(model, images, check, inputs=((CLIPPING, 12),), progress=_tell)}


def _gates(args):
    from golden.duet.gate_study import evaluation_words, gate_study, phoneme_task, reader_task, voice_task
    from golden.workloads.easyocr import Crnn
    from golden.workloads.g2p import G2p
    from golden.workloads.silero import RATE, SileroVad
    from golden.workloads.speech import speech
    from resilin.duet.rnn_networks import CALIBRATION_SECONDS, CALIBRATION_WORDS, EVALUATION_WORDS

    calibration, sets = _lines(args)
    sounds = speech("calibration", _tell)[:CALIBRATION_SECONDS * RATE], speech("evaluation", _tell)
    tasks = (voice_task(SileroVad.load(_tell), *sounds),
             phoneme_task(G2p.load(_tell), evaluation_words("calibration", CALIBRATION_WORDS),
                          evaluation_words("evaluation", EVALUATION_WORDS)),
             reader_task(Crnn.load(_tell), calibration, sets["rendered"] + sets["page"][:1]))
    return [gate_study(task, progress=_tell) for task in tasks]


def _print(part, results):
    if part == "layers":
        rows = [(row["variant"], row["layer"], row["k"], row["zeros"], row["skip"], row["precision"], row["loss"])
                for row in sorted(results["rows"], key=lambda row: row["variant"])]
        lines = table(("variant", "layer", "k", "zeros", "skip", "precision", "loss"), rows)
    elif part == "methods":
        lines = table(("method", "knob", "MACs skipped", "mean loss", "greatest loss"), [
            (row["method"], row["knob"], row["macs_skipped"], row["loss_mean"], max(row["loss"]))
            for row in results["rows"]])
    elif part == "network":
        lines = []
        for study in results.values():
            lines += [f"exact network: {study['reference']}"] + table(
                ("images", "clipping", "shift", "budget", "MACs skipped", "error", "characters read"), [
                    (row["images"], row["clipping"], row["shift"], float(row["budget"]), row["macs_skipped"],
                     row["error"], row["accuracy"]) for row in sorted(study["rows"], key=lambda row: row["images"])])
    else:
        lines = []
        for task in results:
            answers = [name for name in task["rows"][0] if name.endswith(("_equal", "_read"))]
            lines += [task["network"]] + table(("variant", "wanted", "ratio", "error", *answers, "weights read"), [
                (row["variant"], float(row["wanted"]), row["ratio"], row["error"], *(row[name] for name in answers),
                 row["read"]) for row in task["rows"]])
    print("\n".join([f"-- {part}", *lines]))


def run(args):
    from golden.workloads.lines import read_line
    from resilin.files import check_folder, write_files

    check_folder(args.output)
    for path in args.image:
        read_line(path)
    studies = {"layers": _layers, "methods": _methods, "network": _network, "gates": _gates}
    results = {}
    for part in PARTS if args.part == "all" else (args.part,):
        results[part] = studies[part](args)
        files = write_files(args.output, {f"{part}.json": json.dumps(results[part], indent=2) + "\n"})
        if not args.json:
            _print(part, results[part])
            print("written: " + ", ".join(map(str, files)))
    if args.json:
        print(json.dumps(results))
    return 0
