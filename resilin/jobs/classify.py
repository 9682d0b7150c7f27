"""``resilin run classify``: a real output layer on an ENMC rank, screened and in full; many ranks; agreement."""

import contextlib
import json
import pathlib
import shlex
import sys

from resilin.files import check_folder
from resilin.options import add_config_arguments, check_seed, make_config, positive
from resilin.progress import Progress

summary = "a real output layer of many classes on an ENMC rank: RTL against golden model, cycles, bytes, agreement"

DEFAULT_PRESET = "paper"
#: Passages or lines to train on, to measure on, candidates wanted on the rank, and those of the table of agreement.
_DEFAULTS = {"smollm2": (36, 2, 512, (128, 512, 2048)), "rapidocr": (160, 20, 32, (8, 32, 128))}
_REDUCTIONS = (8, 4, 2)


def add_arguments(parser):
    add_config_arguments(parser, DEFAULT_PRESET)
    layer = parser.add_argument_group("the layer")
    layer.add_argument("--model", choices=tuple(_DEFAULTS), default="smollm2",
                       help="a language model of 49,152 classes, or a reader of text lines of 6,625 (default: smollm2)")
    layer.add_argument("--classes", type=positive, metavar="N", help="only the first N classes on the rank")
    layer.add_argument("--items", type=positive, default=1, metavar="N", help="vectors of a batch (default: 1)")
    layer.add_argument("--training", type=positive, metavar="N",
                       help="passages of text to train on, or lines (default: 36 passages, 160 lines)")
    layer.add_argument("--passages", type=positive, metavar="N",
                       help="passages of each kind of text to measure on, or lines (default: 2 passages, 20 lines)")
    layer.add_argument("--tokens", type=positive, default=512, metavar="N", help="tokens of a passage (default: 512)")
    screening = parser.add_argument_group("screening")
    screening.add_argument("--reduction", type=positive, default=4, metavar="N", help="d / k (default: 4)")
    screening.add_argument("--projection", choices=("ternary", "pca"), default="ternary",
                           help="random, or of greatest variance (default: ternary)")
    screening.add_argument("--candidates", type=positive, metavar="N",
                           help="candidates an item that the threshold shall give (default: 512, or 32)")
    screening.add_argument("--threshold", type=float, metavar="Z", help="a score, in place of --candidates")
    screening.add_argument("--probabilities", action="store_true", help="a program with softmax on the rank as well")
    ranks = parser.add_argument_group("many ranks")
    ranks.add_argument("--channels", type=positive, default=8, metavar="N", help="of the memory (default: 8)")
    ranks.add_argument("--ranks", type=positive, default=8, metavar="N", help="of a channel (default: 8)")
    run_group = parser.add_argument_group("the run")
    run_group.add_argument("--no-rtl", dest="rtl", action="store_false",
                           help="golden rank, and cycles by the cycle model")
    run_group.add_argument("--no-study", dest="study", action="store_false", help="leave out the table of agreement")
    run_group.add_argument("--study-candidates", type=positive, metavar="N", action="append",
                           help="candidates of that table; may be given again (default: 128, 512, 2048 or 8, 32, 128)")
    run_group.add_argument("--study-reduction", type=positive, metavar="N", action="append",
                           help="d / k of that table; may be given again (default: 8, 4, 2)")
    run_group.add_argument("--seed", type=int, default=1, help="seed of the simulation (default: 1)")
    run_group.add_argument("--simulator", choices=("verilator", "icarus"), default="verilator")
    run_group.add_argument("--timeout", type=positive, default=3600, metavar="SECONDS",
                           help="end a simulation that takes longer (default: 3600)")
    run_group.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, default=pathlib.Path("build/classify"),
                           help="folder for report.html, report.json, report.txt (default: build/classify)")
    run_group.add_argument("--json", action="store_true", help="print report.json instead of the text")


def run(args):
    from resilin.enmc import classify_report
    from resilin.registry import find

    check_seed(args.seed)
    _check_threshold(args.threshold)
    check_folder(args.output)
    config = make_config(find("enmc_rank"), args)
    tell = Progress()
    with tell.alive(), contextlib.redirect_stdout(sys.stderr):
        record = _measure(args, config, tell)
    files = classify_report.write(record, args.output)
    print(json.dumps(record) if args.json else classify_report.summary(record), end="\n" if args.json else "")
    print("written: " + ", ".join(map(str, files)), file=sys.stderr if args.json else sys.stdout)
    return 0


def _check_threshold(value):
    """Refuse a score that is not one of Q15.16."""
    least, most = -2 ** 15, 2 ** 15 - 2 ** -16
    if value is not None and not least <= value <= most:
        raise ValueError(f"threshold = {value} is not allowed: it must be from {least} to {most}")


def _load(args, tell):
    from resilin.enmc.workload import language_model, reader

    training, count, _, _ = _DEFAULTS[args.model]
    sizes = args.training or training, args.passages or count
    return language_model(*sizes, args.tokens, None, tell) if args.model == "smollm2" else reader(*sizes, tell)


def _measure(args, config, tell):
    import numpy as np

    from golden.enmc.scale_out import Memory
    from golden.enmc.screener_training import centred_layer
    from golden.enmc.screening_study import study
    from resilin.enmc.classify_record import answers, many_ranks, one_rank, slice_sizes, typical
    from resilin.enmc.classify_run import make_task

    memory = Memory(channels=args.channels, ranks=args.ranks)
    tell.step("loading the model and its hidden vectors")
    loaded = _load(args, tell)
    k = loaded.features(args.reduction)
    for reduction in args.study_reduction or ():
        loaded.features(reduction)
    weight, bias = centred_layer(loaded.weight, loaded.bias)
    if not memory.all_ranks <= (args.classes or len(weight)) <= len(weight):
        raise ValueError(f"classes = {args.classes} is not allowed: it must be from {memory.all_ranks}, a class for "
                         f"each rank, to {len(weight)}")
    chosen = slice(0, args.classes)
    tell.step("training the Screener")
    _, _, wanted, wanted_in_study = _DEFAULTS[args.model]
    wanted = args.candidates or wanted
    evaluation = loaded.sets["evaluation"]
    task = make_task(weight[chosen], bias[chosen], loaded.training, evaluation.hidden[:0], k, args.projection, wanted,
                     args.threshold)
    found, places = typical(task.screener, task.threshold, evaluation.hidden, wanted, args.items)
    task = task.of(evaluation.hidden[places])
    options = {"preset": args.preset or DEFAULT_PRESET, "seed": args.seed, "simulator": args.simulator,
               "timeout": args.timeout}
    run, runs = one_rank(task, config, slice_sizes(len(task.weight), memory), rtl=args.rtl,
                            probabilities=args.probabilities, tell=tell, **options)
    targets = evaluation.targets[places]
    run["answers"] = answers(task, runs["screening"].results, np.where(targets < len(task.weight), targets, -1))
    scale = many_ranks(task, found, memory, run["cycles"]["both"], config, rtl=args.rtl, tell=tell, **options)
    counts = found.sum(1)
    record = {
        "command": shlex.join(["resilin", "run", "classify", *_words(args)]), "model": args.model,
        "classes": len(task.weight), "hidden": weight.shape[1], "k": k, "projection": args.projection,
        "items": args.items, "wanted": wanted if args.threshold is None else None,
        "threshold": task.threshold / 65536, "places": places.tolist(), "vectors": len(found),
        "training_vectors": len(loaded.training), "how": "rtl" if args.rtl else "model", "seed": args.seed,
        "config": config.to_dict(), "candidates": {"mean": float(counts.mean()), "most": int(counts.max()),
                                                   "most_95": int(np.quantile(counts, 0.95))},
        "run": run, "scale_out": scale, "study": None}
    if args.study:
        tell.step("agreement with the full layer, by threshold and k")
        record["study"] = study(weight, bias, loaded.training, loaded.sets,
                                tuple(args.study_candidates or wanted_in_study),
                                tuple(args.study_reduction or _REDUCTIONS), (args.projection,), (True,), ("threshold",),
                                progress=tell)
    return record


def _words(args):
    """The options that repeat a run, without its output folder."""
    words = ["--config", str(args.config)] if args.config else ["--preset", args.preset or DEFAULT_PRESET]
    words += [word for change in args.overrides for word in ("--set", change)]
    for name in ("model", "classes", "items", "training", "passages", "tokens", "reduction", "projection", "candidates",
                 "threshold", "channels", "ranks", "seed", "simulator"):
        if getattr(args, name) is not None:
            words += [f"--{name}", str(getattr(args, name))]
    for name in ("study_candidates", "study_reduction"):
        words += [word for value in getattr(args, name) or () for word in (f"--{name.replace('_', '-')}", str(value))]
    return words + ["--probabilities"] * args.probabilities + ["--no-rtl"] * (not args.rtl) + [
        "--no-study"] * (not args.study)
