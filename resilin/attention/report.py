"""The record of a run as a page (report.html, one file, no scripts), as JSON, and as a summary for the terminal."""

import json

from resilin.charts import bar_chart, heat_map, line_chart, shades
from resilin.files import write_files
from resilin.html import bullets, code, document, figure, percent, prose, section, table

__all__ = ["FILES", "page", "summary", "write"]

FILES = ("report.html", "report.json")
PHASES = {"linear": "linear (Q, K, V)", "convert": "convert X", "detect": "estimate scores", "score": "scores",
          "softmax": "softmax", "output": "output", "sparse": "detect, schedule, sparse attention", "other": "other"}
READS = {"row_by_row": "row by row", "left_to_right": "left to right, token-parallel",
         "out_of_order": "out of order (this hardware)", "lower_bound": "lower bound (distinct keys a group)"}
STALLS = {"stall_load": "operand loads", "stall_schedule": "scheduler", "stall_softmax": "softmax",
          "stall_drain": "drain"}
BOTH, MISSED, EXTRA, NEITHER = range(4)
MASK_CLASSES = [("found", "#0072B2"), ("missed", "#D55E00"), ("not in the true top", "#F0E442"),
                ("left out", "#FFFFFF")]
CROP = 48
ACCURACY_EDGES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


# ---- the run ------------------------------------------------------------------------------------------------------


def phase_rows(record):
    """(phase, cycles dense, cycles with detection) of every phase that one of the programs has, then the sum."""
    dense, detect = (record["programs"][name] for name in ("dense", "detect"))
    rows = [(words, dense["phases"].get(phase, 0), detect["phases"].get(phase, 0)) for phase, words in PHASES.items()
            if phase in dense["phases"] or phase in detect["phases"]]
    return [*rows, ("whole head", dense["cycles"], detect["cycles"])]


def _what(record):
    job, lane = record["job"], record["lane"]
    place = "random weights and inputs" if job["model"] == "synthetic" else (
        f"layer {job['layer']}, head {job['head']} of {job['model']}, on text from {job['text']}")
    array = f"{lane['config']['rows']} x {lane['config']['cols']}"
    checked = record["verification"]
    words = sum(checked["words_compared"].values())
    mean = record["reads"]["connections"] / job["tokens"]
    return section(
        "What this is",
        prose(f"One attention head ({place}; {job['tokens']} tokens, calibrated on other text) on the simulated RTL "
              f"of one compute lane with {array} processing elements. The same hardware runs two programs: dense "
              f"attention, and attention that estimates scores in {job['precision']}, keeps some "
              f"connections ({mean:.1f} of {job['tokens']} a row, mean), and "
              "computes only those."),
        prose(f"Every memory word that the two programs wrote, {words:,} words, equals the golden model bit for bit: "
              + "; ".join(f"{name} program: {', '.join(results)}"
                          for name, results in checked["results_compared"].items())
              + f". The counters {', '.join(checked['counters_compared'])} equal the golden model's as well. Scores "
              "and weights of the sparse attention never reach the memory; they are checked through its output."),
        prose("To repeat it:"), code(record["command"]),
        table("Versions", ("tool", "version"), record["versions"].items()))


def _configuration(record):
    lane = [("preset", record["lane"]["preset"] or "-"), ("simulator", record["simulator"]),
            *record["lane"]["config"].items()]
    return section("Configuration", table("Lane", ("field", "value"), lane),
                   table("Job", ("field", "value"), record["job"].items()))


def _cycles(record):
    rows = phase_rows(record)
    phases = {name: record["programs"][name]["phases"] for name in ("dense", "detect")}
    chart = bar_chart("Cycles by phase", "phase", "cycles of the RTL [cycles]",
                      {phase: {"dense": phases["dense"].get(phase, 0), "with detection": phases["detect"].get(phase, 0)}
                       for phase in PHASES if any(phase in cycles for cycles in phases.values())})
    counters = [(words, *(record["programs"][name]["counters"][counter] for name in ("dense", "detect")))
                for counter, words in (("rmmu_beats", "array beats"), ("rounds", "scheduler rounds"),
                                       ("connections", "connections"), *((name, f"cycles stalled: {words}")
                                                                         for name, words in STALLS.items()))]
    stages = [(name, stage["name"], stage["phase"], stage["cycles"], stage["rmmu_beats"])
              for name in ("dense", "detect") for stage in record["programs"][name]["stages"]]
    return section(
        "Cycles",
        prose("Cycles are the lane's own counters: time in which a command runs. The host's writes and reads between "
              "commands are not in them."),
        table("Cycles by phase", ("phase", "dense", "with detection"), rows), figure(
            chart, "Cycles of each phase. Dense attention is scores, softmax and output; with detection it is "
            "conversion, estimation and sparse attention."),
        table("Speed-up (dense cycles / cycles with detection)", ("part", "dense", "with detection", "speed-up"),
              [(row["part"], row["dense"], row["detect"], row["speedup"]) for row in record["speedup"]]),
        prose("Whole head and attention are measured. Where there is a row with a shared part, it is computed from "
              "measured cycles: the low-precision copy of X and its projection X P do not depend on the head, so a "
              "layer needs them once."),
        table("Counters", ("counter", "dense", "with detection"), counters),
        table("Commands", ("program", "result", "phase", "cycles", "array beats"), stages))


def _key_reads(record):
    reads = record["reads"]
    rows = [(words, reads[name], reads[name] / reads["row_by_row"]) for name, words in READS.items()]
    return section(
        "Reads of keys and values",
        table("Key vectors read", ("order of work", "reads", "of row by row"), rows),
        prose(f"The RTL's counters: {reads['key_reads']:,} keys and {reads['value_reads']:,} values, in "
              f"{reads['rounds']:,} rounds for {reads['connections']:,} connections, {reads['token_parallelism']} "
              "query rows at a time. The other orders are computed from the same masks."),
        figure(bar_chart("Key vectors read", "order of work", "vectors read from the SRAM [vectors]",
                         {name.replace("_", " "): {"reads": reads[name]} for name in READS}),
               "The same connections in four orders; the lower bound reads each key once for each group of rows."))


def _selection(record):
    quality, job = record["quality"], record["job"]
    rows = [("true top connections found (prediction accuracy)", quality["prediction_accuracy"]),
            ("the same, of a random selection (expected)", quality["chance_accuracy"]),
            ("attention mass kept", quality["retained_mass"]),
            ("attention mass of the exact top connections", quality["oracle_mass"]),
            ("error of Z, dense (FX16 only)", quality["output_error_dense"]),
            ("error of Z, with detection", quality["output_error_detect"]),
            ("error of Z, exact top connections", quality["output_error_oracle"]),
            ("rows without any connection", quality["empty_rows"])]
    return section(
        "Quality of this head",
        prose("Against exact dense attention of the same head in float64; errors are relative (norm of the difference "
              f"over norm of the exact output). One passage of {job['tokens']} tokens, no retraining. The exact top "
              f"connections are the strongest {job['connections_a_row']} of each row; in threshold mode the detector "
              "may keep more or fewer, and its accuracy is against as many."),
        table("This head", ("measure", "value"), rows), *_mask_pictures(record))


def mask_classes(masks):
    """Index into MASK_CLASSES of each pair of query and key."""
    tokens = range(len(masks["tokens"]))
    rows = []
    for oracle, predicted in zip(masks["oracle"], masks["predicted"]):
        oracle, predicted = set(oracle), set(predicted)
        rows.append([(BOTH if key in predicted else MISSED) if key in oracle else
                     (EXTRA if key in predicted else NEITHER) for key in tokens])
    return rows


def _plain(classes, members):
    """The mask of pairs whose class is among ``members``, as classes of two colours."""
    return [[0 if cell in members else 1 for cell in row] for row in classes]


def _mask_pictures(record):
    masks = record["masks"]
    names, classes = masks["tokens"], mask_classes(masks)
    two = [("kept", "#0072B2"), ("left out", "#FFFFFF")]
    axes = ("key [token]", "query [token]")
    whole = dict(x_names=names, y_names=names)
    figures = [
        figure(heat_map("True strongest connections", *axes, _plain(classes, (BOTH, MISSED)), two, **whole),
               "The oracle: each row's strongest connections by exact scores."),
        figure(heat_map("Connections the detector kept", *axes, _plain(classes, (BOTH, EXTRA)), two, **whole),
               "What the hardware selected from its low-precision scores."),
        figure(heat_map("Both", *axes, classes, MASK_CLASSES, **whole), "The two masks over each other.")]
    if len(names) > CROP:
        part = names[:CROP]
        figures.append(figure(
            heat_map(f"Both, the first {CROP} tokens", *axes, [row[:CROP] for row in classes[:CROP]], MASK_CLASSES,
                     x_names=part, y_names=part), "The upper left corner, with every token's name."))
    return figures


# ---- the whole model ----------------------------------------------------------------------------------------------


def name_of(row):
    """A detector of the study in words."""
    if row["detector"] in ("oracle", "random"):
        return {"oracle": "exact top connections", "random": "random selection"}[row["detector"]]
    size = f"sigma {row['sigma']:g}" if "sigma" in row else f"rank {row['rank']}"
    return f"{row['detector']} {row['precision']}, {size}"


def by_detector(rows):
    """Rows of the study grouped by detector, in their order: name -> list of rows."""
    groups = {}
    for row in rows:
        groups.setdefault(name_of(row), []).append(row)
    return groups


def _study(record):
    study = record["study"]
    if study is None:
        return section("The whole model", prose("Left out of this run (--no-study, or a job without a model)."))
    groups = by_detector(study["whole_model"])
    retentions = [row["retention"] for row in next(iter(groups.values()))]
    cosines = [(name, *(row["cosine"] for row in rows)) for name, rows in groups.items()]
    heads = [(name_of(row), *row["accuracy_per_layer"]) for row in study["heads"]]
    layers = len(study["heads"][0]["accuracy"])
    return section(
        "The whole model",
        prose(f"Detection in every head of every layer, in golden arithmetic; everything else float32. Sentence "
              f"embeddings of {study['evaluation_texts']} passages of {study['tokens']} tokens, calibrated on "
              f"{study['calibration_texts']} passages of other texts, no retraining. The cosine is to the embedding "
              "of the dense model; 1 is equal."),
        table("Cosine of the sentence embedding, mean over passages, by share of connections kept",
              ("detector", *(percent(retention) for retention in retentions)), cosines),
        *_study_charts(groups),
        table(f"Prediction accuracy at {percent(study['heads'][0]['retention'])} retention, mean over heads",
              ("detector", *(f"layer {layer}" for layer in range(layers))), heads),
        *_head_maps(study))


def _study_charts(groups):
    shown = [name for name in ("exact top connections", "svd INT4, rank 8", "ternary INT8, sigma 0.25",
                               "ternary INT4, sigma 0.25", "ternary INT2, sigma 0.25", "random selection")
             if name in groups]
    retention = line_chart("Embedding cosine and retention", "connections kept [%]", "cosine to the dense model [1]",
                           {name: [(100 * row["retention"], row["cosine"]) for row in groups[name]] for name in shown})
    figures = [figure(retention, "Quality of the whole model against the share of connections kept.")]
    sigmas = {}
    for name, rows in groups.items():
        for row in rows:
            if row["detector"] == "ternary" and row["retention"] == 0.1:
                sigmas.setdefault(f"ternary {row['precision']}", []).append((row["sigma"], row["cosine"]))
    sigmas = {name: sorted(points) for name, points in sigmas.items() if len(points) > 1}
    if sigmas:
        figures.append(figure(
            line_chart("Embedding cosine and sigma", "sigma = projected inputs / inputs [1]",
                       "cosine to the dense model [1]", sigmas),
            "The ternary detector at 10 % retention: more projected inputs cost more work and find more."))
    return figures


def _head_maps(study):
    figures = []
    for row in study["heads"]:
        if name_of(row) not in ("ternary INT4, sigma 0.25", "svd INT4, rank 8"):
            continue
        values, classes = shades(row["accuracy"], ACCURACY_EDGES)
        chart = heat_map(f"Prediction accuracy: {name_of(row)}", "head", "layer", values, classes,
                         x_names=[str(head) for head in range(len(values[0]))],
                         y_names=[str(layer) for layer in range(len(values))])
        figures.append(figure(chart, f"Share of the true top {percent(row['retention'])} found, by layer and head."))
        figures.append(table(f"Prediction accuracy: {name_of(row)}",
                             ("layer", *(f"head {head}" for head in range(len(values[0])))),
                             [(str(layer), *line) for layer, line in enumerate(row["accuracy"])]))
    return figures


# ---- what to make of it -------------------------------------------------------------------------------------------


def notes(record):
    """What a reader must know before using the numbers; a list of sentences."""
    reads, quality = record["reads"], record["quality"]
    lines = [
        f"Thesis, section 7.6.3, figures 7.14 and 7.15: two worked examples, 10 loads row by row against 5, and 12 "
        f"against 7. Here, on real masks: {reads['row_by_row']:,} against {reads['out_of_order']:,}.",
        "Thesis, section 7.4.3: prediction accuracy of 60 to 90 % at INT4 and 25 to 55 % at INT2, below 10 % for a "
        "random selection, on models retrained with 90 % sparsity on other tasks. Here: "
        f"{100 * quality['prediction_accuracy']:.0f} % for this head at {record['job']['precision']}, without "
        "retraining, on another model; the two are not the same experiment.",
        "The thesis' speed-ups (figure 7.17) are against a GPU and another accelerator, from a simulator. The "
        "speed-up here is between two programs on one lane, in cycles of the RTL. They cannot be compared.",
        "Thesis, section 7.6.5, finds the latency of the estimation negligible for its long sequences. The table of "
        "cycles shows what it is at this length: the estimation grows with the length times the model's width, dense "
        "attention with the square of the length.",
    ]
    if record["job"]["model"] != "synthetic":
        lines += _selection_effect(record["study"])
        lines.append("Built-in texts are Python's own documentation of the running Python version, so numbers move a "
                     "little from version to version.")
    return lines


def _selection_effect(study):
    if study is None or study["held_out"] is None:
        return []
    cosines = ", ".join(f"{name_of(row)} {row['cosine']:.3f}" for row in study["held_out"]["rows"])
    return ["Selection effect: the calibration's weighting by received attention was chosen after looking at the "
            f"evaluation passages of the whole-model table. On {study['held_out']['texts']} other passages, left alone "
            f"until then, at {percent(study['held_out']['rows'][0]['retention'])} retention: {cosines}."]


def page(record):
    """report.html: the whole page as text."""
    seconds = table("Wall-clock time", ("step", "seconds"), record["seconds"].items())
    return document("Attention on the simulated accelerator", _what(record), _cycles(record), _key_reads(record),
                    _selection(record), _study(record),
                    section("How to read these numbers", bullets(notes(record))), _configuration(record),
                    section("Time", seconds))


def summary(record):
    """A few lines for the terminal."""
    reads, quality, job = record["reads"], record["quality"], record["job"]
    words = sum(record["verification"]["words_compared"].values())
    lines = [f"RTL and golden model are equal bit for bit: {words:,} memory words, and counters",
             "", f"{'cycles':36}{'dense':>10}{'detect':>10}"]
    lines += [f"{phase:36}{dense:>10,}{detect:>10,}" for phase, dense, detect in phase_rows(record)]
    lines += [f"speed-up, {row['part']}: {row['speedup']:.2f} ({row['dense']:,} / {row['detect']:,})"
              for row in record["speedup"]]
    lines += ["", f"{'key vectors read':36}{'reads':>10}{'share':>10}"]
    lines += [f"{order:36}{reads[name]:>10,}{reads[name] / reads['row_by_row']:>10.2f}"
              for name, order in READS.items()]
    lines += ["", f"prediction accuracy {quality['prediction_accuracy']:.3f} (random "
              f"{quality['chance_accuracy']:.3f}), attention kept {quality['retained_mass']:.3f} (exact top: "
              f"{quality['oracle_mass']:.3f})",
              f"output error: dense {quality['output_error_dense']:.4f}, detect {quality['output_error_detect']:.3f}, "
              f"exact top {quality['output_error_oracle']:.3f}"]
    if record["study"] is not None:
        groups = by_detector(record["study"]["whole_model"])
        retentions = [row["retention"] for row in next(iter(groups.values()))]
        shares = "".join(f"{percent(share):>10}" for share in retentions)
        lines += ["", f"{'embedding cosine, whole model':36}{shares}"]
        lines += [f"{name:36}" + "".join(f"{row['cosine']:>10.3f}" for row in groups[name])
                  for name in _shown(groups, job)]
    return "\n".join(lines)


def _shown(groups, job):
    """The detectors worth a line in the summary: bounds, defaults, and the job's own."""
    size = f"sigma {job['sigma']:g}" if job["detector"] == "ternary" else f"rank {job['rank']}"
    wanted = {"exact top connections", "random selection", "ternary INT4, sigma 0.25", "svd INT4, rank 8",
              f"{job['detector']} {job['precision']}, {size}"}
    return [name for name in groups if name in wanted]


def write(record, folder):
    """Write both files into ``folder``; each appears whole or not at all."""
    return write_files(folder, {"report.html": page(record), "report.json": json.dumps(record, indent=1) + "\n"})
