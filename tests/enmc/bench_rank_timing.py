"""What the tests of the rank's cycle model share: programs on the rank and on the model, command for command."""

import dataclasses

import numpy as np

from golden.enmc.enmc_rank import EnmcRank
from golden.enmc.rank_timing import RankTiming
from resilin.enmc.rank_bench import RankDriver
from resilin.enmc.rank_host import BUSY, OWNER, PHASES, RankHost
from sim.bench import start
from sim.dram import ChipModel

COUNTERS = ("screener_cycles", "executor_cycles", "overlap_cycles")


class WatchingHost(RankHost):
    """A host that knows when each instruction was on its pins, and the first cycle in which the rank was at rest.

    Cycles are those since reset, as the chips count them.
    """

    def reset(self):
        super().reset()
        self.sent, self.rest = [], None

    def tick(self, cycle):
        instruction = self.queue and self.queue[0][2] is not None
        moved = super().tick(cycle)
        if moved and instruction:
            self.sent.append(self.now // PHASES)
        return moved

    async def idle(self):
        """Asks for STATUS in every cycle; the answers come in their order."""
        answers = []
        while True:
            answers.append(self.ask("STATUS"))
            await self.bench.cycles(1)
            self.bench.kick()
            if answers[0]:
                (status,) = answers.pop(0)
                if not status & (BUSY | OWNER):
                    break
        # Sampled two cycles before the host has it.
        self.rest = self.rest or self.now // PHASES - 3
        await self.drain()
        return status


class Pair(RankDriver):
    """A rank in a simulation, the model of its time, and the golden rank, which tells the candidates.

    Option ``changes``: fields of the configuration that the model alone has otherwise.
    """

    def __init__(self, dut):
        super().__init__(dut)
        self.model = RankTiming(dataclasses.replace(self.config, **self.ctx.options.get("changes", {})))
        self.golden = EnmcRank(self.config.row_bits)
        self.model.trace, self.chips.trace = [], []

    async def begin(self, size):
        """Clock, reset, zeros in the chips' first ``size`` bytes."""
        self.bench = await start(self.dut, timeout=None)
        ChipModel(self.bench, self.dut, self.chips)
        self.host = WatchingHost(self.dut, self.bench, self.ctx, self.config)
        self.chips.load(0, bytes(size))

    def load(self, address, content):
        """Bytes into the chips and the golden rank's memory, behind everybody's back."""
        self.chips.load(address, np.asarray(content, np.uint8).tobytes())
        self.golden.store(address, np.asarray(content, np.uint8))

    async def classify(self, program):
        """A program of the compiler, all equal; gives its :class:`golden.enmc.rank_timing.RankTimes`."""
        for address, content in program.writes:
            self.load(address, content)
        results = program.results(self.golden.fetch, self.golden.run(program.instructions))
        return await self.run(program.instructions, results.candidates)

    async def run(self, instructions, candidates=()):
        """A program on both: every command on the chips' pins, the cycle in which the rank is at rest, the counters."""
        model, host, instructions = self.model, self.host, list(instructions)
        # The host's first command is on its pins a cycle after the one that begins now.
        model.advance(self.chips.clock // PHASES + 1 - model.cycle)
        host.sent, host.rest = [], None
        times = model.run(instructions, candidates, bin_cycles=self.ctx.options.get("bin_cycles", 500))
        await host.run(instructions)
        mine = [(cycle, *pin) for cycle, pin in model.trace]
        theirs = [(clock // PHASES, clock % PHASES, command.kind, *_where(command))
                  for clock, command in self.chips.trace]
        for number, (got, expected) in enumerate(zip(theirs, mine)):
            assert got == expected, f"command {number}: {got}, the model says {expected}"
        assert len(theirs) == len(mine), f"{len(theirs)} commands, the model says {len(mine)}"
        cycles = host.rest - host.sent[0]
        assert cycles == times.cycles, f"{cycles} cycles, the model says {times.cycles}"
        bursts = await host.query("BURSTS")
        got = {name: await host.query(name.upper()) for name in COUNTERS}
        got |= {"bursts_read": bursts & 0xFFFF_FFFF, "bursts_written": bursts >> 32}
        expected = {name: getattr(times, name) for name in got}
        assert got == expected, f"{got}, the model says {expected}"
        counts = await host.query("CANDIDATES01"), await host.query("CANDIDATES23")
        assert [count >> 32 * half & 0xFFFF_FFFF for count in counts for half in (0, 1)] == list(times.candidates)
        model.trace.clear()
        self.chips.trace.clear()
        self.dut._log.info("%s", times)
        return times


def _where(command):
    """Bank and row or column / 8, as the model has them."""
    bank = command.bg | command.ba << 2
    places = {"ACT": command.address, "RD": command.address >> 3, "WR": command.address >> 3, "PRE": 0}
    return (bank, places[command.kind]) if command.kind in places else (0, 0)
