"""A cocotb bench that runs whole jobs on a simulated FigsEngine: :func:`run_jobs` is a test of its own.

It takes jobs from a folder (:func:`store_jobs`) and leaves there the sums and when they came (:func:`load_results`); it
judges nothing, so that the process that started it can compare.
"""

import pathlib
import pickle

import cocotb
import numpy as np

from sim.bench import start
from sim.context import context
from sim.lanes import pack_lanes
from sim.timed import TimedDriver, TimedMonitor

__all__ = ["load_results", "run_jobs", "store_jobs"]


def store_jobs(folder, jobs):
    """Write ``jobs``, each with ``memory``, ``commands``, ``beats`` as ``golden.figs.matmul.Job``, for the bench."""
    plain = [(job.memory, [tuple(command) for command in job.commands], np.asarray(job.beats)) for job in jobs]
    (pathlib.Path(folder) / "jobs").write_bytes(pickle.dumps(plain))


def load_results(folder):
    """For each job (words of sums as integers, cycles from its first command to each of them, error bits)."""
    return pickle.loads((pathlib.Path(folder) / "results").read_bytes())


@cocotb.test()
async def run_jobs(dut):
    """Run the jobs in the folder of the options, nothing stalls; a line of progress for each."""
    ctx = context()
    folder = pathlib.Path(ctx.options["folder"])
    jobs = pickle.loads((folder / "jobs").read_bytes())
    bench = await start(dut, timeout=20_000)
    program = TimedDriver(dut, "program", layout=ctx.layout("program"))
    commands = TimedDriver(dut, "commands", layout=ctx.layout("commands"))
    activations = TimedDriver(dut, "activations")
    monitor = TimedMonitor(dut, "results")
    results = []
    with open(folder / "progress", "w", buffering=1) as progress:
        for number, (memory, passes, beats) in enumerate(jobs):
            print(f"job {number + 1} of {len(jobs)}: {len(passes)} passes", file=progress)
            await program.send_many({"address": place, "word": word} for place, word in enumerate(memory))
            began, seen = len(commands.times), len(monitor.times)
            activations.put_many(pack_lanes(beat, ctx.config["activation_bits"]) for beat in beats.tolist())
            commands.put_many({"base": base, "cycles": cycles, "group": group} for base, cycles, group in passes)
            words = await monitor.recv_many(len(passes) * ctx.config["rows"])
            times = np.array(monitor.times[seen:]) - commands.times[began]
            results.append((words, times, int(dut.errors.value)))
    (folder / "results").write_bytes(pickle.dumps(results))
    await bench.finish()
