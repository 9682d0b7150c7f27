"""Our blocks beside the papers' tables: scaled areas, and ratios inside one technology."""

from resilin.published import AREA_SOURCE, MACHINES, area_factor
from resilin.report.collect import critical_path

__all__ = ["LIMITS", "OPEN_FLOW", "compare"]

#: What must be said of every figure, and
OPEN_FLOW = (
    "Open flows give larger area and delay than Design Compiler (published: 1.5 times the area on a small state "
    "machine, 1.6 times between two scripts of Yosys). Ratios inside one report are safer than absolute figures.")
#: what more where a paper's figure stands beside ours.
LIMITS = (
    "The paper's flow is another than ours: a ratio to its areas holds the difference of the flows as well as of the "
    "designs. Our areas have no wires.",
    "Relative to the reference unit, both sides stay inside one technology and one flow: these ratios need no scaling.",
    "Speeds differ: ours is at the delay that the table gives, the paper's at the paper's clock.",
    "Logic is compared with logic and memory with memory. The area of our memories is bits times an area a bit, which "
    "stands with the target; it is not synthesized.",
    "A scaling factor is a mean over circuits. It is for logic; memories shrink less.",
)


def _below(path, part):
    """Whether a path belongs to the instance ``part``, or that is empty."""
    # Amaranth appends $ and a number to an instance's name that something else has, too.
    parts = part.split(".") if part else []
    return [name.split("$")[0] for name in path.split(".")][:len(parts)] == parts


def _memory(record, part):
    """(bits, um2) of a record's memories, or of those below its instance ``part``."""
    kept = [memory for memory in _all_memories(record) if _below(memory[0], part)]
    return sum(bits for _, bits, _ in kept), sum(um2 for _, _, um2 in kept)


def _logic(record, part):
    """um2 of a record's logic, or of its instance ``part``; ``None`` where that was not synthesized by itself."""
    if not part:
        return record["total"]["logic_um2"]
    area = {module["module"]: module["all"]["logic_um2"] for module in record["modules"]}
    found = [area[child["module"]] for child in record["modules"][0]["children"]
             for instance in child["instances"] if _below(instance, part)]
    return sum(found) if found else None


def _all_memories(record):
    """(path, bits, um2) of each memory of a record, instance by instance."""
    modules = {module["module"]: module for module in record["modules"]}

    def below(module, path):
        for memory in module["memories"]:
            yield f"{path}{memory['name']}", memory["bits"], memory["um2"]
        for child in module["children"]:
            for instance in child["instances"]:
                yield from below(modules[child["module"]], f"{path}{instance}.")

    return below(record["modules"][0], "")


def _ours(match, results):
    """Our side of a match, or why there is none."""
    lacking, records = [], []
    for name in match.blocks:
        result = results.get(name)
        if result is None:
            lacking.append(f"{name} is not in this report")
        elif (result["preset"], result["changes"]) != ("paper", {}):
            lacking.append(f"{name} is not in its preset paper")
        elif result["record"] is None:
            lacking.append(f"{name} failed")
        else:
            records.append(result["record"])
            areas = _memory(result["record"], match.part)[0], _logic(result["record"], match.part)
            if not areas[match.kind == "logic"]:
                lacking.append(f"{name} has no {match.kind} of its own in {match.part or 'it'}")
    if lacking:
        return {"why_not": "; ".join(lacking)}
    bits, um2 = (sum(values) for values in zip(*(_memory(record, match.part) for record in records)))
    logic = sum(_logic(record, match.part) or 0 for record in records)
    paths = [path for path in map(critical_path, records) if path and match.kind == "logic"]
    return {"why_not": None, "ours_mm2": (um2 if match.kind == "memory" else logic) * match.ours / 1e6,
            "memory_bits": round(bits * match.ours), "memory_mm2": um2 * match.ours / 1e6,
            "ns": max((path["ns"] for path in paths), default=None)}


def _scaling(machine, node_nm):
    """Factor from the paper's node to ours with its explanation; (``None``, why not) where there is none."""
    try:
        (ours, our_source), (theirs, their_source) = area_factor(node_nm), area_factor(machine.node_nm)
    except ValueError as error:
        return None, f"areas are not scaled: {error}"
    return ours / theirs, (f"area at {machine.node_nm} nm x {ours / theirs:.3g} = area at {node_nm} nm; relative to "
                           f"45 nm: {machine.node_nm} nm {theirs:.3g} ({their_source}), {node_nm} nm {ours:.3g} "
                           f"({our_source}); {AREA_SOURCE}")


def _line(machine, match, results, factor):
    row = machine.row(match.row) if match.row else None
    line = {"label": match.label, "kind": match.kind, "blocks": list(match.blocks), "paper_mm2": None,
            "scaled_mm2": None, "ours_mm2": None, "memory_bits": None, "memory_mm2": None, "ns": None, "ratio": None,
            "ratio_range": None, "paper_to_reference": None, "ours_to_reference": None, "of_ratios": None,
            "configuration": row.configuration if row else None, **_ours(match, results)}
    if row:
        value, bounds = row.area
        line["paper_mm2"] = value * match.theirs
        if factor:
            line["scaled_mm2"] = line["paper_mm2"] * factor
            if line["ours_mm2"] is not None:
                line["ratio"] = line["ours_mm2"] / line["scaled_mm2"]
                line["ratio_range"] = [line["ratio"] * value / bound for bound in reversed(bounds)]
    return line


def _relate(lines, reference):
    """Fill in what each line is of the reference, on either side; logic only."""
    for line in lines:
        if line["kind"] != "logic":
            continue
        for side in ("paper", "ours"):
            if line[f"{side}_mm2"] is not None and reference[f"{side}_mm2"] is not None:
                line[f"{side}_to_reference"] = line[f"{side}_mm2"] / reference[f"{side}_mm2"]
        if line["paper_to_reference"] and line["ours_to_reference"]:
            line["of_ratios"] = line["ours_to_reference"] / line["paper_to_reference"]


def compare(results):
    """Comparisons with every machine of :mod:`resilin.published` that has a block among ``results``, one for each
    target of standard cells: a list of dicts. Areas in mm2, delays in ns; ``lines`` without ours say why in
    ``why_not``."""
    targets = {result["target"]: result["record"]["target"] for result in results
               if result["record"] and result["record"]["target"]["kind"] == "asic"}
    found = []
    for machine in MACHINES:
        names = {name for match in machine.matches for name in match.blocks}
        for target, facts in targets.items():
            here = {result["block"]: result for result in results if result["target"] == target}
            if not names & set(here):
                continue
            factor, scaling = _scaling(machine, facts["node_nm"])
            lines = [_line(machine, match, here, factor) for match in machine.matches]
            _relate(lines, next(line for line in lines if line["label"] == machine.reference))
            found.append({"machine": machine.name, "source": machine.source, "flow": machine.flow,
                          "node_nm": machine.node_nm, "target": target, "target_node_nm": facts["node_nm"],
                          "factor": factor, "scaling": scaling, "reference": machine.reference,
                          "bit_um2": facts["bit_um2"], "bit_source": facts["bit_source"], "lines": lines})
    return found
