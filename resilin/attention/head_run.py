"""One attention head on a simulated lane, dense and with detection, every written word compared with golden."""

import dataclasses
import pathlib
import tempfile

import numpy as np

from golden.dota.dsa import integer_head
from golden.dota.head import plan_head
from golden.dota.lane import Lane, Statistics
from golden.dota.program import LaneSize, regions, unpack
from resilin.progress import followed

__all__ = ["HeadRun", "Mismatch", "ProgramRun", "greatest_tokens", "run_head"]

#: Counters of the hardware that the golden model knows exactly.
EXACT = ("rmmu_beats", "key_reads", "value_reads", "rounds", "connections")


class Mismatch(AssertionError):
    """The hardware and its golden model differ; the message names the stage, the place and both values."""


@dataclasses.dataclass(frozen=True)
class _Expected:
    """What golden says of one stage: the words written (addresses, uint8 words, known bits) and the statistics."""

    stage: object
    regions: list
    addresses: np.ndarray
    words: np.ndarray
    known: np.ndarray
    result: np.ndarray
    statistics: Statistics


@dataclasses.dataclass(frozen=True)
class ProgramRun:
    """A program's run.

    ``mode``: "dense", "balanced" or "threshold"; ``stages``: a dict for each command with its ``name``, ``phase`` and
    the ``counters`` of the RTL; ``results``: stage name -> int64 (tokens, columns); ``mask``: the connections, bool;
    ``words``: how many memory words were compared.
    """

    mode: str
    stages: list
    results: dict
    mask: np.ndarray
    words: int

    @property
    def totals(self):
        """The counters of the whole program."""
        return {name: sum(stage["counters"][name] for stage in self.stages) for name in self.stages[0]["counters"]}

    @property
    def phases(self):
        """Cycles of each phase that the program has, in order of first use."""
        cycles = {}
        for stage in self.stages:
            cycles[stage["phase"]] = cycles.get(stage["phase"], 0) + stage["counters"]["cycles"]
        return cycles


@dataclasses.dataclass(frozen=True)
class HeadRun:
    """Both programs' runs, and the seconds that building the simulator and simulating took."""

    dense: ProgramRun
    detect: ProgramRun
    build_seconds: float
    seconds: float


def greatest_tokens(job, size, modes, most):
    """The greatest multiple of 16, at most ``most``, at which a head with the job's dimensions fits; 0 when none does.

    ``job``: as for :func:`golden.dota.head.plan_head`; its ``x`` has at least ``most`` rows.
    """
    for tokens in range(most - most % 16, 0, -16):
        shorter = _Shortened(job, tokens)
        try:
            for mode in modes:
                plan_head(shorter, size, mode)
        except ValueError:
            continue
        return tokens
    return 0


class _Shortened:
    """A job's integers with its first ``tokens`` inputs only."""

    def __init__(self, job, tokens):
        self._job, self.x = job, job.x[:tokens]

    def __getattr__(self, name):
        return getattr(self._job, name)


def _golden(program, size):
    lane = Lane(size)
    for address, words in program.writes:
        lane.write(address, words)
    expected = []
    for stage in program.stages:
        statistics = lane.execute(stage.command)
        written = regions(stage.command, size)[1]
        addresses = np.unique(np.concatenate([region.addresses().ravel() for region in written]))
        expected.append(_Expected(stage, written, addresses, lane.memory[addresses], lane.known[addresses],
                                  stage.result(lane.memory), statistics))
    return expected


def _check_stages(job, mode, expected):
    """The golden lane against the algorithm's integer model, result by result."""
    reference = integer_head(job, mode)
    for item in expected:
        if not np.array_equal(item.result, reference[item.stage.name]):
            raise Mismatch(f"{mode} program, {item.stage.name}: the golden lane differs from golden.dota.dsa")


def _compare_words(mode, item, found):
    wrong = ((found ^ item.words) & item.known).any(axis=1)
    if not wrong.any():
        return
    index = int(np.argmax(wrong))
    address = int(item.addresses[index])
    copy, region = next((copy, region) for copy, region in enumerate(item.regions) if address in region.addresses())
    row, word = (int(place[0]) for place in np.nonzero(region.addresses() == address))
    out = item.stage.command.out
    values = [unpack(words[None], out) for words in (item.words[index], found[index])]
    column = int(np.flatnonzero(values[0] != values[1])[0])
    expected, got = (int(value[column]) for value in values)
    raise Mismatch(f"{mode} program, {item.stage.name}{f' (copy {copy})' if copy else ''}: row {row}, column "
                   f"{word * len(values[0]) + column}: expected {expected}, got {got} (word {address}; "
                   f"{int(wrong.sum())} of {len(wrong)} words differ)")


def _compare(mode, expected, results):
    """Raise :class:`Mismatch` at the first difference; else the :class:`ProgramRun`."""
    stages = []
    for item, (found, counters) in zip(expected, results, strict=True):
        _compare_words(mode, item, found)
        for name in EXACT:
            if counters[name] != getattr(item.statistics, name):
                raise Mismatch(f"{mode} program, {item.stage.name}: counter {name}: expected "
                               f"{getattr(item.statistics, name)}, got {counters[name]}")
        stages.append({"name": item.stage.name, "phase": item.stage.command.phase.name.lower(), "counters": counters})
    tokens = len(expected[-1].result)
    mask = next((item.statistics.mask for item in expected if item.statistics.mask is not None), None)
    return ProgramRun(mode, stages, {item.stage.name: item.result for item in expected},
                      np.ones((tokens, tokens), bool) if mask is None else mask,
                      sum(len(item.addresses) for item in expected))


def run_head(job, config, mode="balanced", *, preset=None, seed=1, simulator="verilator", timeout=3600,
             progress=lambda line: None, verilog=None):
    """Run both programs of a head on the RTL and compare: a :class:`HeadRun`.

    Parameters: ``job`` a :class:`~golden.workloads.head_job.HeadJob`, ``config`` a
    :class:`~hw.dota.lane_command.LaneConfig`, ``mode`` "balanced" or "threshold", ``progress`` takes a line of text
    now and then, ``verilog`` is simulated in place of what is generated.

    Raises ``ValueError`` when the head does not fit, :class:`Mismatch` (an ``AssertionError``) at any difference, and
    what :func:`resilin.simulate.simulate_component` raises.
    """
    size = LaneSize.from_config(config.to_dict())
    modes = ("dense", mode)
    programs = {name: plan_head(job, size, name) for name in modes}
    expected = {name: _golden(program, size) for name, program in programs.items()}
    for name in modes:
        _check_stages(job, name, expected[name])
    results, result = _simulate(programs, expected, config, preset, seed, simulator, timeout, progress, verilog)
    runs = [_compare(name, expected[name], found) for name, found in zip(modes, results)]
    return HeadRun(*runs, result.build_seconds, result.seconds)


def _simulate(programs, expected, config, preset, seed, simulator, timeout, progress, verilog):
    from resilin import lane_bench
    from resilin.registry import find
    from resilin.simulate import simulate_component

    steps = {name: [lane_bench.BenchStep(item.stage.name, item.stage.command.fields(), item.addresses.tolist())
                    for item in expected[name]] for name in programs}
    bench = [lane_bench.BenchProgram(name, program.writes, steps[name]) for name, program in programs.items()]
    with tempfile.TemporaryDirectory(prefix="resilin-attention-") as folder:
        lane_bench.store_programs(folder, bench)
        with followed(pathlib.Path(folder) / "progress", progress):
            result = simulate_component(
                find("lane").component_class(config), lane_bench.__name__, name="lane", config=config.to_dict(),
                preset=preset, options={"folder": folder}, seed=seed, simulator=simulator, timeout=timeout, quiet=True,
                verilog=verilog)
        return lane_bench.load_results(folder, bench), result
