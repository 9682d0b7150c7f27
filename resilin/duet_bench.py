"""Drives a simulated DuetAccelerator from cocotb: commands in, a DRAM behind its port, when each command ended.

Used by the accelerator's tests and by jobs that run on it. :func:`run_programs` is a cocotb test of its own: it takes
programs from a folder (:func:`store_programs`) and leaves there what the DRAM held and the counters told afterwards
(:func:`load_results`); it judges nothing, so that the process that started it can compare.
"""

import collections
import dataclasses
import json
import pathlib

import cocotb
import numpy as np

from sim.bench import start
from sim.context import context
from sim.stream import StallProfile, StreamDriver, StreamMonitor

__all__ = ["ENGINES", "AcceleratorDriver", "DramPort", "RunResult", "load_results", "run_programs", "store_programs"]

#: Names of the engines, by number.
ENGINES = ("DMA", "SPEC", "EXEC", "CELL")


class DramPort:
    """The memory ``lines``, INT16 (lines, words), on the streams ``dram_request``, ``dram_read`` and ``dram_write``.

    ``stall`` makes a profile for each of the three. ``lines`` is changed in place. A read of a line that a write
    request before it has not filled yet, or of a line that does not exist, is an ``AssertionError``.
    """

    def __init__(self, dut, lines, beat_bits, layout, stall):
        self.lines, self.beat_bytes, self.line_bytes = lines, beat_bits // 8, 2 * lines.shape[1]
        self.reads = StreamDriver(dut, "dram_read", stall=stall())
        StreamMonitor(dut, "dram_write", stall=stall(), callback=self._write)
        StreamMonitor(dut, "dram_request", stall=stall(), layout=layout, callback=self._request)
        self.reset()

    def reset(self):
        """Forget what was asked for; the content stays."""
        self._writes, self._partial = collections.deque(), b""

    def _request(self, item):
        first, count = item["address"], item["lines"]
        assert count and first + count <= len(self.lines), f"lines {first} to {first + count - 1} do not exist"
        if item["write"]:
            self._writes.extend(range(first, first + count))
            return
        assert not any(first <= line < first + count for line in self._writes), (
            f"lines from {first} on are read before they are written")
        content = self.lines[first:first + count].astype("<i2").tobytes()
        self.reads.put_many(int.from_bytes(content[at:at + self.beat_bytes], "little")
                            for at in range(0, len(content), self.beat_bytes))

    def _write(self, beat):
        assert self._writes, "a beat came that no request announced"
        self._partial += beat.to_bytes(self.beat_bytes, "little")
        if len(self._partial) == self.line_bytes:
            self.lines[self._writes.popleft()] = np.frombuffer(self._partial, "<i2")
            self._partial = b""


class _Ends:
    """Remembers the cycles in which each engine's commands ended."""

    def __init__(self, dut):
        self.name, self._port = "ended", dut.ended
        self.reset()

    def reset(self):
        self.cycles = [[] for _ in ENGINES]

    def tick(self, cycle):
        ended = int(self._port.value)
        for engine in range(len(ENGINES)):
            if ended >> engine & 1:
                self.cycles[engine].append(cycle)
        return ended != 0

    def status(self):
        return "commands ended: " + ", ".join(f"{name} {len(ends)}" for name, ends in zip(ENGINES, self.cycles))

    def finish(self):
        """End of test: nothing to check."""

    async def drain(self):
        """Nothing to wait for."""


class AcceleratorDriver:
    """The host of an accelerator, and its DRAM.

    ``dut`` the simulated accelerator. Attributes after :meth:`start`: ``bench`` (:class:`sim.bench.Bench`), ``dram``
    (:class:`DramPort`), ``ends`` (for each engine the cycles in which commands ended, since the last :meth:`reset`).
    """

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()

    async def start(self, lines, stall=None, timeout=20_000):
        """Clock and reset; ``lines``: content of the DRAM; ``stall``: makes a profile for each stream."""
        stall = stall or (lambda: None)
        self.bench = await start(self.dut, timeout=timeout)
        self.commands = StreamDriver(self.dut, "commands", layout=self.ctx.layout("commands"), stall=stall())
        self.dram = DramPort(self.dut, lines, self.ctx.config["dram_bits"], self.ctx.layout("dram_request"), stall)
        self._ends = _Ends(self.dut)
        self.bench.add(self._ends)
        await self.bench.cycles(2)

    @property
    def ends(self):
        return self._ends.cycles

    async def reset(self):
        """A reset in mid-work."""
        await self.bench.reset(1)
        self.dram.reset()

    async def run(self, commands):
        """Send commands (dicts of fields) and wait for the end of all. Returns the cycles that it took.

        That is from the transfer of the first command to the last one's end; commands come as fast as they are taken.
        """
        first, before = self.bench.cycle, sum(map(len, self.ends))
        for command in commands:
            self.commands.put(command)
        while sum(map(len, self.ends)) < before + len(commands):
            await self.bench.cycles(1)
        return max(map(max, filter(None, self.ends))) - first

    def counters(self):
        """The hardware's counters: a dict of their names."""
        word = int(self.dut.counters.value)
        return {name: word >> offset & (1 << width) - 1
                for name, (offset, width, _) in self.ctx.layout("counters").items()}


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a program left: ``lines`` of the DRAM, ``cycles``, ``ends`` (cycles by engine, from the first command on),
    ``counters`` (increments)."""

    lines: np.ndarray
    cycles: int
    ends: list
    counters: dict


def store_programs(folder, programs):
    """Write what :func:`run_programs` takes from ``folder``: programs are (name, DRAM lines, list of fields)."""
    folder = pathlib.Path(folder)
    for place, (_, lines, _) in enumerate(programs):
        np.save(folder / f"before-{place}.npy", lines)
    (folder / "programs.json").write_text(json.dumps([(name, commands) for name, _, commands in programs]))


def load_results(folder):
    """A :class:`RunResult` for each of the programs that were run."""
    folder = pathlib.Path(folder)
    return [RunResult(lines=np.load(folder / f"after-{place}.npy"), **told)
            for place, told in enumerate(json.loads((folder / "results.json").read_text()))]


@cocotb.test()
async def run_programs(dut):
    """Run the programs in the folder of the options; a line of progress each goes to the file ``progress`` there."""
    host = AcceleratorDriver(dut)
    folder = pathlib.Path(host.ctx.options["folder"])
    results = []
    with open(folder / "progress", "w", buffering=1) as progress:
        for place, (name, commands) in enumerate(json.loads((folder / "programs.json").read_text())):
            lines = np.load(folder / f"before-{place}.npy")
            if place:
                host.dram.lines = lines
            else:
                await host.start(lines, timeout=None)
            before, first = host.counters(), host.bench.cycle
            seen = [len(ends) for ends in host.ends]
            cycles = await host.run(commands)
            after = host.counters()
            np.save(folder / f"after-{place}.npy", lines)
            results.append(dict(cycles=cycles, counters={key: after[key] - before[key] for key in after},
                                ends=[[cycle - first for cycle in ends[skip:]]
                                      for ends, skip in zip(host.ends, seen)]))
            progress.write(f"{name}: {cycles} cycles\n")
    (folder / "results.json").write_text(json.dumps(results))
    await host.bench.finish()
