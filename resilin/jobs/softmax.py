"""``resilin run softmax``: how far the multi-function unit's softmax is from float64, over its whole range."""

import json
import math
import pathlib

summary = "measure the error of the MFU's fixed-point softmax against float64"

LENGTHS = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
EXPONENT_STEPS = 2048


def add_arguments(parser):
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, required=True,
                        help="folder for softmax.json and softmax.svg")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random rows (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def exact_softmax(scores, real):
    """Float64 softmax of ``real * scores``, row by row."""
    import numpy as np

    terms = np.exp((scores - scores.max(axis=1, keepdims=True)) * real)
    return terms / terms.sum(axis=1, keepdims=True)


def rows_of(kind, length, rng):
    """Yield (scores, scale, scale_shift): rows of ``length`` numbers that are meant to be hard, or random ones."""
    import numpy as np

    from golden.dota.mfu import EXP_FRACTION, softmax_scale

    if kind == "random":
        for spread in 2.0 ** rng.uniform(-1, 17, 40):
            normal, flat = rng.normal(0, spread, (8, length)), rng.uniform(-spread, spread, (8, length))
            draw = np.concatenate([normal, flat])
            setting = softmax_scale(min(11.0, 2.0 ** rng.uniform(-3, 4) / spread))
            yield np.clip(np.round(draw), -32768, 32767).astype(np.int64), *setting
        for setting in ((0, 0), (1, 31), (65535, 31), (65535, 0), (1, 0), (32768, 15)):
            yield rng.integers(-32768, 32768, (8, length)), *setting
        return
    # Some numbers at the top, all others at one distance below, swept in steps of the exponent's last bits.
    tops = {"one above the rest": [1], "several above the rest": [2, 3, length // 4, length // 2, length - 1]}[kind]
    for top in {top for top in tops if 0 < top < length}:
        distance = np.linspace(1, 24 << EXP_FRACTION, EXPONENT_STEPS).astype(np.int64)
        for block in np.array_split(np.minimum(distance, 65535), 8):
            scores = np.repeat(32767 - block[:, None], length, axis=1)
            scores[:, :top] = 32767
            yield scores, 1, 0
            yield scores, 49149, 15


def measure(seed):
    """The greatest errors: kind -> length -> error against the exact softmax of the same integer scale."""
    import numpy as np

    from golden.dota.mfu import EXP_FRACTION, WEIGHT_FRACTION, softmax

    errors, rng = {}, np.random.default_rng(seed)
    for kind in ("random", "one above the rest", "several above the rest"):
        errors[kind] = {}
        for length in LENGTHS:
            if kind != "random" and length < 2:
                continue
            worst = 0.0
            for scores, scale, scale_shift in rows_of(kind, length, rng):
                exact = exact_softmax(scores, scale * 2.0 ** -(scale_shift + EXP_FRACTION) * math.log(2))
                weights = softmax(scores, None, scale, scale_shift) / 2.0**WEIGHT_FRACTION
                worst = max(worst, float(np.abs(weights - exact).max()))
            errors[kind][length] = worst
    return errors


def measure_scale(seed):
    """The greatest error when the scale itself is a real number that had to be rounded."""
    import numpy as np

    from golden.dota.mfu import WEIGHT_FRACTION, softmax, softmax_scale

    worst, rng = 0.0, np.random.default_rng(seed)
    for real in 2.0 ** rng.uniform(-20, 3.4, 300):
        spread = min(32767.0, 4.0 / real)
        scores = np.clip(np.round(rng.normal(0, spread, (8, 256))), -32768, 32767).astype(np.int64)
        weights = softmax(scores, None, *softmax_scale(real)) / 2.0**WEIGHT_FRACTION
        worst = max(worst, float(np.abs(weights - exact_softmax(scores, real)).max()))
    return worst


def run(args):
    from golden.dota.mfu import ERROR_BOUND, error_budget
    from resilin.charts import line_chart
    from resilin.files import check_folder, write_files
    from resilin.options import check_seed

    check_seed(args.seed)
    check_folder(args.output)
    errors = measure(args.seed)
    bounds = {length: sum(error_budget(length).values()) for length in LENGTHS}
    worst = max(max(by_length.values()) for by_length in errors.values())
    results = {
        "seed": args.seed, "max_error": worst, "allowed": ERROR_BOUND, "max_error_by_length": errors,
        "proven_bound_by_length": bounds, "error_budget_512": error_budget(512),
        "max_error_with_a_real_scale": measure_scale(args.seed),
    }
    series = {kind: list(by_length.items()) for kind, by_length in errors.items()}
    series["proven bound"] = list(bounds.items())
    series["allowed (2^-11)"] = [(LENGTHS[0], ERROR_BOUND), (LENGTHS[-1], ERROR_BOUND)]
    chart = line_chart("Softmax of the MFU against float64", "row length [numbers]", "greatest error of a weight [1]",
                       series, x_log2=True, y_log2=True)
    files = write_files(args.output, {"softmax.json": json.dumps(results, indent=2) + "\n", "softmax.svg": chart})
    if args.json:
        print(json.dumps(results))
    else:
        print(f"greatest error of a weight: {worst:.3e} = 2^{math.log2(worst):.2f} (allowed: 2^-11, "
              f"proven up to 512 numbers: 2^{math.log2(sum(error_budget(512).values())):.2f})")
        print("written: " + ", ".join(map(str, files)))
    if worst > ERROR_BOUND:
        raise AssertionError(f"the error of a weight reaches {worst:.3e}, more than {ERROR_BOUND:.3e} (2^-11)")
