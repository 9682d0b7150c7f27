"""The record of ``resilin run classify`` as text, and as a page (report.html, one file, no scripts)."""

import json

from resilin.charts import line_chart
from resilin.enmc.classify_record import BINS, CLOCK
from resilin.files import write_files
from resilin.html import code, document, figure, prose, section
from resilin.html import table as html_table
from resilin.tables import table

__all__ = ["FILES", "page", "summary", "tables", "write"]

FILES = ("report.html", "report.json", "report.txt")
#: Ways to classify, with what they are.
WAYS = {"both": "candidates beside screening", "one_after_other": "candidates after screening",
        "single_module": "screening in FP32 too", "full": "full classification"}
UNITS = {"screener": "Screener", "executor": "Executor", "overlap": "both at once", "reads": "data bus"}
#: What the ways are, for the page and the text.
NOTES = (
    "candidates after screening: the same units one after the other: a program that finds no candidates, then one that "
    "computes those.",
    "screening in FP32 too: a near-memory unit without a Screener: the Executor's 16 FP32 lanes score all classes from "
    "k FP32 weights, then compute the same candidates. Its comparison with the threshold costs nothing here.",
    "screening in FP32 and full classification of the whole layer: the cycle model.",
    "Cycles: from the first instruction to the last one's end.")


def _share(value):
    return f"{value:.1%}"


def _what(record):
    run = record["run"]
    sizes = (f"{record['classes']} classes of {record['hidden']} inputs, k = {record['k']}, {record['projection']} "
             f"projection, {record['items']} item{'s' * (record['items'] > 1)}")
    how = ("RTL: every answer and every byte of the DRAM equal the golden rank's" if record["how"] == "rtl"
           else "golden rank and cycle model, no RTL")
    found = ", ".join(str(item["candidates"]) for item in run["answers"])
    wanted = "given" if record["wanted"] is None else f"for {record['wanted']} candidates an item"
    return [f"{record['model']}: {sizes}; {how}",
            f"threshold {record['threshold']:.3f} ({wanted}); candidates of the items on the rank: {found}; of "
            f"{record['vectors']} vectors of evaluation: mean {record['candidates']['mean']:.1f}, 95 % at most "
            f"{record['candidates']['most_95']}, greatest {record['candidates']['most']}"]


def tables(record):
    """(caption, headings, rows) of everything but the timeline."""
    run = record["run"]
    yield "Answers", ("item", "candidates", "greatest is one", "same greatest", "of the greatest 5"), [
        (number, item["candidates"], "yes" if item["found1"] else "no", "yes" if item["top1"] else "no",
         f"{item['top5']:.2f}") for number, item in enumerate(run["answers"])]
    moved = run["bytes"]
    yield "DRAM bytes of screening", ("what", "bytes", "of full classification"), [
        (words, moved[key], _share(moved[key] / moved["full_least"])) for key, words in (
            ("screening", "screening weights"), ("int4_features", "INT4 features"), ("rows", "rows of candidates"),
            ("fp32_features", "FP32 features, for each group"), ("read", "all reads"), ("written", "all writes"),
            ("full_least", "full: each row, each item's features once"))]
    yield from _cycle_tables(run, record["items"])
    yield from _scale_tables(record["scale_out"])
    beside = [*run["beside_model"], *record["scale_out"]["beside_model"]]
    if beside:
        rows = [(each["program"], each["cycles"], each["model"], f"{each['model'] / each['cycles']:.4f}")
                for each in beside]
        yield "RTL and cycle model", ("program", "RTL", "model", "model / RTL"), rows
    if record["study"] is not None:
        yield from _study_tables(record["study"])


def _cycle_tables(run, items):
    cycles = run["cycles"]
    yield "Cycles of the whole layer", ("how", "cycles", "an item", f"us at {CLOCK} MHz", "ENMC is faster by"), [
        (words, cycles[key], round(cycles[key] / items), f"{cycles[key] / CLOCK:.1f}",
         f"{cycles[key] / cycles['both']:.2f}") for key, words in WAYS.items()]
    rows = [("Screener", run["busy"]["screener"]), ("Executor", run["busy"]["executor"]),
            ("both at once", run["busy"]["overlap"]), ("screening alone", cycles["alone"]),
            ("candidates alone", cycles["candidates"])]
    if cycles["probabilities"] is not None:
        rows.append(("screening with softmax", cycles["probabilities"]))
    yield "Parts", ("what", "cycles", "of screening"), [
        (words, number, _share(number / cycles["both"])) for words, number in rows]
    yield "Data bus", ("program", "share of its peak", "rows opened (cycle model)"), [
        (words, _share(run["utilisation"][key]), run["activates"][key]) for key, words in (
            ("both", "screening"), ("alone", "screening, no candidates"), ("candidates", "candidates alone"),
            ("full", "full classification"))]


def _scale_tables(scale):
    yield (f"Cycles of a rank with {scale['share']} classes", ("candidates", "cycles"),
           [(each["candidates"], each["cycles"]) for each in scale["curve"]])
    columns = [(how, name) for how in scale["divisions"] for name in ("own", "all")]
    picked = [scale["divisions"][how][name] for how, name in columns]
    headings = ("us, means", *(f"{how}, {'this' if name == 'own' else 'all'}" for how, name in columns))
    rows = [("candidates of a rank, mean", *(f"{each['candidates_mean']:.1f}" for each in picked)),
            ("of the slowest rank", *(f"{each['candidates_slowest']:.1f}" for each in picked)),
            ("most of any", *(each["candidates_most"] for each in picked))]
    for key, words in (("features", "features to the ranks"), ("instructions", "instructions (beside the ranks)"),
                       ("mean", "a rank works"), ("slowest", "the slowest works"), ("results", "fetch all results"),
                       ("log", "or the candidates alone"), ("with_results", "all, with results"),
                       ("with_results_95", "of 95 %"), ("with_log", "all, with candidates"),
                       ("with_log_95", "of 95 %")):
        rows.append((words, *(f"{each['us'][key]:.2f}" for each in picked)))
    yield f"{scale['channels']} channels of {scale['ranks']} ranks, {scale['batches']} batches", headings, rows
    own = [(how, fetched, each["own"]["us"][f"with_{fetched}"]) for how, each in scale["divisions"].items()
           for fetched in ("results", "log")]
    yield "All ranks faster by, this batch", ("than", "us", *(
        f"{how}, {'results' if fetched == 'results' else 'candidates'}" for how, fetched, _ in own)), [
            (words, f"{scale[key]:.1f}", *(f"{scale[key] / time:.1f}" for _, _, time in own)) for key, words in (
                ("one_rank_us", "one rank"),
                ("cpu_full_us", f"full layer read at {scale['bandwidth'] / 1e9:.1f} GB/s"),
                ("cpu_screening_us", "bytes of screening read so"))]
    yield "The slowest rank of this batch", ("division", "candidates", "cycles", "by the curve"), [
        (each["division"], each["candidates"], each["cycles"], each["curve"]) for each in scale["checks"]]


def _study_tables(study):
    for name, full in study["sets"].items():
        known = "" if full["perplexity"] is None else f", perplexity of the full layer {full['perplexity']:.2f}"
        yield f"Agreement, {name}: {full['vectors']} vectors{known}", (
            "k", "wanted", "candidates", "95 %", "found 1", "top 1", "top 5", "perplexity", "bytes"), [
                (row["k"], row["count"], row["candidates"], row["candidates_95"], row["found1"], row["top1"],
                 row["top5"], "-" if row["perplexity"] is None else row["perplexity"], f"{row['bytes']:.2%}")
                for row in study["rows"] if row["text"] == name]


def _strip(shares):
    """A character a part of the time: tenths, ``.`` below one, ``#`` for all."""
    return "".join("#" if share >= 0.95 else "." if share < 0.05 else str(min(9, round(share * 10)))
                   for share in shares)


def summary(record):
    """Text for the terminal."""
    lines = _what(record)
    for caption, headings, rows in tables(record):
        lines += ["", f"-- {caption}", *table(headings, rows)]
    times = record["run"]["timeline"]
    lines += ["", f"-- Who works when: {BINS} parts of {times['cycles']} cycles; tenths, # all, . nothing"]
    lines += [f"{words:13}{_strip(times[key])}" for key, words in UNITS.items()]
    lines += ["", *NOTES]
    return "\n".join(lines) + "\n"


def page(record):
    """The page as HTML text."""
    parts = [section("What this is", *map(prose, _what(record)), code(record["command"]))]
    times = record["run"]["timeline"]
    chart = line_chart("Who works when", "cycles since the program began [cycles]", "share of the time [1]", {
        words: [((place + 0.5) * times["cycles"] / BINS, share) for place, share in enumerate(times[key])]
        for key, words in UNITS.items()})
    source = "Counters of the RTL, read by QUERY while it runs." if record["how"] == "rtl" else "By the cycle model."
    parts.append(section("Screener and Executor", figure(chart, source), *map(prose, NOTES)))
    parts.append(section("Figures", *(html_table(*each) for each in tables(record))))
    return document("Screening of an output layer on an ENMC rank", *parts)


def write(record, folder):
    """Write :data:`FILES` into a folder; their paths."""
    return write_files(folder, dict(zip(FILES, (page(record), json.dumps(record, indent=2) + "\n", summary(record)))))
