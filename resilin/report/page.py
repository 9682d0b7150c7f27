"""The report as a page: report.html, one file, no scripts."""

from resilin.charts import line_chart, tree_map
from resilin.files import write_files
from resilin.html import bullets, code, document, figure, folded, prose, section, table
from resilin.report.collect import AS_PORTS, CLASSES, label, missed_period
from resilin.report.compare import LIMITS, OPEN_FLOW
from resilin.report.terminal import comparison_cells, overview

__all__ = ["hierarchy_tiles", "page", "write"]

#: Light enough for black text; of the units below the top, the largest first.
TINTS = ("#9ecae1", "#fdae6b", "#a1d99b", "#d4b9da", "#c7c2a8", "#f7b6d2", "#9fd8d3", "#c5cbe9")
OTHERS, OWN, MEMORY = "#d9d9d9", "#f2f2f2", "#f0e442"

NOTES = (
    "Areas are sums of cells. There are no wires in them, no placement and no clock tree; a layout is larger.",
    "Delays on standard cells are estimates from the cells' delays and loads, every net at its slowest slew: no wires, "
    "no clock tree, no variation. The critical path is the slowest one between registers, or between registers and "
    "memories without the memory's access time; paths from and to ports stand apart, what is outside is not known.",
    "A memory of standard-cell targets is bits times an area a bit, which is stated with the target; it never counts "
    "as logic. Small memories are registers and count as logic.",
    "GE, gate equivalents: area of logic over the area of the library's smallest two-input NAND.",
    OPEN_FLOW,
    "FPGA figures are resources after mapping; a frequency is there only after place and route. It is the median of "
    "the seeds, in a shell of registers.",
)


# ---- hierarchy ----------------------------------------------------------------------------------------------------


def hierarchy_tiles(record):
    """(tiles, classes) for :func:`resilin.charts.tree_map`: own logic of each unit, and memories, as areas.

    Equal instances are one tile, ``32 x name``. On FPGAs the areas are LUTs, without memories.
    """
    modules = {module["module"]: module for module in record["modules"]}
    top = record["modules"][0]
    asic = record["target"]["kind"] == "asic"
    key = "logic_um2" if asic else "lut"
    order = sorted(_groups(top, modules), key=lambda group: -group[2] * group[1]["all"][key])
    index = {name: min(place, len(TINTS)) for place, (name, _, _) in enumerate(order)}
    classes = [*((name, tint) for (name, _, _), tint in zip(order, TINTS)), ("other units", OTHERS),
               (f"{top['module']} itself", OWN), ("memory, by bits", MEMORY)]
    others = len(classes) - 3
    tiles = []

    def visit(module, path, count, colour):
        groups = list(_groups(module, modules))
        own = count * module["own"][key]
        name = path[-1] if path else top["module"]
        memories = module["memories"] if asic else []
        alone = not groups and not memories and path
        tiles.append((path if alone else (*path, f"{name} itself"), own, colour))
        for words, bits, um2 in _same_memories(memories, count):
            tiles.append(((*path, words), um2, others + 2))
        for words, child, number in groups:
            visit(child, (*path, words), count * number, colour if path else min(index[words], others))

    visit(top, (), 1, others + 1)
    return tiles, classes


def _groups(module, modules):
    """(words, module, number) of the units directly below a module; equal ones are one group."""
    prefix = next(iter(modules)) + "_"
    for child in module["children"]:
        names = child["instances"]
        words = names[0] if len(names) == 1 else f"{len(names)} x {child['module'].removeprefix(prefix)}"
        yield words, modules[child["module"]], len(names)


def _same_memories(memories, count):
    """(words, bits, um2) of the memories of a module, those of one size together."""
    sizes = {}
    for memory in memories:
        sizes.setdefault((memory["words"], memory["width"], memory["ports"]), []).append(memory)
    for (words, width, ports), same in sizes.items():
        number = count * len(same)
        name = f"memory {words} x {width} {ports}"
        yield (name if number == 1 else f"{number} x {name}", number * same[0]["bits"], number * same[0]["um2"])


def _hierarchy(result):
    record = result["record"]
    asic = record["target"]["kind"] == "asic"
    tiles, classes = hierarchy_tiles(record)
    parts = []
    if sum(value for _, value, _ in tiles):
        title = f"{result['block']} on {result['target']}: " + ("area of logic and memory" if asic else "LUTs")
        parts.append(figure(tree_map(title, "um2" if asic else "LUTs", tiles, classes),
                            "Everything has the area of its share. Frames are units, their equal instances together; "
                            "colours tell the units directly below the top. Point at a tile for its name and figures."))
    return [*parts, _modules(record, asic), _memories(record, asic)]


def _modules(record, asic):
    keys = {"logic_um2": "logic um2", "ge": "GE", "flops": "flip-flops", "memory_bits": "memory bits"} if asic else {
        "lut": "LUT", "ff": "FF", "dsp": "DSP", "bram": "BRAM", "memory_bits": "memory bits"}
    rows = [(module["module"], module["instances"], *(_whole(module["all"][key]) for key in keys),
             _whole(module["instances"] * module["own"][next(iter(keys))])) for module in record["modules"]]
    unit = next(iter(keys.values()))
    return folded(f"Modules ({len(rows)})", table(
        "One instance with everything below it; the last column: all instances, without what is below",
        ("module", "instances", *keys.values(), f"own {unit}, all"), rows))


def _memories(record, asic):
    rows = [(module["module"], memory["name"], module["instances"], memory["words"], memory["width"], memory["ports"],
             memory["bits"], *([_whole(memory["um2"])] if asic else []))
            for module in record["modules"] for memory in module["memories"]]
    if not rows:
        return prose("No memories." if not asic else
                     f"No memories of {record['options']['macro_bits']:,} bits or more.")
    target = record["target"]
    note = prose(f"Area of a bit: {target['bit_um2']:g} um2, {target['bit_source']}.") if asic else ""
    return note + folded(f"Memories ({len(rows)})", table(
        "Memories by module; figures of one", ("module", "memory", "instances", "words", "width", "ports", "bits",
                                               *(["um2"] if asic else [])), rows))


def _whole(value):
    return round(value) if isinstance(value, float) else value


# ---- one block on one target --------------------------------------------------------------------------------------


def _timing(record):
    if placed := record["place_and_route"]:
        path = placed["critical_path"]
        return [table(f"Place and route on {placed['part']}, aimed at {placed['frequency_mhz']:g} MHz",
                      ("seed", "MHz"), [(str(run["seed"]), run["fmax_mhz"]) for run in placed["runs"]]),
                prose(f"Critical path of the median: {path['start']} -> {path['end']}; logic {path['logic_ns']:g} ns, "
                      f"routing {path['routing_ns']:g} ns.")]
    if record["timing"] is None:
        return [prose("Resources only: not placed, so there is no clock frequency.")]
    found = {kind: path for kind, path in record["timing"].items() if path}
    rows = [(CLASSES[kind], path["ps"] / 1000, "-" if kind in AS_PORTS else round(1e6 / path["ps"]), path["start"],
             path["end"]) for kind, path in found.items()]
    cells = [folded(f"Cells of the path {CLASSES[kind]} ({len(path['path'])})", table(
        f"{path['start']} -> {path['end']}: {path['ps']:,.0f} ps, clock to output and setup included",
        ("cell", "output net", "arrival ps"), path["path"])) for kind, path in found.items()]
    return [table("Slowest path of each class", ("class", "ns", "MHz", "start", "end"), rows), *cells]


def _totals(record):
    total = record["total"]
    rows = [(name.replace("_", " "), _whole(value)) for name, value in total.items() if not isinstance(value, dict)]
    if record["target"]["kind"] == "asic":
        names = {"logic um2": "logic [um2]", "memory um2": "memory [um2]", "ge": "logic [GE]", "flops": "flip-flops"}
        rows = [(names.get(name, name), value) for name, value in rows]
    return table("Totals", ("what", "value"), rows)


def _curve(result):
    points = [(at["ns"], at["logic_um2"]) for at in result["sweep"] if at["ns"] is not None]
    if not result["sweep"]:
        return []
    rows = [(f"{at['period_ns']:g}", at["ns"], not at["ns"] or at["ns"] <= at["period_ns"], _whole(at["logic_um2"]),
             ", ".join(at["recipes"])) for at in result["sweep"]]
    parts = [table("Area and delay", ("period asked for [ns]", "critical path [ns]", "met", "logic [um2]", "recipes"),
                   rows)]
    if points:
        chart = line_chart(f"{result['block']} on {result['target']}: area and delay", "critical path [ns]",
                           "logic [um2]", {result["block"]: sorted(points)})
        parts.append(figure(chart, "Logic mapped for different periods; a point is what was reached, not asked for."))
    return parts


def _result(result):
    heading = f"{label(result)} on {result['target']}"
    parts = [prose(f"FAILED: {result['error']}")] if result["error"] else []
    if record := result["record"]:
        parts += [prose(missed)] if (missed := missed_period(record)) else []
        parts += [_totals(record), *_timing(record), *_curve(result), *_hierarchy(result)]
    parts.append(folded("Configuration", table("Fields", ("field", "value"), result["config"].items())))
    return section(heading, *parts)


# ---- the whole page -----------------------------------------------------------------------------------------------


def _comparison(comparison):
    headings, rows, reasons = comparison_cells(comparison)
    parts = []
    if rows:
        compared = [(line["label"], line["configuration"], " + ".join(line["blocks"]), line["kind"])
                  for line in comparison["lines"] if not line["why_not"]]
        parts = [prose(f"Scaling: {comparison['scaling']}."),
                 table("Areas in mm2, of logic unless the next table says memory", headings, rows),
                 prose(f"Our memories are apart: {comparison['bit_um2']:g} um2 a bit ({comparison['bit_source']}). "
                       "Whether the paper's units have memories inside is not told. A range is what the digits that "
                       "the paper prints leave."),
                 table("What is compared", ("unit", "in the paper", "ours", "area of"), compared), bullets(LIMITS)]
    if reasons:
        parts.append(folded("Left out of the comparison" if rows else "Nothing to compare, because", bullets(reasons)))
    return section(f"Beside {comparison['machine']}, on {comparison['target']}",
                   prose(f"The paper's figures: {comparison['source']} ({comparison['flow']})."), *parts)


def page(report):
    """report.html: the whole page as text."""
    tables = [table("Standard cells" if "GE" in headings else "FPGAs", headings, rows)
              for headings, rows in overview(report["results"])]
    failed = [f"{label(result)} on {result['target']}: {result['error']}" for result in report["results"]
              if result["error"]]
    return document(
        "Area, timing and memories of the blocks",
        section("Overview", prose(report["mapped"] + "."), *tables,
                *([prose("FAILED, so not or not wholly in this report:"), bullets(failed)] if failed else []),
                prose("To repeat it:"), code(report["command"]),
                table("Versions", ("tool", "version"), report["tools"].items())),
        section("How to read these numbers", bullets(NOTES)),
        *(map(_comparison, report["comparisons"])), *(map(_result, report["results"])))


def write(report, folder, text):
    """Write report.html, and ``text`` as report.json, into ``folder``; both appear whole or not at all. The paths."""
    return write_files(folder, {"report.html": page(report), "report.json": text})
