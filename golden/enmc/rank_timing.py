"""Cycle model of the EnmcRank: how long a program takes, equal to the hardware's (tests/enmc/test_rank_timing.py).

::

    times = rank_times(program.instructions, candidates, EnmcRankConfig.preset("paper"))

No numbers are computed: time depends on them only through which classes are candidates. All units are stepped cycle by
cycle, each a model of its own; what joins them is here. Rules and limits: docs/enmc/rank_timing.md.
"""

import bisect
import dataclasses

import numpy as np

from golden.enmc.controller_timing import ControllerTiming, UnitFlags
from golden.enmc.dram_timing import DramTiming
from golden.enmc.enmc_executor_timing import ExecutorTiming
from golden.enmc.executor_instruction_timing import instruction_cycles
from golden.enmc.generator_timing import GeneratorTiming
from golden.enmc.host_timing import HostTiming
from golden.enmc.instruction_generator import CandidateSettings
from golden.enmc.isa import decode
from golden.enmc.layout import BURST_BYTES
from golden.enmc.load_store_timing import LoadStoreTiming
from golden.enmc.memory_arbiter_timing import EXECUTOR, LOAD, SCREENER, MemoryArbiterTiming
from golden.enmc.output_buffer_timing import OutputBufferTiming
from golden.enmc.result_writer_timing import ResultPlaces, ResultWriterTiming
from golden.enmc.screener import ENTRIES, item_entries
from golden.enmc.screener_timing import FilterJob, ScreenerTiming
from golden.enmc.timing import DdrTiming

__all__ = ["RankTimes", "RankTiming", "TIMELINE", "rank_times"]

_RESULTS, _STORES = range(2)  # writers of the MemoryArbiter
_ITEMS = 4
#: What a bin of the timeline counts: cycles in which a unit works, or both do; bursts.
TIMELINE = ("screener", "executor", "overlap", "bursts_read", "bursts_written")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RankTimes:
    """What a program took.

    ``cycles``: from that in which its first instruction is on the host's pins to the first in which STATUS would say
    neither busy nor owner. ``screener_cycles``, ``executor_cycles``, ``overlap_cycles``, ``bursts_read``,
    ``bursts_written``: what the registers say at the end, of the time since its CLR. ``activates``, ``precharges``,
    ``refreshes``: commands of the DramController. ``candidates``: accurate results of each of four items since CLR.
    ``timeline``: int64 (bins, 5), columns :data:`TIMELINE`, of ``bin_cycles`` cycles each from the program's first
    cycle on; the last bin may be shorter.
    """

    cycles: int
    screener_cycles: int
    executor_cycles: int
    overlap_cycles: int
    bursts_read: int
    bursts_written: int
    activates: int
    precharges: int
    refreshes: int
    candidates: tuple
    bin_cycles: int
    timeline: np.ndarray


class RankTiming:
    """A rank with a host at its port, from its reset on.

    Parameter: ``config``: an object with the fields of ``hw.enmc.enmc_rank.EnmcRankConfig``, and its ``plan``.
    Attributes: ``cycle``: cycles over; ``trace``: when set to a list, the commands on the chips' pins as (cycle,
    :class:`golden.enmc.dram_timing.Pin`).
    """

    def __init__(self, config):
        self.cycle, self.trace = 0, None
        timing = DdrTiming(**{spec.name: getattr(config, spec.name) for spec in dataclasses.fields(DdrTiming)})
        self._dram = DramTiming(timing, row_bits=config.row_bits, queue=config.queue, lookahead=config.lookahead)
        self._screener = ScreenerTiming(
            weight_bursts=config.weight_bursts, finish_lanes=config.finish_lanes, filter_lanes=config.filter_lanes,
            convert_stages=config.convert_stages, mac_latency=len(config.plan.cuts))
        self._executor = ExecutorTiming(tile_words=config.tile_words, fma_stages=config.fma_stages)
        self._generator = GeneratorTiming(config.queue_depth, config.tile_words)
        self._output = OutputBufferTiming(config.maximum_lanes)
        self._writer, self._load_store = ResultWriterTiming(), LoadStoreTiming()
        self._arbiter = MemoryArbiterTiming(config.write_depth, config.turn)
        self._controller = ControllerTiming(config.depth, config.row_bits, config.cwl, self._lone_cycles,
                                            self._filter_job)
        self._host = HostTiming(config.depth, config.cl)
        self._functions = {"fma_stages": config.fma_stages, "function_lanes": config.function_lanes}
        self._candidates = [[] for _ in range(_ITEMS)]
        self._sequence = 0  # cycles that an instruction has the Executor for itself
        self._computing = False
        # Of TIMELINE: since reset, and what they were at the last CLR.
        self._totals, self._cleared = [0] * len(TIMELINE), [0] * len(TIMELINE)

    def advance(self, cycles):
        """Cycles in which the host sends nothing."""
        for _ in range(cycles):
            self._step(False)

    def run(self, program, candidates=(), *, bin_cycles=1024):
        """Run a program; gives its :class:`RankTimes`.

        ``program``: instructions (:class:`golden.enmc.isa.Instruction`); QUERYs at its end are left out.
        ``candidates``: for each item the numbers of the classes that FILTER finds, in any order. Raises ``ValueError``
        for an instruction that the rank would refuse, and for a QUERY in between.
        """
        if not isinstance(bin_cycles, int) or bin_cycles < 1:
            raise ValueError(f"bin_cycles = {bin_cycles!r} is not allowed: it must be an integer, at least 1")
        if len(candidates) > _ITEMS:
            raise ValueError(f"candidates of {len(candidates)} items are not allowed: there are at most {_ITEMS}")
        self._candidates = [sorted(map(int, item)) for item in candidates]
        self._candidates += [[] for _ in range(_ITEMS - len(self._candidates))]
        self._host.send(_without_queries(program))
        commands, marks, first = dict(self._dram.counters), [], None
        while True:
            sent, now = self._host.idle, self.cycle
            rest, pins = self._step(True)
            if first is None and pins is not None:
                first, marks = now, [list(self._totals)]
            elif first is not None and rest and sent:
                break
            if first is not None and (now + 1 - first) % bin_cycles == 0:
                marks.append(list(self._totals))
        if (now - first) % bin_cycles:
            marks.append(list(self._totals))
        counts = [total - cleared for total, cleared in zip(self._totals, self._cleared)]
        return RankTimes(
            cycles=now - first, screener_cycles=counts[0], executor_cycles=counts[1], overlap_cycles=counts[2],
            bursts_read=counts[3], bursts_written=counts[4], candidates=tuple(self._writer.counts),
            bin_cycles=bin_cycles, timeline=np.diff(np.array(marks, np.int64), axis=0),
            **{name: self._dram.counters[name] - commands[name] for name in ("activates", "precharges", "refreshes")})

    def _step(self, hosted):
        """One cycle; whether STATUS says neither busy nor owner in it, and the instruction on the pins or ``None``."""
        now = self.cycle
        arbiter, dram, controller = self._arbiter, self._dram, self._controller
        screener, executor, generator = self._screener, self._executor, self._generator
        output, writer, load_store = self._output, self._writer, self._load_store

        # Memory: the DramController's answers depend on nothing that happens in this cycle.
        reads = [screener.request, executor.request, load_store.read]
        writes = [writer.write, load_store.write]
        request, data = arbiter.offer(reads[LOAD] is not None)
        arbiting = arbiter.busy(reads, writes)
        ready, data_ready, response, idle, pins = dram.step(request, data, enable=controller.wanted or arbiting)
        if pins and self.trace is not None:
            self.trace += [(now, pin) for pin in pins]
        read, write, sent = arbiter.step(reads, writes, ready, data_ready)

        # Results and candidates.
        result, word, index, offered = executor.result, screener.result, screener.index, generator.offered
        result_ready = writer.ready(write == _RESULTS)
        accurate = result is not None and result_ready
        word_taken = word is not None and output.last and not accurate
        index_taken = index is not None and generator.takes(index[0])

        # Instructions.
        sequence = self._sequence
        executor_busy = executor.busy or sequence > 0
        flags = UnitFlags(
            screener.busy, screener.filter_busy or word is not None or index is not None or output.waits, executor_busy,
            generator.working or self._computing or writer.busy, not generator.empty, load_store.busy,
            idle and not arbiting)

        def takes(kind, job):
            if kind == "SCREENER":
                return screener.takes(job, read == SCREENER)
            if kind == "CANDIDATES":
                return generator.span is None
            return not executor_busy and offered is None

        rest = not controller.wanted and flags.memory_idle and not controller.waits and controller.quiet(flags)
        instruction = self._host.step(now, controller.waiting) if hosted and not self._host.idle else None
        kind, job, memory_job, flush = decision = controller.decide(flags, takes)
        controller.step(now, instruction, flags, decision)

        # The units.
        shown = executor.step(None if sequence else offered, response == EXECUTOR, request=read == EXECUTOR,
                              result=result_ready)
        if shown.ready:
            self._computing = True
        elif not executor_busy:
            self._computing = False
        if sequence:
            self._sequence = sequence - 1
        generator.step(index, job if kind == "CANDIDATES" else None, flush, shown.ready)
        output.step(word, accurate, word is not None and screener.filter.classes, screener.items)
        screener.step(job if kind == "SCREENER" else None, requested=read == SCREENER, response=response == SCREENER,
                      result_taken=word_taken, index_taken=index_taken)
        writer.step(result if accurate else None, write == _RESULTS)
        load_store.step(memory_job, read == LOAD, response == LOAD, write == _STORES)

        totals = self._totals
        totals[0] += flags.screener
        totals[1] += executor_busy
        totals[2] += flags.screener and executor_busy
        totals[3] += response is not None
        totals[4] += sent
        if kind == "EXECUTOR":
            self._sequence = instruction_cycles(*job, **self._functions) - 1
        elif kind in ("INIT", "CLR"):
            self._set(kind == "CLR")
        self.cycle = now + 1
        return rest, instruction

    def _set(self, clears):
        """The units see the registers; after a CLR."""
        value = self._controller.registers
        burst = {name: value[name] // BURST_BYTES for name in (
            "ROW_BASE", "FEATURE_BASE", "RESULT_BASE", "RESULT_STRIDE", "LOG_BASE", "LOG_STRIDE", "WRITE_LOW",
            "WRITE_HIGH")}
        self._screener.items, self._screener.chunks = value["ITEMS"], value["CHUNKS"]
        self._generator.settings = CandidateSettings(
            row_base=burst["ROW_BASE"], row_bursts=value["ROW_BURSTS"], feature_base=burst["FEATURE_BASE"])
        self._writer.places = ResultPlaces(
            burst["RESULT_BASE"], burst["RESULT_STRIDE"], burst["LOG_BASE"], burst["LOG_STRIDE"], burst["WRITE_LOW"],
            burst["WRITE_HIGH"])
        self._load_store.low, self._load_store.high = burst["WRITE_LOW"], burst["WRITE_HIGH"]
        if clears:
            self._writer.counts = [0] * _ITEMS
            self._cleared = list(self._totals)

    def _lone_cycles(self, op):
        return self._screener.mul_add_cycles if op == "MUL_ADD" else self._screener.nibble_cycles

    def _filter_job(self, first_class):
        """The candidates of a tile, by the Filter's steps."""
        value, lanes = self._controller.registers, self._screener.filter_lanes
        span = item_entries(value["ITEMS"])
        last = min(first_class + span, value["CLASSES"])
        steps = [[] for _ in range(ENTRIES // lanes)]
        for item in range(value["ITEMS"]):
            found = self._candidates[item]
            for number in found[bisect.bisect_left(found, first_class):bisect.bisect_left(found, last)]:
                steps[(item * span + number - first_class) // lanes].append((item, number))
        return FilterJob(steps, last - first_class)


def _without_queries(program):
    """The instructions up to the QUERYs at the end."""
    program = list(program)
    is_query = [_is_query(instruction) for instruction in program]
    count = next((place + 1 for place in reversed(range(len(program))) if not is_query[place]), 0)
    if any(is_query[:count]):
        raise ValueError(f"instruction {is_query.index(True)} is a QUERY: it is allowed at the end of a program only")
    if not count:
        raise ValueError("the program has no instruction but QUERYs")
    return program[:count]


def _is_query(instruction):
    definition = decode(instruction).definition
    return definition is not None and definition.register == "read"


def rank_times(program, candidates, config, *, bin_cycles=1024):
    """:class:`RankTimes` of a program on a rank that was reset: see :class:`RankTiming` and :meth:`RankTiming.run`."""
    return RankTiming(config).run(program, candidates, bin_cycles=bin_cycles)
