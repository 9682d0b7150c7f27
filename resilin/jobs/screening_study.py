"""``resilin run screening_study``: what ENMC's screening does to a real model's answers, and what it saves.

Golden models only, no RTL. The Screener is trained on other text than it is measured on.
"""

import json
import pathlib
import sys

from resilin.options import positive
from resilin.tables import table

summary = "quality and DRAM traffic of approximate screening on a real output layer of many classes"

#: Passages or lines to train on, of each kind of text to measure on, and candidates.
_DEFAULTS = {"smollm2": (36, 4, (32, 128, 512)), "rapidocr": (160, 40, (8, 32, 128))}


def add_arguments(parser):
    parser.add_argument("--model", choices=tuple(_DEFAULTS), default="smollm2",
                        help="a language model of 49,152 classes, or a reader of text lines of 6,625 "
                             "(default: smollm2)")
    parser.add_argument("--training", type=positive, metavar="N",
                        help="passages of text to train on, or lines (default: 36 passages, 160 lines)")
    parser.add_argument("--passages", type=positive, metavar="N",
                        help="passages of each kind of text to measure on, or lines (default: 4 passages, 40 lines)")
    parser.add_argument("--tokens", type=positive, default=512, metavar="N", help="tokens of a passage (default: 512)")
    parser.add_argument("--text", metavar="FILE", type=pathlib.Path,
                        help="measure the language model on one passage of this text as well")
    parser.add_argument("--candidates", type=positive, metavar="N", action="append",
                        help="candidates an item; may be given again (default: 32, 128, 512 or 8, 32, 128)")
    parser.add_argument("--reduction", type=positive, metavar="N", action="append",
                        help="d / k, may be given again (default: 8, 4, 2)")
    parser.add_argument("--projection", choices=("ternary", "pca"), action="append",
                        help="may be given again (default: both)")
    parser.add_argument("--not-centred", action="store_true",
                        help="leave the layer as it is; by default the mean class is taken off all classes")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path,
                        default=pathlib.Path("build/screening_study"),
                        help="folder for MODEL.json (default: build/screening_study)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def _tell(line):
    print(line, file=sys.stderr, flush=True)


def _print(results):
    print(f"{results['classes']} classes of {results['hidden']} inputs; {results['training_vectors']} training vectors")
    for name, full in results["sets"].items():
        known = "" if full["perplexity"] is None else f"perplexity {full['perplexity']:.2f}, "
        print(f"-- {name}: {full['vectors']} vectors; full layer: {known}results deviate by "
              f"{full['deviation']:.2f}, their mean by {full['level_deviation']:.2f} from vector to vector")
        lines = table(("projection", "k", "numbers", "selection", "wanted", "candidates", "most", "found 1", "found 5",
                       "top 1", "top 5", "perplexity", "error", "bytes", "batch of", "bytes"), [
            (row["projection"], row["k"], row["numbers"], row["selection"], row["count"], row["candidates"],
             row["candidates_most"], row["found1"], row["found5"], row["top1"], row["top5"],
             "-" if row["perplexity"] is None else row["perplexity"], row["error"], f"{row['bytes']:.2%}",
             row["batch"], f"{row['bytes_batch']:.2%}") for row in results["rows"] if row["text"] == name])
        print("\n".join(lines))


def run(args):
    from golden.enmc.screening_study import REDUCTIONS, study
    from golden.enmc.screener_training import KINDS, centred_layer
    from resilin.enmc.workload import language_model, reader
    from resilin.files import check_folder, write_files

    check_folder(args.output)
    training, count, candidates = _DEFAULTS[args.model]
    training, count = args.training or training, args.passages or count
    if args.model == "smollm2":
        loaded = language_model(training, count, args.tokens, args.text, _tell)
    elif args.text is not None:
        raise ValueError("text is not allowed with the model rapidocr")
    else:
        loaded = reader(training, count, _tell)
    for reduction in args.reduction or ():
        loaded.features(reduction)
    weight, bias = loaded.weight, loaded.bias
    if not args.not_centred:
        weight, bias = centred_layer(weight, bias)
    results = study(weight, bias, loaded.training, loaded.sets, tuple(args.candidates or candidates),
                    tuple(args.reduction or REDUCTIONS), tuple(args.projection or KINDS), progress=_tell)
    results = {"model": args.model, "centred": not args.not_centred, **results}
    files = write_files(args.output, {f"{args.model}.json": json.dumps(results, indent=2) + "\n"})
    if args.json:
        print(json.dumps(results))
    else:
        _print(results)
        print("written: " + ", ".join(map(str, files)))
    return 0
