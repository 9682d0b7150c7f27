"""``resilin run nm_training``: recipes that train N:M patterns, on handwritten digits and on a transformer's block."""

import json
import os
import pathlib
import sys

from resilin.options import positive
from resilin.tables import table

summary = "train N:M patterns 1:4 to 1:32 (one-shot, SR-STE, FiGS): accuracy on digits, error of a MiniLM block"

_TASKS = ("digits", "minilm")


def add_arguments(parser):
    parser.add_argument("--task", choices=_TASKS, action="append", help="may be given again (default: both)")
    parser.add_argument("--seeds", type=positive, default=10, metavar="N",
                        help="dense networks on digits that the recipes start from (default: 10)")
    parser.add_argument("--block-seeds", type=positive, default=1, metavar="N",
                        help="trainings of a MiniLM block a point (default: 1)")
    parser.add_argument("--shared-by", type=positive, default=1, metavar="N",
                        help="neighbouring outputs that share a mask, as the engine's beta wants it (default: 1)")
    parser.add_argument("--search", action="store_true",
                        help="print instead how the recipes' candidates do on data kept apart to choose by")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, default=pathlib.Path("build/nm_training"),
                        help="folder for nm_training.json or search.json, and digits.svg (default: build/nm_training)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def _tell(line):
    print(line, file=sys.stderr, flush=True)


def _digits(args):
    from golden.figs import digits_study
    from golden.workloads.digits import digits

    data = digits(_tell)
    if args.search:
        return digits_study.search(data[0], progress=_tell)
    return digits_study.study(data, seeds=args.seeds, shared_by=args.shared_by, progress=_tell)


def _minilm(args):
    from golden.figs import minilm_study
    from golden.workloads.minilm import MiniLm

    data = minilm_study.Distillation(MiniLm.load(_tell))
    if args.search:
        return minilm_study.search(data, progress=_tell)
    return minilm_study.study(data, seeds=args.block_seeds, shared_by=args.shared_by, progress=_tell)


def _points(value, error, scale=1):
    return f"{scale * value:.3f}" if error is None else f"{scale * value:.3f} +- {scale * error:.3f}"


def _print_study(task, results):
    rows, seeds = results["rows"], f"{results['seeds']} seed{'s' * (results['seeds'] > 1)}"
    shared = f", a mask for every {results['shared_by']} outputs" if results["shared_by"] > 1 else ""
    if task == "digits":
        print("-- digits, " + "-".join(map(str, results["widths"])) + ": accuracy [%], "
              f"{seeds}{shared}")
        lines = table(("recipe", "pattern", "float", "+-", "INT8", "INT16", "density"), [
            (row["recipe"], row["pattern"], 100 * row["accuracy"],
             "-" if row["deviation"] is None else 100 * row["deviation"], 100 * row["int8"], 100 * row["int16"],
             row["density"]) for row in rows])
    else:
        print(f"-- MiniLM, feed-forward block of the last layer: {results['training_vectors']} vectors to train on, "
              f"{results['evaluation_vectors']} to evaluate on, {seeds}{shared}")
        lines = table(("recipe", "pattern", "missed", "+-", "cosine", "sentence", "INT8: missed", "sentence",
                       "INT16: missed", "sentence", "density"), [
            (row["recipe"], row["pattern"], row["missed"], "-" if row["deviation"] is None else row["deviation"],
             row["cosine"], row["sentence"], row["int8"]["missed"], row["int8"]["sentence"], row["int16"]["missed"],
             row["int16"]["sentence"], row["density"]) for row in rows])
    print("\n".join(lines))
    scale, unit = (100, "accuracy, points") if task == "digits" else (1, "missed")
    print(f"differences, {unit}: mean, standard error")
    print("\n".join(table(("pair", "pattern", "difference"), [
        (f"{found['first']} - {found['second']}", found["pattern"], _points(found["mean"], found["error"], scale))
        for found in results["differences"]])))


def _print_search(task, results):
    figure = "accuracy" if task == "digits" else "missed"
    print(f"-- {task}: {figure} on data to choose by, by pattern " + ", ".join(results["patterns"]))
    print("\n".join(table(("recipe", "rate", "decay", "share", figure, "mean"), [
        (row["recipe"], f"{row['rate']:g}", f"{row['decay']:g}", f"{row['share']:g}",
         " ".join(f"{value:.4f}" for value in row[figure]), f"{row['mean']:.4f}") for row in results["rows"]])))


def _chart(results):
    from resilin.charts import line_chart

    series = {}
    for row in results["rows"]:
        if row["recipe"] != "dense":
            group = int(row["pattern"].split(":")[1])
            series.setdefault(row["recipe"], []).append((group, 100 * row["accuracy"]))
    return line_chart("N:M patterns on digits", "M of 1:M", "accuracy [%]", series, x_log2=True)


def run(args):
    from resilin.files import check_folder, write_files

    check_folder(args.output)
    # The matrices are small: on a busy machine threads wait for each other far longer than they work. Counts only if
    # numpy is not loaded yet.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    work = {"digits": _digits, "minilm": _minilm}
    results = {task: work[task](args) for task in args.task or _TASKS}
    name = "search.json" if args.search else "nm_training.json"
    texts = {name: json.dumps(results, indent=2) + "\n"}
    if "digits" in results and not args.search:
        texts["digits.svg"] = _chart(results["digits"])
    files = write_files(args.output, texts)
    if args.json:
        print(json.dumps(results))
        return 0
    for task, found in results.items():
        (_print_search if args.search else _print_study)(task, found)
    print("written: " + ", ".join(map(str, files)))
    return 0
