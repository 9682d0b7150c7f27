"""``resilin run screening_study``: what ENMC's screening does to a real language model's answers, and what it saves.

Golden models only, no RTL. The Screener is trained on other text than it is measured on.
"""

import json
import pathlib
import sys

from resilin.options import positive
from resilin.tables import table

summary = "quality and DRAM traffic of approximate screening on a real output layer of 49,152 classes"

_TEXTS = ("evaluation", "licence")


def add_arguments(parser):
    parser.add_argument("--training", type=positive, default=36, metavar="N",
                        help="passages of text to train on (default: 36)")
    parser.add_argument("--passages", type=positive, default=4, metavar="N",
                        help="passages of each kind of text to measure on (default: 4)")
    parser.add_argument("--tokens", type=positive, default=512, metavar="N", help="tokens of a passage (default: 512)")
    parser.add_argument("--text", metavar="FILE", type=pathlib.Path, help="measure on one passage of this text as well")
    parser.add_argument("--candidates", type=positive, metavar="N", action="append",
                        help="candidates an item; may be given again (default: 32, 128, 512)")
    parser.add_argument("--reduction", type=positive, metavar="N", action="append",
                        help="d / k, may be given again (default: 8, 4, 2)")
    parser.add_argument("--projection", choices=("ternary", "pca"), action="append",
                        help="may be given again (default: both)")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path,
                        default=pathlib.Path("build/screening_study"),
                        help="folder for screening_study.json (default: build/screening_study)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def _tell(line):
    print(line, file=sys.stderr, flush=True)


def _vectors(model, args):
    """(vectors to train on, name -> vectors to measure on)."""
    from golden.enmc.screening_study import Vectors
    from golden.workloads.hidden import domain_texts, passages
    from golden.workloads.text import read_text

    texts = {name: (domain_texts(name), args.passages) for name in _TEXTS}
    if args.text is not None:
        texts["own"] = ([read_text(args.text)], 1)
    training = passages(model, domain_texts("calibration"), args.tokens, args.training, _tell)
    measured = {name: passages(model, sources, args.tokens, count, _tell) for name, (sources, count) in texts.items()}
    return training.vectors, {name: Vectors(found.vectors, found.targets) for name, found in measured.items()}


def _print(results):
    print(f"{results['classes']} classes of {results['hidden']} inputs; {results['training_vectors']} training vectors")
    for name, full in results["sets"].items():
        print(f"-- {name}: {full['vectors']} vectors; full layer: perplexity {full['perplexity']:.2f}, "
              f"results deviate by {full['deviation']:.2f}")
        lines = table(("projection", "k", "numbers", "selection", "wanted", "candidates", "most", "found 1", "found 5",
                        "top 1", "top 5", "perplexity", "error", "bytes", "batch of", "bytes"), [
            (row["projection"], row["k"], row["numbers"], row["selection"], row["count"], row["candidates"],
             row["candidates_most"], row["found1"], row["found5"], row["top1"], row["top5"], row["perplexity"],
             row["error"], f"{row['bytes']:.2%}", row["batch"], f"{row['bytes_batch']:.2%}")
            for row in results["rows"] if row["text"] == name])
        print("\n".join(lines))


def run(args):
    import numpy as np

    from golden.enmc.screening_study import COUNTS, REDUCTIONS, study
    from golden.enmc.screener_training import KINDS
    from golden.workloads.smollm2 import MAX_TOKENS, WIDTH, SmolLm2
    from golden.workloads.text import read_text
    from resilin.files import check_folder, write_files

    check_folder(args.output)
    if args.text is not None:
        read_text(args.text)
    if not 2 <= args.tokens <= MAX_TOKENS:
        raise ValueError(f"tokens = {args.tokens} is not allowed: it must be from 2 to {MAX_TOKENS}")
    for reduction in args.reduction or ():
        if reduction > WIDTH:
            raise ValueError(f"reduction = {reduction} is not allowed: it must be from 2 to {WIDTH}, the width")
    model = SmolLm2.load(_tell)
    training, sets = _vectors(model, args)
    weight = model.output_weight
    results = study(weight, np.zeros(len(weight), np.float32), training, sets, tuple(args.candidates or COUNTS),
                    tuple(args.reduction or REDUCTIONS), tuple(args.projection or KINDS), progress=_tell)
    files = write_files(args.output, {"screening_study.json": json.dumps(results, indent=2) + "\n"})
    if args.json:
        print(json.dumps(results))
    else:
        _print(results)
        print("written: " + ", ".join(map(str, files)))
    return 0
