"""Drives a simulated lane from cocotb: host writes, commands, reads, counters. Also a bench that runs whole programs.

Used by the lane's tests and by jobs that run on a lane. :func:`run_programs` is a cocotb test of its own: it takes
programs from a folder (:func:`store_programs`) and leaves there what the lane's memory and counters held after every
command (:func:`load_results`); it judges nothing, so that the process that started it can compare.
"""

import dataclasses
import json
import pathlib

import cocotb
import numpy as np

from hw.dota.lane_command import LaneCounter
from sim.bench import start
from sim.context import context
from sim.stream import StallProfile, StreamDriver, StreamMonitor

__all__ = ["BenchProgram", "BenchStep", "LaneDriver", "load_results", "run_programs", "store_programs"]

_POLL = 8


class LaneDriver:
    """The host of a lane.

    ``dut`` the simulated lane. Attributes after :meth:`start`: ``bench`` (:class:`sim.bench.Bench`), ``commands``,
    ``writes``, ``reads``, ``answers`` (its streams).
    """

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.word_bytes = 4 * self.ctx.config["cols"]

    async def start(self, stall=0.0, timeout=None):
        """Clock and reset.

        ``stall`` is the share of cycles in which the host pauses, on every stream; ``timeout`` the cycles without any
        transfer after which the run fails as hung (``None``: never).
        """
        dut, ctx = self.dut, self.ctx

        def profile():
            return StallProfile.random(stall, ctx.random) if stall else None

        self.bench = await start(dut, timeout=timeout)
        self.commands = StreamDriver(dut, "commands", layout=ctx.layout("commands"), stall=profile())
        self.writes = StreamDriver(dut, "write", layout=ctx.layout("write"), stall=profile())
        self.reads = StreamDriver(dut, "read", stall=profile())
        self.answers = StreamMonitor(dut, "read_data", stall=profile())
        await self.bench.cycles(2)

    def busy(self):
        """Whether a command runs."""
        return int(self.dut.busy.value)

    async def write(self, address, words):
        """Write consecutive words, uint8 (n, bytes of a word)."""
        await self.writes.send_many([dict(address=address + i, data=int.from_bytes(word.tobytes(), "little"))
                                     for i, word in enumerate(words)])

    async def send(self, commands, limit=2_000_000):
        """Run commands (dicts of fields) back-to-back and wait for the end; fails after ``limit`` cycles."""
        await self.commands.send_many(commands)
        await self.idle(limit)

    async def idle(self, limit=2_000_000):
        """Wait until no command runs; fails after ``limit`` cycles."""
        for _ in range(0, limit, _POLL):
            await self.bench.cycles(_POLL)
            if not self.busy():
                # One cycle passes between a command's transfer and busy.
                await self.bench.cycles(1)
                if not self.busy():
                    return
        raise AssertionError(f"the lane is busy after {limit} cycles")

    async def read(self, addresses):
        """The words at ``addresses``: uint8 (n, bytes of a word)."""
        self.reads.put_many(int(address) for address in addresses)
        answers = await self.answers.recv_many(len(addresses))
        flat = np.frombuffer(b"".join(answer.to_bytes(self.word_bytes, "little") for answer in answers), np.uint8)
        return flat.reshape(-1, self.word_bytes)

    async def counter(self, name):
        """The value of the counter with this :class:`~hw.dota.lane_command.LaneCounter` name."""
        self.dut.counter_select.value = LaneCounter[name].value
        await self.bench.cycles(2)
        return int(self.dut.counter.value)

    async def counters(self):
        """All counters: a dict of their names in lower case."""
        return {counter.name.lower(): await self.counter(counter.name) for counter in LaneCounter}


@dataclasses.dataclass(frozen=True)
class BenchStep:
    """A command (``fields``, a dict) and the word addresses to read once it is done (a list)."""

    name: str
    fields: dict
    addresses: list


@dataclasses.dataclass(frozen=True)
class BenchProgram:
    """Host writes, a list of (address, uint8 (n, bytes of a word)), and steps, a list of :class:`BenchStep`."""

    name: str
    writes: list
    steps: list


def store_programs(folder, programs):
    """Write what :func:`run_programs` takes from ``folder`` (its option of that name)."""
    plain = [dict(name=program.name, steps=[dataclasses.asdict(step) for step in program.steps],
                  writes=[(int(address), words.tobytes().hex()) for address, words in program.writes])
             for program in programs]
    (pathlib.Path(folder) / "programs.json").write_text(json.dumps(plain))


def load_results(folder, programs):
    """What the lane left: for each program a list of (words uint8 (n, bytes of a word), counters' increments)."""
    folder = pathlib.Path(folder)
    counters = json.loads((folder / "counters.json").read_text())
    return [[(np.load(folder / f"{place}-{index}.npy"), counters[place][index]) for index in range(len(program.steps))]
            for place, program in enumerate(programs)]


@cocotb.test()
async def run_programs(dut):
    """Run the programs in the folder of the options; lines of progress go to the file ``progress`` there."""
    host = LaneDriver(dut)
    folder = pathlib.Path(host.ctx.options["folder"])
    programs = json.loads((folder / "programs.json").read_text())
    await host.start()
    increments = []
    with open(folder / "progress", "w", buffering=1) as progress:
        before = await host.counters()
        for place, program in enumerate(programs):
            for address, data in program["writes"]:
                await host.write(address, np.frombuffer(bytes.fromhex(data), np.uint8).reshape(-1, host.word_bytes))
            increments.append([])
            for index, step in enumerate(program["steps"]):
                await host.send([step["fields"]])
                after = await host.counters()
                increments[-1].append({name: after[name] - before[name] for name in after})
                before = after
                np.save(folder / f"{place}-{index}.npy", await host.read(step["addresses"]))
                progress.write(f"{program['name']}: {step['name']}, {increments[-1][-1]['cycles']} cycles\n")
    assert int(dut.error.value) == 0, "the lane reports that two of its readers met in a memory bank"
    (folder / "counters.json").write_text(json.dumps(increments))
    await host.bench.finish()
