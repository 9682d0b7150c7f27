"""EnmcExecutor: accurate results of candidates, and the FP32 instructions (thesis 6.4.2, Executor; Figure 6.6)."""

import dataclasses
import typing

from amaranth.hdl import Assert, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.float32 import MINUS_ZERO
from hw.arith.float_functions import FloatFunction, FloatFunctions
from hw.config import field
from hw.enmc.candidate_fetch import CandidateFetch
from hw.enmc.candidate_sequence import CandidateSequence
from hw.enmc.candidate_step import GROUP, AccurateResult, CandidateStep, TileConfig
from hw.enmc.enmc_types import ADDRESS_BITS, ITEMS, WORD_BITS, BufferAccess, ExecutorOp, HostJob
from hw.enmc.executor_datapath import ExecutorDatapath
from hw.enmc.executor_sequence import ExecutorSequence, Operation
from hw.enmc.function_run import LANES
from hw.enmc.isa_table import Buffer
from hw.stream.fifo import Fifo
from hw.stream.hold import assert_hold

__all__ = ["EnmcExecutor", "EnmcExecutorConfig"]

#: Words of FEATURE_FP32, WEIGHT_FP32.
WORDS = 4
#: Results that can wait to be taken: those of a group and one.
RESULTS = GROUP + 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnmcExecutorConfig(TileConfig):
    """Sizes of the EnmcExecutor."""

    function_lanes: int = field(2, "lanes that have exp, reciprocal, sigmoid", choices=(1, 2, 4, 8, 16))
    fma_stages: int = field(4, "stages of the multiply-add; a slot is used every fma_stages cycles at most",
                            min=2, max=6)

    PRESETS: typing.ClassVar[dict[str, dict]] = {
        "paper": {}, "small": {"tile_words": 4, "function_lanes": 1}, "fpga": {"function_lanes": 1},
    }

    @property
    def memory_bits(self):
        """Bits of two tiles of features (FEATURE_FP32) and of the rows of four slots (WEIGHT_FP32)."""
        return 2 * self.tile_words * (1 + GROUP) * WORD_BITS

    def function_cycles(self, steps, elements):
        """Cycles of a run of a function that takes ``steps`` steps, to the last of its results."""
        places, requests = self.fma_stages + 1, -(-elements // self.function_lanes)
        rounds, place = divmod(requests - 1, places)
        return (rounds + 1) * steps * places + place + 3

    def cycles(self, op, count=64, phase=0):
        """Cycles from an instruction (:class:`hw.enmc.enmc_types.ExecutorOp`) to the next one that can be taken."""
        steps = FloatFunctions.STEPS
        drain = self.fma_stages + 2  # from an operation issued until its result is seen
        words = [min(LANES, count - start) for start in range(0, count, LANES)]
        if op == ExecutorOp.SIGMOID:
            return 1 + self.function_cycles(steps[FloatFunction.SIGMOID], 64)
        if op != ExecutorOp.SOFTMAX:
            return 1 + WORDS + drain
        if not words:
            return 1
        if phase == 0:
            tree = 4 * self.fma_stages + 1
            return 1 + drain + sum(1 + drain + self.function_cycles(steps[FloatFunction.EXP], word) + tree
                                   for word in words)
        return (1 + self.function_cycles(steps[FloatFunction.RECIPROCAL], 1) + 2 * (len(words) + drain)
                + self.function_cycles(steps[FloatFunction.EXP], count))


class EnmcExecutor(wiring.Component):
    """Sixteen FP32 multiply-adds, a burst of the weights each cycle.

    ``steps`` of candidates become reads: a tile of the features, then of the row of each slot. The multiply-adds go
    through a tile word by word, slot after slot, as soon as the words are here, while the next tile is read. REDUCE
    adds the 16 lanes of each slot (level by level, all slots of the group in turn) while bursts come in; the
    multiply-adds catch up while features come. ``jobs``, the instructions, are taken when nothing else is inside.

    Throughput: a burst a cycle for groups of four; :mod:`golden.enmc.enmc_executor_timing` has every cycle. Latency of
    instructions: see docs/enmc/enmc_executor.md. Back-pressure: ``steps``, ``jobs``; ``requests`` and ``results`` may
    stall for any time; ``responses`` are never refused.
    Errors: none of its own; what may not come is refused by the controller, and asserted here.
    Source: thesis 6.4.2 (Executor), Figure 6.6, Table 6.4.

    Parameters: ``config``, :class:`EnmcExecutorConfig`; ``assertions``: checks of the rules on inputs (simulation).

    Members
    -------
    steps: In(stream of :class:`hw.enmc.candidate_step.CandidateStep`)
    jobs: In(stream of :class:`hw.enmc.enmc_types.HostJob`)
    requests: Out(stream of burst addresses)
    responses: In({valid, data}): bursts, in the order of the requests, at least a cycle after they were taken
    results: Out(stream of :class:`hw.enmc.candidate_step.AccurateResult`), in the order of the groups
    maximum: In(array of FP32), MAX of each item, stable while an instruction is inside
    sum: Out(FP32), SUM; sum_write: In({enable, data}) sets it
    access: :class:`hw.enmc.enmc_types.BufferAccess`, for buffers 2, 3, 5, while not ``busy``
    clear: In: the buffers and SUM become zero, while not ``busy``
    busy: Out: a step, instruction or result is inside
    """

    def __init__(self, config, assertions=False):
        self.config, self.assertions = config, assertions
        super().__init__({
            "steps": In(stream.Signature(CandidateStep)), "jobs": In(stream.Signature(HostJob)),
            "requests": Out(stream.Signature(ADDRESS_BITS)),
            "responses": In(data.StructLayout({"valid": 1, "data": WORD_BITS})),
            "results": Out(stream.Signature(AccurateResult)),
            "maximum": In(data.ArrayLayout(32, ITEMS)), "sum": Out(32),
            "sum_write": In(data.StructLayout({"enable": 1, "data": 32})),
            "access": Out(BufferAccess()), "clear": In(1), "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.fetch = fetch = CandidateFetch(config.tile_words, assertions=self.assertions)
        m.submodules.candidates = candidates = CandidateSequence(config.tile_words)
        m.submodules.sequence = sequence = ExecutorSequence()
        m.submodules.datapath = datapath = ExecutorDatapath(config.fma_stages, config.function_lanes,
                                                            assertions=self.assertions)
        wiring.connect(m, fetch.requests, wiring.flipped(self.requests))
        wiring.connect(m, fetch.tiles, candidates.tiles)
        pending = Signal(range(RESULTS + 1))
        operation, quiet = Signal(Operation), Signal()
        m.d.comb += [
            fetch.source.payload.eq(self.steps.payload),
            fetch.source.valid.eq(self.steps.valid & ~sequence.active),
            self.steps.ready.eq(fetch.source.ready & ~sequence.active),
            sequence.jobs.payload.eq(self.jobs.payload), sequence.jobs.valid.eq(self.jobs.valid & ~self.steps.valid),
            self.jobs.ready.eq(sequence.jobs.ready & ~self.steps.valid),
            fetch.arrived.eq(self.responses.valid), fetch.multiplied.eq(candidates.position),
            candidates.whole.eq(fetch.whole), candidates.arrival.eq(fetch.arrival),
            candidates.room.eq(pending != RESULTS), candidates.ready.eq(datapath.ready),
            quiet.eq(fetch.empty & ~candidates.reducing & ~datapath.flying),
            sequence.quiet.eq(quiet), self.busy.eq(~quiet | sequence.active | (pending != 0)),
            operation.eq(Mux(sequence.active, sequence.operation, candidates.operation)),
            datapath.operation.eq(operation),
            datapath.issued.eq(candidates.issued | sequence.operation_valid & datapath.ready),
            sequence.operation_ready.eq(datapath.ready), datapath.wipe.eq(candidates.multiplies | self.clear),
            datapath.run.eq(sequence.run), datapath.function.eq(sequence.function),
            datapath.limit.eq(sequence.limit), datapath.base.eq(sequence.base), sequence.done.eq(datapath.done),
        ]
        self._buffers(m, fetch, candidates, datapath, operation)
        self._results(m, fetch, datapath, pending, candidates.asks)

        # SUM, and -MAX of the instruction's item.
        total, minus_max = Signal(32), Signal(32, reset_less=True)
        m.d.comb += [self.sum.eq(total), datapath.sum.eq(total), datapath.minus_max.eq(minus_max)]
        m.d.sync += minus_max.eq(self.maximum[sequence.item] ^ MINUS_ZERO)
        with m.If(self.clear):
            m.d.sync += total.eq(0)
        with m.Elif(self.sum_write.enable):
            m.d.sync += total.eq(self.sum_write.data)
        with m.Elif(datapath.sum_valid):
            m.d.sync += total.eq(datapath.result)
        if self.assertions:
            self._assertions(m)
        return m

    def _buffers(self, m, fetch, candidates, datapath, operation):
        """Rings of two tiles, one of features and one a slot; the first four words are FEATURE_FP32 and WEIGHT_FP32 to
        the program."""
        access, places = self.access, 2 * self.config.tile_words
        m.submodules.feature = feature = memory.Memory(shape=WORD_BITS, depth=places, init=[])
        m.submodules.weight = weight = memory.Memory(shape=WORD_BITS, depth=GROUP * places, init=[])
        feature_write, feature_read = feature.write_port(), feature.read_port()
        weight_write, weight_read = weight.write_port(), weight.read_port()
        arrival, multiply = fetch.arrival, candidates.multiplies
        load, come, place, next_place = Signal(), Signal(), Signal(range(places)), Signal(range(places))
        m.d.comb += [load.eq(self.responses.valid & arrival.feature), come.eq(self.responses.valid & ~arrival.feature),
                     next_place.eq(arrival.position[:len(place)]), place.eq(candidates.position[:len(place)])]

        writes = {buffer: Signal(name=f"write_{buffer.name.lower()}")
                  for buffer in (Buffer.FEATURE_FP32, Buffer.WEIGHT_FP32, Buffer.PSUM_FP32)}
        m.d.comb += [write.eq(access.write_enable & (access.write_buffer == buffer.value))
                     for buffer, write in writes.items()]
        m.d.comb += [
            datapath.load.eq(writes[Buffer.PSUM_FP32]), datapath.load_slot.eq(access.write_index),
            datapath.load_data.eq(access.write_data), datapath.psum_slot.eq(access.read_index),
        ]
        for port, comes, to, buffer in ((feature_write, load, next_place, Buffer.FEATURE_FP32),
                                        (weight_write, come, Cat(next_place, arrival.slot), Buffer.WEIGHT_FP32)):
            m.d.comb += [
                port.en.eq(comes | writes[buffer]), port.addr.eq(Mux(comes, to, access.write_index)),
                port.data.eq(Mux(comes, self.responses.data, access.write_data)),
            ]

        # To the program a word is zero until it writes it.
        word = Signal(2)
        m.d.comb += [
            word.eq(Mux(datapath.issued, operation.word, access.read_index)),
            feature_read.addr.eq(Mux(multiply, place, word)),
            weight_read.addr.eq(Mux(multiply, Cat(place, candidates.slot), word)),
            feature_read.en.eq(multiply | fetch.empty), weight_read.en.eq(multiply | fetch.empty),
        ]
        seen = []
        for buffer, read in ((Buffer.FEATURE_FP32, feature_read), (Buffer.WEIGHT_FP32, weight_read)):
            name = buffer.name.lower()
            zero, hidden = Signal(WORDS, init=~0, name=f"zero_{name}"), Signal(name=f"hidden_{name}")
            with m.If(multiply | self.clear):
                m.d.sync += zero.eq(~0)
            with m.Elif(writes[buffer]):
                m.d.sync += zero.bit_select(access.write_index, 1).eq(0)
            m.d.sync += hidden.eq(zero.bit_select(word, 1) & (~datapath.issued | operation.visible))
            seen.append(Mux(hidden, 0, read.data))
        m.d.comb += [datapath.feature.eq(seen[0]), datapath.weight.eq(seen[1])]
        shown = Signal(4)
        m.d.sync += shown.eq(access.read_buffer)
        with m.Switch(shown):
            with m.Case(Buffer.FEATURE_FP32):
                m.d.comb += access.read_data.eq(datapath.feature)
            with m.Case(Buffer.WEIGHT_FP32):
                m.d.comb += access.read_data.eq(datapath.weight)
            with m.Default():
                m.d.comb += access.read_data.eq(datapath.psum)

    def _results(self, m, fetch, datapath, pending, asks):
        """Results of a group get their item and class; ``pending`` of them are to come or to be taken."""
        m.submodules.queue = queue = Fifo(AccurateResult, RESULTS, assertions=self.assertions)
        wiring.connect(m, queue.o, wiring.flipped(self.results))
        group, index = fetch.groups.p, Signal(2)
        m.d.comb += [
            queue.i.valid.eq(datapath.result_valid), queue.i.p.item.eq(group.item),
            queue.i.p.class_index.eq(group.classes[index]), queue.i.p.value.eq(datapath.result),
            fetch.groups.ready.eq(datapath.result_valid & (index == group.last_slot)),
        ]
        with m.If(datapath.result_valid):
            m.d.sync += index.eq(Mux(fetch.groups.ready, 0, index + 1))
        m.d.sync += pending.eq(pending + asks - (self.results.valid & self.results.ready))

    def _assertions(self, m):
        assert_hold(m, self.requests)
        assert_hold(m, self.results)
        asked = Signal(range(2 * self.config.tile_words * (1 + GROUP) + 1))
        sent = self.requests.valid & self.requests.ready
        m.d.sync += [
            asked.eq(asked + sent - self.responses.valid),
            Assert(~self.responses.valid | (asked != 0), "a burst that nobody asked for"),
            Assert(~(self.clear | self.access.write_enable | self.sum_write.enable) | ~self.busy,
                   "a buffer is written while the Executor works"),
        ]
