"""The report as text for the terminal."""

from resilin.report.collect import critical_path, label, missed_period

__all__ = ["comparison_cells", "overview", "summary"]

_RESOURCES = ("lut", "carry", "ff", "dsp", "bram")
_WORDS = ("target", "critical path")


def _critical_cells(record):
    path = critical_path(record)
    return (f"{path['ns']:.2f}", f"{path['mhz']:,.0f}", f"{path['start']} to {path['end']}") if path else ("-",) * 3


def _count(value):
    """BRAMs may be halves."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def overview(results):
    """Tables of blocks by targets as (headings, rows of text), one for standard cells and one for FPGAs; areas in um2,
    logic and memory apart. What failed is in neither."""
    asic, fpga = [], []
    for result in results:
        if not (record := result["record"]):
            continue
        total = record["total"]
        names = (label(result), result["target"])
        if record["target"]["kind"] == "asic":
            asic.append((*names, f"{total['logic_um2']:,.0f}", f"{total['ge']:,.0f}", f"{total['flops']:,}",
                         f"{total['memory_bits']:,}", f"{total['memory_um2']:,.0f}", *_critical_cells(record)))
        else:
            fpga.append((*names, *(_count(total[name]) for name in _RESOURCES), f"{total['memory_bits']:,}",
                         *_critical_cells(record)))
    path = ("ns", "MHz", "critical path")
    return [(headings, rows) for headings, rows in (
        (("block", "target", "logic um2", "GE", "flip-flops", "memory bits", "memory um2", *path), asic),
        (("block", "target", *(name.upper() for name in _RESOURCES), "memory bits", *path), fpga)) if rows]


def comparison_cells(comparison):
    """The lines of a comparison that have figures of ours, as (headings, rows of text, reasons why the others have
    none); areas in mm2."""
    def mm2(value):
        return "-" if value is None else f"{value:.4g}"

    def factor(value):
        return "-" if value is None else f"{value:.2f}"

    def share(value):
        return "-" if value is None else f"{100 * value:.3g} %"

    reference = comparison["reference"]
    headings = ("unit", f"paper, {comparison['node_nm']} nm", "paper, scaled", f"ours, {comparison['target']}",
                "ours / scaled", f"paper / its {reference}", f"ours / our {reference}", "ratio of ratios",
                "our memory, apart", "our ns")
    rows, reasons = [], {}
    for line in comparison["lines"]:
        if line["why_not"]:
            reasons.setdefault(line["why_not"], []).append(line["label"])
            continue
        ratio = factor(line["ratio"])
        if line["ratio"] and line["ratio_range"][1] / line["ratio_range"][0] > 1.1:
            ratio += " ({:.2f} to {:.2f})".format(*line["ratio_range"])
        rows.append((line["label"], mm2(line["paper_mm2"]), mm2(line["scaled_mm2"]), mm2(line["ours_mm2"]), ratio,
                     share(line["paper_to_reference"]), share(line["ours_to_reference"]), factor(line["of_ratios"]),
                     mm2(line["memory_mm2"]) if line["kind"] == "logic" else "-", factor(line["ns"])))
    return headings, rows, [f"{', '.join(labels)}: {reason}" for reason, labels in reasons.items()]


def _lines(headings, rows):
    """A table as lines; columns of words to the left, of numbers to the right."""
    table = [headings, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
    left = (0, *(column for column, heading in enumerate(headings) if heading in _WORDS))
    return ["  ".join(cell.ljust(width) if column in left else cell.rjust(width)
                      for column, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in table]


def summary(report):
    """The whole report as text."""
    lines = [", ".join(f"{name} {version}" for name, version in report["tools"].items()), report["mapped"]]
    for headings, rows in overview(report["results"]):
        lines += ["", *_lines(headings, rows)]
    for result in report["results"]:
        name = f"{label(result)} on {result['target']}"
        lines += [f"FAILED: {name}: {result['error']}"] if result["error"] else []
        if result["record"] and (missed := missed_period(result["record"])):
            lines.append(f"{name}: {missed}")
        lines += [f"{name}, {_swept(at)}" for at in result["sweep"]]
    for comparison in report["comparisons"]:
        headings, rows, reasons = comparison_cells(comparison)
        title = f"beside {comparison['machine']} on {comparison['target']}"
        if not rows:
            lines += ["", f"{title}: nothing to compare, report.html says why (try --preset paper)"]
            continue
        lines += ["", f"{title}: {comparison['source']}; {comparison['flow']}; mm2", comparison["scaling"],
                  *_lines(headings, rows), *(f"left out: {reason}" for reason in reasons),
                  "the paper's flow is another than ours: report.html says what these ratios hold"]
    return "\n".join(lines)


def _swept(at):
    """A point of an area-delay curve."""
    reached = "no registers" if at["ns"] is None else f"{at['ns']:.2f} ns"
    missed = ", NOT MET" if at["ns"] and at["ns"] > at["period_ns"] else ""
    return f"period {at['period_ns']:g} ns: {at['logic_um2']:,.0f} um2, {reached}{missed}"
