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


def _language_model(args, training, count):
    """(weight, bias, vectors to train on, name -> vectors to measure on) of SmolLM2's output layer."""
    import numpy as np

    from golden.enmc.screening_study import Vectors
    from golden.workloads.hidden import domain_texts, passages
    from golden.workloads.smollm2 import MAX_TOKENS, SmolLm2
    from golden.workloads.text import read_text

    if not 2 <= args.tokens <= MAX_TOKENS:
        raise ValueError(f"tokens = {args.tokens} is not allowed: it must be from 2 to {MAX_TOKENS}")
    own = None if args.text is None else read_text(args.text)
    texts = {name: (domain_texts(name), count) for name in ("evaluation", "licence")}
    if own is not None:
        texts["own"] = ([own], 1)
    model = SmolLm2.load(_tell)
    trained = passages(model, domain_texts("calibration"), args.tokens, training, _tell)
    measured = {name: passages(model, sources, args.tokens, number, _tell)
                for name, (sources, number) in texts.items()}
    sets = {name: Vectors(found.vectors, found.targets) for name, found in measured.items()}
    return model.output_weight, np.zeros(len(model.output_weight), np.float32), trained.vectors, sets


def _reader(args, training, count):
    """The same of RapidOCR's: measured where the full layer sees a character; what is right is not known."""
    import numpy as np

    from golden.enmc.screener_training import classifier_scores
    from golden.enmc.screening_study import Vectors
    from golden.workloads.lines import page_lines, rendered_lines
    from golden.workloads.rapidocr import Recogniser

    if args.text is not None:
        raise ValueError("text is not allowed with the model rapidocr")
    lines = {"evaluation": rendered_lines("evaluation", count), "page": page_lines(_tell)}
    model = Recogniser.load(_tell)
    weight, bias = model.output_weight, model.output_bias
    sets = {}
    for name, pairs in lines.items():
        vectors = np.concatenate(model.vectors([image for image, _ in pairs], _tell))
        vectors = vectors[classifier_scores(weight, bias, vectors).argmax(1) > 0]
        sets[name] = Vectors(vectors, np.full(len(vectors), -1))
    trained = model.vectors([image for image, _ in rendered_lines("calibration", training)], _tell)
    return weight, bias, np.concatenate(trained), sets


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
    from resilin.files import check_folder, write_files

    check_folder(args.output)
    training, count, candidates = _DEFAULTS[args.model]
    load = _language_model if args.model == "smollm2" else _reader
    weight, bias, vectors, sets = load(args, args.training or training, args.passages or count)
    for reduction in args.reduction or ():
        if reduction > weight.shape[1]:
            raise ValueError(f"reduction = {reduction} is not allowed: it must be at most {weight.shape[1]}, the "
                             "width of a hidden vector")
    if not args.not_centred:
        weight, bias = centred_layer(weight, bias)
    results = study(weight, bias, vectors, sets, tuple(args.candidates or candidates),
                    tuple(args.reduction or REDUCTIONS), tuple(args.projection or KINDS), progress=_tell)
    results = {"model": args.model, "centred": not args.not_centred, **results}
    files = write_files(args.output, {f"{args.model}.json": json.dumps(results, indent=2) + "\n"})
    if args.json:
        print(json.dumps(results))
    else:
        _print(results)
        print("written: " + ", ".join(map(str, files)))
    return 0
