"""Quality of results: what the blocks cost now, against the committed baseline."""

import json
import pathlib

from resilin import registry
from resilin.files import write_files

__all__ = ["BASELINE", "LIMIT", "METRICS", "TARGETS", "compare", "load", "measure", "table", "update"]

BASELINE = pathlib.Path(__file__).resolve().parents[1] / "synth" / "qor_baseline.json"
#: Relative change that needs a new baseline in the same commit, in either direction.
LIMIT = 0.02
TARGETS = ("nangate45", "ecp5")
#: Those of :data:`TARGETS` that a block's ``asic_presets`` are not measured for.
FPGA_TARGETS = ("ecp5",)
#: Kind of target -> figures that are compared.
METRICS = {"asic": ("logic_um2", "flops", "memory_bits", "register_ps"),
           "fpga": ("lut", "ff", "dsp", "bram", "memory_bits")}


def load(path=BASELINE):
    """The baseline: ``{"tools": {name: version}, "figures": {"block/preset/target": {metric: value}}}``.

    Raises ``ValueError`` for a file of another form; one that does not exist is an empty baseline.
    """
    if not path.exists():
        return {"tools": {}, "figures": {}}
    try:
        value = json.loads(path.read_text())
        tools, figures = value["tools"], value["figures"]
        return {"tools": dict(tools), "figures": {key: dict(row) for key, row in figures.items()}}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no baseline: {error!r}") from None


def figures(record):
    """The compared figures of a synthesis record."""
    timing = (record["timing"] or {}).get("register")
    values = {**record["total"], "register_ps": timing["ps"] if timing else 0}
    return {name: values[name] for name in METRICS[record["target"]["kind"]]}


def measure(presets, targets=TARGETS, blocks=None, tell=None):
    """The figures of every registered block (or those named) in each of the presets, and the tools' versions.

    Presets that no FPGA holds (:attr:`resilin.registry.Block.asic_presets`) are left out there.
    """
    from resilin.synthesis import synthesis_record
    from synth.synthesize import Options

    found = {"tools": {}, "figures": {}}
    for block in map(registry.find, blocks or [block.name for block in registry.BLOCKS]):
        for preset in presets:
            config = block.config_class.preset(preset)
            for target in targets:
                if preset in block.asic_presets and target in FPGA_TARGETS:
                    continue
                key = f"{block.name}/{preset}/{target}"
                if tell:
                    tell(key)
                record = synthesis_record(block, config, target, Options())
                found["figures"][key] = figures(record)
                found["tools"].update(record["tools"])
    return found


def compare(baseline, measured):
    """Rows (key, metric, baseline, now, change, whether that is too much) of every measured figure.

    ``change`` is relative; ``None`` where the baseline has no such figure, which is too much as well.
    """
    rows = []
    for key, values in measured["figures"].items():
        before = baseline["figures"].get(key, {})
        for metric, now in values.items():
            old = before.get(metric)
            if old is None:
                change = None
            else:
                change = now / old - 1 if old else (0.0 if now == 0 else float("inf"))
            rows.append((key, metric, old, now, change, change is None or abs(change) > LIMIT))
    return rows


def table(rows, every=False):
    """The rows that changed, or every one, as text."""
    shown = [row for row in rows if every or row[4] != 0]
    lines = [("block/preset/target", "figure", "baseline", "now", "change", "")]
    for key, metric, old, now, change, bad in shown:
        lines.append((key, metric, "-" if old is None else f"{old:,.10g}", f"{now:,.10g}",
                      "new" if change is None else f"{change:+.2%}", "FAIL" if bad else ""))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = "\n".join("  ".join(cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width)
                               in enumerate(zip(line, widths))).rstrip() for line in lines)
    return text if shown else "nothing changed"


def update(baseline, measured, path=BASELINE):
    """Write the measured figures into the baseline; those of blocks and presets not measured stay as they are."""
    known = {f"{block.name}/{preset}" for block in registry.BLOCKS for preset in block.config_class.PRESETS}
    merged = {**baseline["figures"], **measured["figures"]}
    value = {"tools": {**baseline["tools"], **measured["tools"]},
             "figures": {key: merged[key] for key in sorted(merged) if key.rpartition("/")[0] in known}}
    write_files(path.parent, {path.name: json.dumps(value, indent=1) + "\n"})
