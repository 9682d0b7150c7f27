"""Programs of a rank on the golden model, the cycle model and the simulated RTL: every answer, every byte compared."""

import dataclasses
import functools
import pathlib
import tempfile

import numpy as np

from golden.enmc.compiler import Results
from golden.enmc.dram_controller import BURST
from golden.enmc.enmc_rank import EnmcRank
from golden.enmc.rank_timing import RankTimes, RankTiming
from resilin.progress import followed

__all__ = ["Mismatch", "RankRun", "Session", "compare_replies", "run_sessions"]

_FIELDS = {name: index for index, name in enumerate(("cycles", "screener", "executor", "overlap", "bursts"))}
_NAME = "enmc_rank"
_LOW_32 = 0xFFFF_FFFF


class Mismatch(AssertionError):
    """The hardware and its golden model differ; the message names the program, the place and both values."""


@dataclasses.dataclass(frozen=True, eq=False)
class Session:
    """What a rank does after a reset.

    ``image`` uint8: its DRAM from byte 0 on, zeros after it up to ``end``; ``written``: the first byte that the logic
    may write to; ``setup``: instructions; ``programs``: name -> ``golden.enmc.compiler.Program``, run in this order.
    """

    image: np.ndarray
    written: int
    end: int
    setup: list
    programs: dict

    @classmethod
    def of(cls, layer, items, programs):
        """Of a ``golden.enmc.compiler.Classifier`` alone in the DRAM, from byte 0; ``items``: vectors of a program."""
        setup = layer.setup(items)
        written, end = (instruction.operand for instruction in setup)
        return cls(layer.image(), written, end, setup, programs)


@dataclasses.dataclass(frozen=True, eq=False)
class RankRun:
    """A program's run.

    ``results`` (``golden.enmc.compiler.Results``), bursts ``reads`` and ``writes``, ``times`` of the cycle model.
    Of the RTL, else of the model: ``cycles`` from its first instruction to the last one's end, and ``samples`` of its
    counters while it ran, int64 (n, 5): cycles since it began (RTL: since its CLR), those in which the Screener, the
    Executor, both work, bursts read. The RTL's cycles end some 30 later, when the host sees that the rank is done.
    """

    results: Results
    reads: int
    writes: int
    times: RankTimes
    cycles: int
    samples: np.ndarray

    @property
    def utilisation(self):
        """Bursts a cycle: share of the data bus's peak."""
        return (self.reads + self.writes) / self.cycles

    @property
    def busy(self):
        """Cycles in which the Screener, the Executor, both work, since the program's CLR."""
        return tuple(int(self.samples[-1, _FIELDS[name]]) for name in ("screener", "executor", "overlap"))


def run_sessions(sessions, config, *, rtl=True, preset=None, seed=1, simulator="verilator", timeout=3600, every=256,
                 corrupt=0, progress=lambda line: None):
    """Run ``sessions``, name -> :class:`Session`, a reset before each: name -> (program's name -> :class:`RankRun`).

    ``config``: a ``hw.enmc.enmc_rank.EnmcRankConfig``. ``rtl``: on the RTL too, else cycles are the cycle model's.
    ``every``: cycles between samples of the counters. ``corrupt``: bits by which the first byte that is expected is
    changed, for tests of the comparison. Raises :class:`Mismatch` at any difference of answers, bytes or bursts,
    ``ValueError`` for a session that does not fit in the rank or reports an error, and what ``simulate_component``
    raises.
    """
    for session in sessions.values():
        if session.end > BURST << config.row_bits + 11:
            raise ValueError(f"row_bits = {config.row_bits} is not allowed: the layer needs {session.end} bytes, the "
                             f"rank has {BURST << config.row_bits + 11}")
    found = [(None, None)] * len(sessions)
    if rtl:
        found = _simulate(sessions, config, preset, seed, simulator, timeout, every, progress)
    return {name: _golden(name, session, config, theirs, last, every, corrupt, progress)
            for (name, session), (theirs, last) in zip(sessions.items(), found, strict=True)}


def _golden(title, session, config, found, last, every, corrupt, progress):
    """The session on both models, compared with the results ``found`` of the RTL, if there are any."""
    progress(f"golden model: {title}")
    model = RankTiming(config)
    model.run(session.setup)
    golden = EnmcRank(config.row_bits)
    golden.memory.load(0, session.image.reshape(-1, BURST))
    golden.run(session.setup)
    expected, runs = _Image(session, golden), {}
    for place, (name, program) in enumerate(session.programs.items()):
        for address, content in program.writes:
            golden.store(address, content)
        replies = golden.run(program.instructions)
        bursts, results = golden.query("BURSTS"), program.results(golden.fetch, replies)
        times = model.run(program.instructions, results.candidates, bin_cycles=every)
        if (times.bursts_read, times.bursts_written) != (bursts & _LOW_32, bursts >> 32):
            raise Mismatch(f"program {title}, {name}: {times.bursts_read} bursts read, {times.bursts_written} written "
                           f"by the cycle model, {bursts & _LOW_32}, {bursts >> 32} by the golden rank")
        run = RankRun(results, times.bursts_read, times.bursts_written, times, times.cycles, _summed(times))
        expected.take()
        if found is not None:
            theirs = found[place]
            compare_replies(f"{title}, {name}", [*replies, bursts], [*theirs.replies, int(theirs.samples[-1, -1])])
            _compare(f"{title}, {name}", expected.bytes[session.written:], theirs.memory, session.written, corrupt)
            run = dataclasses.replace(run, cycles=theirs.cycles, samples=_counted(theirs.samples))
        runs[name] = run
    if found is not None:
        _compare(f"{title}, all", expected.bytes, last, 0, 0)
    return runs


class _Image:
    """The golden rank's DRAM as one array."""

    def __init__(self, session, golden):
        self.bytes = np.zeros(session.end, np.uint8)
        self.bytes[:len(session.image)] = session.image
        self._golden = golden

    def take(self):
        for burst, content, _ in self._golden.memory.contents():
            self.bytes[burst * BURST:(burst + 1) * BURST] = content


def _summed(times):
    """The cycle model's timeline as samples at the ends of its bins."""
    ends = np.minimum(np.arange(1, len(times.timeline) + 1) * times.bin_cycles, times.cycles)
    return np.column_stack([ends, times.timeline[:, :4].cumsum(0)])


def _counted(samples):
    """The samples with bursts read in place of the register BURSTS."""
    samples = samples.copy()
    samples[:, _FIELDS["bursts"]] &= _LOW_32
    return samples


@functools.cache
def _rank(config):
    """The component and its Verilog: made once for all sessions of a process."""
    from hw.generate import generate
    from resilin.registry import find

    component = find(_NAME).component_class(config, assertions=True)
    return component, generate(component, _NAME)


def _simulate(sessions, config, preset, seed, simulator, timeout, every, progress):
    from resilin.enmc import rank_bench
    from resilin.simulate import simulate_component

    component, verilog = _rank(config)
    with tempfile.TemporaryDirectory(prefix="resilin-enmc-") as folder:
        rank_bench.store_sessions(folder, sessions.values(), every)
        with followed(pathlib.Path(folder) / "progress", progress):
            simulate_component(
                component, rank_bench.__name__, name=_NAME, config=config.to_dict(), preset=preset,
                options={"folder": folder}, seed=seed, simulator=simulator, timeout=timeout, quiet=True,
                verilog=verilog)
        return rank_bench.load_results(folder)


def compare_replies(name, expected, found):
    """Raise :class:`Mismatch` where the answers to QUERY are not those expected; None: any."""
    if len(expected) != len(found):
        raise Mismatch(f"program {name}: {len(found)} answers, expected {len(expected)}")
    for place, (ours, theirs) in enumerate(zip(expected, found)):
        if ours is not None and ours != theirs:
            raise Mismatch(f"program {name}: answer {place} is {theirs:#x}, expected {ours:#x}")


def _compare(name, expected, found, first, corrupt):
    if corrupt:
        expected = expected.copy()
        expected[0] ^= corrupt
    wrong = np.flatnonzero(expected != found)
    if len(wrong):
        place = wrong[0]
        raise Mismatch(f"program {name}: byte {first + place:#x} of the DRAM is {found[place]}, expected "
                       f"{expected[place]} ({len(wrong)} of {len(found)} bytes differ)")
