"""Matrix products on simulated engines: every sum compared with the golden model, every cycle with the cycle model."""

import dataclasses
import functools
import pathlib
import tempfile

import numpy as np

from golden.figs import figs_engine
from golden.figs.compiler import compile_matrix
from golden.figs.matmul import check_sums, gather, plan
from golden.figs.sizes import Sizes
from golden.figs.timing import EngineTiming
from resilin.progress import followed
from sim.lanes import pack_lanes

__all__ = ["EngineRun", "Mismatch", "run_layer"]

_NAME = "figs_engine"


class Mismatch(AssertionError):
    """The hardware and its model differ; the message names the job, the place and both values."""


@dataclasses.dataclass(frozen=True)
class EngineRun:
    """A layer on an engine.

    ``cycles`` from each job's first command to its last sums, summed over the jobs (loading programs is not in them);
    ``schedule_cycles`` of that; ``passes``; ``report`` of the compiler (one pass of every tile). Bits that come in:
    ``activation_bits`` over all passes; ``loaded_bits`` of programs, once. ``program_bits``: of the program that the
    passes' schedule cycles use, read in the engine.
    """

    cycles: int
    schedule_cycles: int
    passes: int
    report: object
    activation_bits: int
    loaded_bits: int
    program_bits: int


def run_layer(config, weights, x, pattern, *, rtl=False, cluster=False, seed=1, simulator="verilator", timeout=3600,
              corrupt=0, progress=lambda line: None):
    """Compute ``weights`` (outputs, inputs) times ``x`` (inputs, batch), integers, on the engine of ``config``.

    ``config``: a ``hw.figs.figs_engine.FigsEngineConfig``. The golden engine runs every pass; its sums must be the
    product. ``rtl``: on the RTL too, whose every sum, error and cycle of a word must be the models'. Raises
    :class:`Mismatch` where something differs. ``corrupt`` is added to the first sum that is expected of the RTL, for
    tests of the comparison.
    """
    sizes = Sizes.of(config)
    compiled = compile_matrix(sizes, weights, pattern, cluster=cluster)
    check_sums(sizes, np.asarray(weights, np.int64))
    jobs = plan(compiled, x, sizes)
    results = [figs_engine.run(sizes, job.memory, job.commands, job.beats) for job in jobs]
    y = gather(compiled, jobs, [result.y for result in results], sizes, np.shape(x)[1])
    # Exact in float64, far below 2^53, and much faster there.
    wanted = (np.asarray(weights, np.float64) @ np.asarray(x, np.float64)).astype(np.int64)
    if wrong := np.argwhere(y != wanted).tolist():
        row, column = wrong[0]
        raise Mismatch(f"the golden engine's sum of output {row}, column {column} is {y[row, column]}, W X has "
                       f"{wanted[row, column]}")
    timing = EngineTiming(sizes)
    if rtl:
        _compare(sizes, timing, jobs, results, _simulate(config, jobs, seed, simulator, timeout, progress), corrupt)
    passes = [command.cycles for job in jobs for command in job.commands]
    return EngineRun(
        cycles=sum(timing.total([command.cycles for command in job.commands]) for job in jobs),
        schedule_cycles=sum(passes), passes=len(passes), report=compiled.report,
        activation_bits=sum(job.beats.size for job in jobs) * sizes.activation_bits,
        loaded_bits=sum(len(job.memory) for job in jobs) * sizes.word_bits,
        program_bits=sum(passes) * compiled.group * sizes.slot_bits)


def _compare(sizes, timing, jobs, results, found, corrupt):
    octets = -(-sizes.columns * sizes.beta * sizes.sum_bits // 8)
    for number, (job, expected, (words, times, errors)) in enumerate(zip(jobs, results, found, strict=True)):
        sums = expected.y.copy()
        sums[0, 0] += corrupt
        for place, (row, word) in enumerate(zip(sums, words, strict=True)):
            want = pack_lanes(row, sizes.sum_bits)
            if want != word:
                raise Mismatch(f"job {number}: word {place} of the sums is {word:#0{2 * octets + 2}x}, expected "
                               f"{want:#0{2 * octets + 2}x}")
        if errors != expected.errors:
            raise Mismatch(f"job {number}: the engine reports errors {errors:#x}, expected {int(expected.errors):#x}")
        when = timing.words([command.cycles for command in job.commands]).ravel()
        if wrong := np.flatnonzero(times != when).tolist():
            raise Mismatch(f"job {number}: word {wrong[0]} of the sums comes in cycle {times[wrong[0]]}, by the cycle "
                           f"model in {when[wrong[0]]}")


@functools.cache
def _engine(config):
    """The component and its Verilog: made once for all jobs of a process."""
    from hw.figs.figs_engine import FigsEngine
    from hw.generate import generate

    component = FigsEngine(config, assertions=True)
    return component, generate(component, _NAME)


def _simulate(config, jobs, seed, simulator, timeout, progress):
    from resilin.figs import engine_bench
    from resilin.simulate import simulate_component

    component, verilog = _engine(config)
    with tempfile.TemporaryDirectory(prefix="resilin-figs-") as folder:
        engine_bench.store_jobs(folder, jobs)
        with followed(pathlib.Path(folder) / "progress", progress):
            simulate_component(component, engine_bench.__name__, name=_NAME, config=config.to_dict(),
                               options={"folder": folder}, seed=seed, simulator=simulator, timeout=timeout, quiet=True,
                               verilog=verilog)
        return engine_bench.load_results(folder)
