"""``resilin run dsg``: training with a dynamic sparse graph on handwritten digits, accuracy over sparsity."""

import json
import pathlib
import sys

from resilin.options import positive

summary = "train digits with a dynamic sparse graph (thesis ch. 4): accuracy over sparsity, selection, masks"


def add_arguments(parser):
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, default=pathlib.Path("build/dsg"),
                        help="folder for dsg.json and dsg.svg (default: build/dsg)")
    parser.add_argument("--epochs", type=positive, default=20, help="passes over the training images (default: 20)")
    parser.add_argument("--seeds", type=positive, default=2, metavar="N", help="trainings a point (default: 2)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args):
    from golden.duet.dsg_study import study
    from golden.workloads.digits import digits
    from resilin.charts import line_chart
    from resilin.files import check_folder, write_files

    check_folder(args.output)

    def tell(line):
        print(line, file=sys.stderr, flush=True)

    results = study(digits(tell), epochs=args.epochs, seeds=range(args.seeds), progress=tell)
    series = {}
    for row in results["rows"]:
        series.setdefault(row["choice"], []).append((100 * row["sparsity"], 100 * row["accuracy"]))
    chart = line_chart("Dynamic sparse graph on digits", "neurons left out [%]", "accuracy [%]", series)
    files = write_files(args.output, {"dsg.json": json.dumps(results, indent=2) + "\n", "dsg.svg": chart})
    if args.json:
        print(json.dumps(results))
        return 0
    print(f"{'choice':22} {'sparsity':>8} {'accuracy':>9} {'+-':>6}  zeros by layer      MACs")
    for row in results["rows"]:
        zeros = " ".join(f"{value:.2f}" for value in row["zeros"])
        print(f"{row['choice']:22} {row['sparsity']:8.2f} {row['accuracy']:9.3f} {row['deviation']:6.3f}  {zeros:18} "
              f"{row['macs']:5.2f}")
    print("written: " + ", ".join(map(str, files)))
    return 0
