"""Programs of the DUET accelerator on the simulated RTL, the whole DRAM compared with the golden machine's."""

import dataclasses
import pathlib
import tempfile

import numpy as np

from golden.duet.command import CopyOp, Engine
from golden.duet.cycles import CycleModel
from golden.duet.program import Program
from golden.duet.timeline import Timeline
from golden.duet.works import Recorder
from resilin.duet_machine import machine_timing
from resilin.progress import followed

__all__ = ["Mismatch", "ProgramRun", "compare", "compare_ends", "golden_runs", "run_programs"]


class Mismatch(AssertionError):
    """The hardware and its golden model differ; the message names the program, the place and both values."""


@dataclasses.dataclass(frozen=True, eq=False)
class ProgramRun:
    """A program's run: what the golden machine says, and cycles of the RTL, or of the cycle model where it was not run.

    ``dram``: INT16 (lines, C S), what the program leaves, all of which is compared; ``works``: number of a command ->
    its work (``golden.duet.works``); ``macs``: multiplications; ``moved``: lines by name of the DMA's operation;
    ``ends``: for each engine the cycles in which its commands ended; ``model_ends``: the cycle model's, whose
    ``timeline`` says what happened when; ``counters``: of the RTL, by name.
    """

    program: Program
    dram: np.ndarray
    works: dict
    macs: int
    moved: dict
    ends: list
    model_ends: list
    timeline: Timeline
    counters: dict | None = None

    @property
    def cycles(self):
        """Cycles from the first command to the last one's end."""
        return max(map(max, filter(None, self.ends)))


def golden_runs(programs, config):
    """``programs``, a dict of name -> Program, one after another on the golden machine: name -> :class:`ProgramRun`.

    ``config``: of the accelerator, which the cycle model takes its latencies from.
    """
    runs, data, maps, timing = {}, 0, 0, machine_timing(config)
    for name, program in programs.items():
        machine = Recorder(program.sizes, program.dram)
        machine.data[:], machine.maps[:] = data, maps  # what the program before left
        machine.run(program.commands)
        data, maps = machine.data.copy(), machine.maps.copy()
        model = CycleModel(timing, program.commands, machine.works)
        runs[name] = ProgramRun(program, machine.dram.copy(), machine.works, machine.macs,
                                {op.name: int(machine.moved[op]) for op in CopyOp}, model.ends, model.ends,
                                model.timeline)
    return runs


def run_programs(programs, config, *, preset=None, seed=1, simulator="verilator", timeout=3600,
                 progress=lambda line: None):
    """Run ``programs``, a dict of name -> Program, one after another on the RTL: name -> :class:`ProgramRun`.

    Raises :class:`Mismatch` at any word of the DRAM that differs, at a command that does not end when the cycle model
    says, and what ``simulate_component`` raises.
    """
    from resilin import duet_bench
    from resilin.registry import find
    from resilin.simulate import simulate_component

    runs = golden_runs(programs, config)
    with tempfile.TemporaryDirectory(prefix="resilin-duet-") as folder:
        duet_bench.store_programs(folder, [(name, np.array(program.dram, np.int64),
                                            [_fields(command) for command in program.commands])
                                           for name, program in programs.items()])
        with followed(pathlib.Path(folder) / "progress", progress):
            simulate_component(
                find("duet_accelerator").component_class(config, assertions=True), duet_bench.__name__,
                name="duet_accelerator", config=config.to_dict(), preset=preset, options={"folder": folder}, seed=seed,
                simulator=simulator, timeout=timeout, quiet=True)
        results = duet_bench.load_results(folder)
    for (name, run), found in zip(runs.items(), results, strict=True):
        compare(name, run.dram, found.lines)
        compare_ends(name, run.model_ends, found.ends)
        runs[name] = dataclasses.replace(run, ends=found.ends, counters=found.counters)
    return runs


def _fields(command):
    return {**dataclasses.asdict(command), "engine": int(Engine(command.engine))}


def compare(name, expected, found):
    """Raise :class:`Mismatch` where the DRAM that was found, (lines, words), is not what is expected."""
    wrong = expected != found
    if wrong.any():
        line, word = (int(place[0]) for place in np.nonzero(wrong))
        raise Mismatch(f"program {name}: line {line}, word {word} of the DRAM: expected {int(expected[line, word])}, "
                       f"got {int(found[line, word])} ({int(wrong.sum())} of {wrong.size} words differ)")


def compare_ends(name, expected, found):
    """Raise :class:`Mismatch` where a command ends some cycles earlier or later than the first of all that end.

    The model counts from the transfer of the first command, the bench from a few cycles before.
    """
    late = min(map(min, filter(None, found))) - min(map(min, filter(None, expected)))
    for engine, ours, theirs in zip(Engine, expected, found, strict=True):
        for place, (model, got) in enumerate(zip(ours, theirs, strict=True)):
            if model + late != got:
                raise Mismatch(f"program {name}: command {place} of {engine.name} ends in cycle {got}, not in "
                               f"{model + late}")
