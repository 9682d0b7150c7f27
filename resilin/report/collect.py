"""What a report is made of: a result for every block and target, also where it failed."""

import importlib.metadata
import platform
import traceback

from resilin.options import changed_fields

__all__ = ["AS_PORTS", "CLASSES", "collect", "critical_path", "label", "missed_period", "ok", "tools"]

#: Class of a timing path -> in words.
CLASSES = {"register": "register to register", "memory": "from or to memory, without its access time",
           "input": "input to register", "output": "register to output", "through": "input to output"}
#: Classes that depend on what is outside of the block: not part of its clock frequency.
AS_PORTS = ("input", "output", "through")


def ok(result):
    """Whether everything that was asked of a result is there."""
    return result["error"] is None


def label(result):
    """A result's block and configuration in words."""
    changes = "".join(f", {name} = {value}" for name, value in result["changes"].items())
    return f"{result['block']} ({result['preset']}{changes})"


def critical_path(record):
    """The path that limits the clock of a record, or ``None`` where nothing is known: ``ns``, ``mhz``, ``start``,
    ``end`` and ``class``. On standard cells the slower one of the classes ``register`` and ``memory``; on FPGAs what
    place and route found."""
    if placed := record["place_and_route"]:
        path = placed["critical_path"]
        return {"ns": 1000 / placed["fmax_mhz"], "mhz": placed["fmax_mhz"], "start": path["start"], "end": path["end"],
                "class": "placed and routed"}
    if record["timing"] is None:
        return None
    inside = [(path["ps"], name, path) for name, path in record["timing"].items() if path and name not in AS_PORTS]
    if not inside:
        return None
    ps, name, path = max(inside, key=lambda item: item[0])
    return {"ns": ps / 1000, "mhz": 1e6 / ps, "start": path["start"], "end": path["end"], "class": name}


def _point(record):
    """A point of an area-delay curve."""
    path = critical_path(record)
    return {"period_ns": record["options"]["period_ns"], "logic_um2": record["total"]["logic_um2"],
            "ns": path["ns"] if path else None,
            "recipes": sorted({module["recipe"] for module in record["modules"]})}


def missed_period(record):
    """What to say when a record does not meet the period that was asked for, or ``None``."""
    period, path = record["options"]["period_ns"], critical_path(record)
    if period is None or path is None or path["ns"] <= period:
        return None
    return f"NOT MET: {path['ns']:.3f} ns for a period of {period:g} ns"


def collect(requests, synthesize, *, stop=False, tell):
    """Results of ``requests``, in their order.

    Parameters: ``requests`` a list of (block, configuration, target name, options, options of the sweep);
    ``synthesize`` with the signature of :func:`resilin.synthesis.synthesis_record`; ``stop`` whether an error ends
    the report, instead of being noted in it; ``tell(text)`` hears of progress.

    A result is a dict: ``block``, ``preset``, ``changes``, ``config``, ``target``, ``record`` (``None`` where it
    failed), ``sweep`` (list of points ``period_ns``, ``logic_um2``, ``ns``, ``recipes``) and ``error`` (text or
    ``None``).
    """
    results = []
    for number, (block, config, target, options, sweep) in enumerate(requests, 1):
        name = f"{block.name} on {target}"
        tell(f"{name} ({number} of {len(requests)})")
        preset, changes = changed_fields(config)
        result = {"block": block.name, "preset": preset, "changes": changes, "config": config.to_dict(),
                  "target": target, "record": None, "sweep": [], "error": None}
        results.append(result)
        try:
            result["record"] = synthesize(block, config, target, options, lambda text: tell(f"  {text}"))
            for at in sweep:
                tell(f"  period {at.period_ns:g} ns")
                result["sweep"].append(_point(synthesize(block, config, target, at, None)))
        except Exception as error:
            if stop:
                raise
            result["error"] = f"{type(error).__name__}: {error}"
            tell(f"{name} failed: {traceback.format_exception_only(error)[-1].strip()}")
    return results


def tools(results):
    """Tool -> version, of everything that took part."""
    found = {name: importlib.metadata.version(name) for name in ("resilin", "amaranth")}
    found["python"] = platform.python_version()
    for result in results:
        if record := result["record"]:
            found.update(record["tools"])
            found.update((record["place_and_route"] or {}).get("tools", {}))
    return found
