"""A simulated EnmcRank between a host at its pins and chips that check every rule, driven from cocotb.

Used by the rank's tests and by jobs that run on it. :func:`run_programs` is a cocotb test of its own: it takes programs
from a folder (:func:`store_session`) and leaves there what the chips held and the rank answered
(:func:`load_results`); it judges nothing, so that the process that started it can compare.
"""

import dataclasses
import json
import pathlib

import cocotb
import numpy as np

from golden.enmc.isa import Instruction
from golden.enmc.timing import DdrTiming
from hw.enmc.enmc_rank import EnmcRankConfig
from resilin.enmc.rank_host import RankHost
from sim.bench import start
from sim.context import context
from sim.dram import ChipModel, DramRank

__all__ = ["COUNTERS", "RankDriver", "RankResult", "load_results", "run_programs", "store_session"]

#: Registers that count, of which :func:`run_programs` keeps samples.
COUNTERS = ("CYCLES", "SCREENER_CYCLES", "EXECUTOR_CYCLES", "OVERLAP_CYCLES", "BURSTS")


class RankDriver:
    """The rank ``dut``, its chips and its host.

    Attributes: ``ctx``, ``config`` of the rank, ``chips`` (:class:`sim.dram.DramRank`, where a READ of bytes that
    nobody wrote is a violation); after :meth:`start`: ``bench`` (:class:`sim.bench.Bench`), ``host``
    (:class:`resilin.enmc.rank_host.RankHost`).
    """

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.config = EnmcRankConfig.from_dict(self.ctx.config)
        timing = DdrTiming(**{spec.name: getattr(self.config, spec.name) for spec in dataclasses.fields(DdrTiming)})
        self.chips = DramRank(timing, row_bits=self.config.row_bits, uninitialised="raise")

    async def start(self, gaps=(4,), timeout=20_000):
        """Clock and reset; ``gaps`` of the host's instructions, ``timeout`` of the bench."""
        self.bench = await start(self.dut, timeout=timeout)
        ChipModel(self.bench, self.dut, self.chips)
        self.host = RankHost(self.dut, self.bench, self.ctx, self.config, gaps)


@dataclasses.dataclass(frozen=True, eq=False)
class RankResult:
    """What a program did: ``replies`` to its queries, ``cycles`` from its first instruction to the end of the last,
    ``samples`` int64 (n, 5) of :data:`COUNTERS` while it ran, ``memory`` uint8 of what the logic may write to."""

    replies: list
    cycles: int
    samples: np.ndarray
    memory: np.ndarray


def _plain(instructions):
    return [(instruction.command, instruction.operand) for instruction in instructions]


def store_session(folder, image, end, written, setup, programs, every):
    """Write what :func:`run_programs` takes from ``folder``.

    ``image`` uint8: the DRAM from byte 0 on, zeros up to ``end``; ``written``: first byte that is given back after each
    program; ``setup``: instructions; ``programs``: (name, instructions, host's writes [(address, uint8)]); ``every``:
    cycles between samples.
    """
    folder = pathlib.Path(folder)
    np.save(folder / "image.npy", image)
    for place, (_, _, writes) in enumerate(programs):
        for number, (_, content) in enumerate(writes):
            np.save(folder / f"write-{place}-{number}.npy", content)
    (folder / "session.json").write_text(json.dumps({
        "end": end, "written": written, "every": every, "setup": _plain(setup), "programs": [
            {"name": name, "instructions": _plain(instructions), "writes": [address for address, _ in writes]}
            for name, instructions, writes in programs]}))


def load_results(folder):
    """What :func:`run_programs` left: a list of :class:`RankResult`, and the whole DRAM at the end, uint8."""
    folder = pathlib.Path(folder)
    told = json.loads((folder / "results.json").read_text())
    results = [RankResult(memory=np.load(folder / f"after-{place}.npy"), replies=each["replies"],
                          cycles=each["cycles"], samples=np.array(each["samples"], np.int64).reshape(-1, len(COUNTERS)))
               for place, each in enumerate(told)]
    return results, np.load(folder / "after.npy")


async def _sample(driver, every, answers):
    while True:
        answers.append([driver.host.ask(name) for name in COUNTERS])
        await driver.bench.cycles(every)


def _samples(answers):
    """Values of the samples that were answered, since the program's CLR made the counters 0."""
    rows = [[done[0] for done in row] for row in answers if all(row)]
    first = max((place for place in range(1, len(rows)) if rows[place][0] < rows[place - 1][0]), default=0)
    return rows[first:]


@cocotb.test()
async def run_programs(dut):
    """Run the programs in the folder of the options; a line of progress each goes to the file ``progress`` there."""
    driver = RankDriver(dut)
    folder = pathlib.Path(driver.ctx.options["folder"])
    session = json.loads((folder / "session.json").read_text())
    await driver.start(timeout=None)
    image, end = np.load(folder / "image.npy"), session["end"]
    driver.chips.load(0, image)
    driver.chips.load(len(image), bytes(end - len(image)))
    await driver.host.run([Instruction(*each) for each in session["setup"]])
    results = []
    with open(folder / "progress", "w", buffering=1) as progress:
        for place, program in enumerate(session["programs"]):
            for number, address in enumerate(program["writes"]):
                driver.chips.load(address, np.load(folder / f"write-{place}-{number}.npy"))
            answers, first = [], driver.bench.cycle
            sampling = cocotb.start_soon(_sample(driver, session["every"], answers))
            replies = await driver.host.run([Instruction(*each) for each in program["instructions"]])
            sampling.cancel()
            cycles = driver.bench.cycle - first
            await driver.host.drain()
            np.save(folder / f"after-{place}.npy",
                    driver.chips.dump(session["written"], end - session["written"]))
            results.append({"replies": replies, "cycles": cycles, "samples": _samples(answers)})
            progress.write(f"{program['name']}: {cycles} cycles\n")
    np.save(folder / "after.npy", driver.chips.dump(0, end))
    assert not driver.chips.written_from(end), f"the rank wrote at or after byte {end:#x}"
    (folder / "results.json").write_text(json.dumps(results))
    await driver.bench.finish()
