"""A simulated EnmcRank between a host at its pins and chips that check every rule, driven from cocotb.

Used by the rank's tests and by jobs that run on it. :func:`run_programs` is a cocotb test of its own: it takes programs
from a folder (:func:`store_sessions`) and leaves there what the chips held and the rank answered
(:func:`load_results`); it judges nothing, so that the process that started it can compare.
"""

import dataclasses
import json
import pathlib

import cocotb
import numpy as np

from golden.enmc.isa import Instruction, decode
from golden.enmc.timing import DdrTiming
from hw.enmc.enmc_rank import EnmcRankConfig
from resilin.enmc.rank_host import RankHost
from sim.bench import start
from sim.context import context
from sim.dram import ChipModel, DramRank

__all__ = ["COUNTERS", "RankDriver", "RankResult", "load_results", "run_programs", "store_sessions"]

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
    """What a program did: ``replies`` to the queries at its end, ``cycles`` from its first instruction until the host
    sees that it is done, ``samples`` int64 (n, 5) of :data:`COUNTERS` while it ran, ``memory`` uint8 of what the logic
    may write to."""

    replies: list
    cycles: int
    samples: np.ndarray
    memory: np.ndarray


def _plain(instructions):
    return [(instruction.command, instruction.operand) for instruction in instructions]


def store_sessions(folder, sessions, every):
    """Write what :func:`run_programs` takes from ``folder``: objects of ``resilin.enmc.rank_run.Session``; ``every``:
    cycles between samples."""
    folder = pathlib.Path(folder)
    plain = []
    for number, session in enumerate(sessions):
        np.save(folder / f"image-{number}.npy", session.image)
        programs = []
        for name, program in session.programs.items():
            place = f"{number}-{len(programs)}"
            for part, (_, content) in enumerate(program.writes):
                np.save(folder / f"write-{place}-{part}.npy", content)
            programs.append({"name": name, "place": place, "instructions": _plain(program.instructions),
                             "writes": [address for address, _ in program.writes]})
        plain.append({"end": session.end, "written": session.written, "setup": _plain(session.setup),
                      "programs": programs})
    (folder / "sessions.json").write_text(json.dumps({"every": every, "sessions": plain}))


def load_results(folder):
    """What :func:`run_programs` left of each session: a list of :class:`RankResult`, and the whole DRAM at the end,
    uint8."""
    folder = pathlib.Path(folder)
    return [([RankResult(memory=np.load(folder / f"after-{each['place']}.npy"), replies=each["replies"],
                         cycles=each["cycles"],
                         samples=np.array(each["samples"], np.int64).reshape(-1, len(COUNTERS)))
              for each in programs], np.load(folder / f"after-{number}.npy"))
            for number, programs in enumerate(json.loads((folder / "results.json").read_text()))]


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
    """Run the sessions in the folder of the options; a line of progress each goes to the file ``progress`` there."""
    driver = RankDriver(dut)
    folder = pathlib.Path(driver.ctx.options["folder"])
    told = json.loads((folder / "sessions.json").read_text())
    await driver.start(timeout=None)
    results = []
    with open(folder / "progress", "w", buffering=1) as progress:
        for number, session in enumerate(told["sessions"]):
            if number:
                driver.chips.forget()
                await driver.bench.reset()
                await driver.host.refresh()
            image, end = np.load(folder / f"image-{number}.npy"), session["end"]
            driver.chips.load(0, image)
            driver.chips.load(len(image), bytes(end - len(image)))
            await driver.host.run([Instruction(*each) for each in session["setup"]])
            results.append([])
            for program in session["programs"]:
                results[-1].append(await _run(driver, folder, program, session, told["every"]))
                progress.write(f"{program['name']}: {results[-1][-1]['cycles']} cycles\n")
            np.save(folder / f"after-{number}.npy", driver.chips.dump(0, end))
            assert not driver.chips.written_from(end), f"the rank wrote at or after byte {end:#x}"
    (folder / "results.json").write_text(json.dumps(results))
    await driver.bench.finish()


async def _run(driver, folder, program, session, every):
    """A program, whose queries are its last instructions: from the host's writes to the chips' memory."""
    for part, address in enumerate(program["writes"]):
        driver.chips.load(address, np.load(folder / f"write-{program['place']}-{part}.npy"))
    answers, first = [], driver.bench.cycle
    sampling = cocotb.start_soon(_sample(driver, every, answers))
    instructions = [Instruction(*each) for each in program["instructions"]]
    questions = sum(1 for each in instructions if decode(each).definition.register == "read")
    await driver.host.run(instructions[:len(instructions) - questions])
    cycles = driver.bench.cycle - first
    sampling.cancel()
    replies = await driver.host.run(instructions[len(instructions) - questions:])
    answers.append([driver.host.ask(name) for name in COUNTERS])
    await driver.host.drain()
    written = session["written"]
    np.save(folder / f"after-{program['place']}.npy", driver.chips.dump(written, session["end"] - written))
    return {"place": program["place"], "replies": replies, "cycles": cycles, "samples": _samples(answers)}
