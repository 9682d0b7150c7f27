"""Screener: approximate scores of all classes from INT4 weights that stream out of the DRAM (thesis 6.4.2)."""

import dataclasses
import typing

from amaranth.hdl import Array, Assert, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.pipeline import delay
from hw.config import Config, field
from hw.enmc.enmc_types import ADDRESS_BITS, BufferAccess, ScreenerJob, ScreenerOp, ScreenerSettings, WORD_BITS
from hw.enmc.feature_buffer import FeatureBuffer
from hw.enmc.int4_dot import DotPlan
from hw.enmc.isa_table import Buffer
from hw.enmc.mac_array import MacArray
from hw.enmc.nibble_unit import NibbleUnit
from hw.enmc.psum_buffer import PsumBuffer
from hw.enmc.screener_fetch import ScreenerFetch
from hw.enmc.screener_filter import ScreenerFilter
from hw.enmc.screener_finish import FinishTag, ScreenerFinish
from hw.enmc.screener_types import GROUP_CLASSES, Candidate, ScreenerResult, WORDS
from hw.enmc.weight_buffer import WeightBuffer
from hw.stream.hold import assert_hold

__all__ = ["Screener", "ScreenerConfig"]


#: Of the feature, the weight and the PSUM buffer.
BUFFERS = (Buffer.FEATURE_INT4, Buffer.WEIGHT_INT4, Buffer.PSUM_INT4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScreenerConfig(Config):
    """Sizes of the Screener."""

    weight_bursts: int = field(16, "bursts of 64 bytes that the weight buffer holds", unit="bursts", min=4, max=64)
    finish_lanes: int = field(1, "sums that are scaled in a cycle", choices=(1, 2, 4, 8))
    filter_lanes: int = field(4, "sums that are filtered in a cycle", choices=(1, 2, 4, 8))
    convert_stages: int = field(1, "registers of the conversion to FP32", min=1, max=2)
    booth: bool = field(True, "products from Booth digits of the features, instead of AND gates")
    levels: int = field(8, "full adders in a row between registers of the dot products", min=4, max=16)

    PRESETS: typing.ClassVar[dict[str, dict]] = {
        "paper": {},
        "small": {"weight_bursts": 4},
        "fpga": {},
    }

    @property
    def plan(self):
        """The :class:`hw.enmc.int4_dot.DotPlan`."""
        return DotPlan(self.booth, self.levels)


class Screener(wiring.Component):
    """Runs the jobs SCREEN, MUL_ADD, ADD, MUL and FILTER on the buffers FEATURE_INT4, WEIGHT_INT4 and PSUM_INT4.

    SCREEN asks for its bursts as far ahead as the weight buffer has room. A burst of weights takes a cycle an item in
    the MAC array, a burst of parameters one; the finish stage works on a group's sums meanwhile, in
    ``8 * items / finish_lanes`` cycles. SCREEN writes the other bank of the PSUM buffer than the one before, so that it
    runs beside the FILTER of that; FILTER begins when all sums before it are written. At most two SCREENs and two
    FILTERs are inside. The other jobs begin when the unit is empty, and nothing is taken until they are done.

    Throughput: with bursts coming, a group in ``max(items * chunks + 1, 8 * items / finish_lanes)`` cycles (a cycle
    more for four items where the second is the greater), without bubbles from job to job. Latencies, cycle by cycle:
    ``golden/enmc/screener_timing.py``. Back-pressure: full on ``jobs``, ``requests``, ``results``, ``indices``;
    ``jobs.ready`` depends in the same cycle on ``jobs.payload`` and ``requests.ready``. Source: thesis 6.4.2, Screener;
    docs/enmc/machine.md.

    Parameters
    ----------
    config: :class:`ScreenerConfig`
    assertions: add checks of the rules on inputs and of the streams (simulation)

    Members
    -------
    settings: In(:class:`hw.enmc.enmc_types.ScreenerSettings`), stable while ``busy``
    jobs: In(stream of :class:`hw.enmc.enmc_types.ScreenerJob`)
    busy: Out(1), a job is inside; mac_busy: one that is not FILTER; filter_busy: a FILTER
    clear: In(1): zeros in all buffers, not while ``busy``
    buffers: Out(:class:`hw.enmc.enmc_types.BufferAccess`); 0 and 1 not while ``mac_busy``, 4 not while ``busy``; reads
        of other buffers give zero
    requests: Out(stream of burst addresses); responses: In, the bursts in the order of the requests, unasked: none
    results: Out(stream of :class:`hw.enmc.screener_types.ScreenerResult`), four words a FILTER
    indices: Out(stream of :class:`hw.enmc.screener_types.Candidate`), in the order of the entries
    """

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "settings": In(ScreenerSettings), "jobs": In(stream.Signature(ScreenerJob)),
            "busy": Out(1), "mac_busy": Out(1), "filter_busy": Out(1), "clear": In(1), "buffers": Out(BufferAccess()),
            "requests": Out(stream.Signature(ADDRESS_BITS)),
            "responses": In(data.StructLayout({"valid": 1, "data": WORD_BITS})),
            "results": Out(stream.Signature(ScreenerResult)), "indices": Out(stream.Signature(Candidate)),
        })

    def elaborate(self, platform):
        m = Module()
        config, settings, job = self.config, self.settings, self.jobs.payload
        lanes = config.finish_lanes
        m.submodules.features = features = FeatureBuffer(config.plan)
        m.submodules.weights = weights = WeightBuffer(config.weight_bursts, assertions=self.assertions)
        m.submodules.fetch = fetch = ScreenerFetch(config.weight_bursts)
        m.submodules.array = array = MacArray(config.plan)
        m.submodules.finish = finish = ScreenerFinish(lanes)
        m.submodules.psums = psums = PsumBuffer(lanes)
        m.submodules.nibbles = nibbles = NibbleUnit(lanes)
        m.submodules.filter = filter_ = ScreenerFilter(config.filter_lanes, config.convert_stages, self.assertions)

        # SCREENs are numbered, modulo 4: those taken, those whose sums have all begun to be scaled, and that are done.
        # The lowest bit of a number is the bank.
        taken, scaled, done = Signal(2), Signal(2), Signal(2)
        # A job that has the unit for itself.
        alone, op = Signal(), Signal(ScreenerOp)
        # FILTERs wait for the SCREEN of their number.
        waiting, running = Signal(), filter_.running
        waiting_for, running_for = Signal(2), Signal(2)
        first_class = Signal(32, reset_less=True)

        # -- taking jobs
        accept, screen, filter_job = Signal(), Signal(), Signal()
        outstanding = Signal(2)
        m.d.comb += [
            outstanding.eq(taken - done),
            self.mac_busy.eq((outstanding != 0) | alone), self.filter_busy.eq(waiting | running),
            self.busy.eq(self.mac_busy | self.filter_busy),
            screen.eq(job.op == ScreenerOp.SCREEN), filter_job.eq(job.op == ScreenerOp.FILTER),
            accept.eq(self.jobs.valid & self.jobs.ready),
        ]
        with m.If(screen):
            m.d.comb += self.jobs.ready.eq(~alone & ~outstanding[1] & fetch.ready)
        with m.Elif(filter_job):
            m.d.comb += self.jobs.ready.eq(~alone & ~waiting)
        with m.Else():
            m.d.comb += self.jobs.ready.eq(~self.busy)
        groups = Signal(data.ArrayLayout(4, 2))
        with m.If(accept):
            with m.If(screen):
                m.d.sync += [taken.eq(taken + 1), groups[~taken[0]].eq(job.groups)]
            with m.Elif(filter_job):
                m.d.sync += [waiting.eq(1), waiting_for.eq(taken), first_class.eq(job.first_class)]
            with m.Else():
                m.d.sync += [alone.eq(1), op.eq(job.op)]
        m.d.comb += [
            fetch.start.eq(accept & screen), fetch.address.eq(job.address), fetch.groups.eq(job.groups),
            fetch.chunks.eq(settings.chunks), fetch.popped.eq(weights.pop),
            self.requests.valid.eq(fetch.requests.valid), self.requests.payload.eq(fetch.requests.payload),
            fetch.requests.ready.eq(self.requests.ready),
            weights.forget.eq(fetch.start | self.clear),
        ]

        # -- a job alone: in its first cycle the words of weights are queued, in the second the sums are there
        begun, second, nibble_job = Signal(), Signal(), Signal()
        m.d.sync += [begun.eq(alone), second.eq(weights.replay)]
        m.d.comb += [
            nibble_job.eq(alone & (op != ScreenerOp.MUL_ADD)),
            weights.replay.eq(alone & ~begun), weights.count.eq(Mux(nibble_job, 1, WORDS)),
            fetch.fill.eq(Mux(weights.replay, weights.count, 0)),
            nibbles.go.eq(nibble_job & weights.head_valid & features.chunk_valid),
            nibbles.multiply.eq(op == ScreenerOp.MUL), nibbles.bank.eq(done[0]),
            nibbles.chunk.eq(features.chunk), nibbles.weights.eq(weights.head[:256]),
            nibbles.known.eq(weights.known[0]),
        ]
        with m.If(nibbles.done | (alone & finish.done)):
            m.d.sync += alone.eq(0)

        # -- steps of the MAC array
        step, parameters, turn, mac_number, group = Signal(), Signal(), Signal(), Signal(), Signal(3)
        tag, last_group = features.tag, Signal()
        m.d.comb += [
            step.eq(weights.head_valid & ~turn & features.code_valid & ~nibble_job & (finish.room | ~tag.last)),
            parameters.eq(weights.head_valid & turn & finish.ready),
            weights.pop.eq(Mux(nibble_job, nibbles.last, parameters | (step & tag.last_item))),
            weights.push.eq(self.responses.valid), weights.data.eq(self.responses.data),
            last_group.eq(alone | (group + 1 == groups[~mac_number])),
            array.step.valid.eq(step), array.step.item.eq(tag.item), array.step.first.eq(tag.first),
            array.weights.eq(weights.head), array.code.eq(features.code),
            array.chunks.eq(Mux(alone, WORDS, settings.chunks)),
            finish.reserve.eq(step & tag.last),
        ]
        with m.If(step & tag.last & tag.last_item & ~alone):
            m.d.sync += turn.eq(1)
        with m.If(parameters):
            m.d.sync += [turn.eq(0), group.eq(group + 1)]
            with m.If(last_group):
                m.d.sync += [group.eq(0), mac_number.eq(~mac_number)]
        m.d.comb += [
            features.run.eq(self.mac_busy), features.chunks.eq(settings.chunks),
            features.last_item.eq(Mux(alone, 0, settings.items - 1)),
            features.last_chunk.eq(Mux(alone, WORDS - 1, settings.chunks - 1)),
            features.raw.eq(nibble_job), features.next_chunk.eq(nibbles.next_chunk),
            features.enable.eq(weights.known | (~alone).replicate(WORDS)), features.step.eq(step),
            features.forget.eq(self.clear),
        ]

        # -- sums to scores
        row = Signal(FinishTag)
        m.d.comb += [
            row.item.eq(tag.item), row.row.eq(_row(settings.items, tag.item, group)),
            row.begin.eq(~alone & (group == 0) & (tag.item == 0)), row.end.eq(last_group & tag.last_item),
            row.last_item.eq(tag.last_item),
        ]
        m.d.comb += [
            finish.push.eq(delay(m, finish.reserve, array.latency, name="push", control=True)),
            finish.tag.eq(delay(m, row, array.latency, name="row")), finish.totals.eq(array.sums),
            finish.load.eq(parameters | (second & ~nibble_job)), finish.burst.eq(weights.head),
            finish.wrap.eq(alone), finish.psum.eq(psums.data[:32 * GROUP_CLASSES]),
            finish.scale.eq(settings.scale), finish.shift.eq(settings.shift),
            finish.bank.eq(Mux(alone, done[0], ~scaled[0])),
            # Filters of the last use of the bank, two SCREENs before.
            finish.bank_free.eq(~(waiting & (waiting_for == (scaled - 1)[:2])) &
                                ~(running & (running_for == (scaled - 1)[:2]))),
        ]
        with m.If(~alone):
            m.d.sync += [scaled.eq(scaled + finish.end), done.eq(done + finish.done)]
        psum_writes = Mux(nibble_job, nibbles.sums, finish.sums)

        # -- filter
        start = Signal()
        m.d.comb += [
            # Not one of the two numbers before.
            start.eq(waiting & ~running & ~(done - waiting_for)[1]),
            filter_.start.eq(start), filter_.first_class.eq(first_class), filter_.settings.eq(settings),
            filter_.data.eq(psums.data),
        ]
        with m.If(start):
            m.d.sync += [waiting.eq(0), running_for.eq(waiting_for)]
        for mine, its in ((self.results, filter_.results), (self.indices, filter_.indices)):
            m.d.comb += [mine.valid.eq(its.valid), mine.payload.eq(its.payload), its.ready.eq(mine.ready)]

        # -- buffers
        access = self.buffers
        reading = [Signal(name=f"reading_{buffer.name.lower()}") for buffer in BUFFERS]
        for unit, flag, buffer in zip((features, weights, psums), reading, BUFFERS):
            m.d.comb += [unit.write_enable.eq(access.write_enable & (access.write_buffer == buffer)),
                         unit.write_index.eq(access.write_index), unit.write_data.eq(access.write_data)]
            m.d.sync += flag.eq(access.read_buffer == buffer)
        read_index = delay(m, access.read_index, 1, name="read_index")
        m.d.comb += [
            features.read_index.eq(access.read_index), weights.read_index.eq(access.read_index),
            psums.sums.eq(psum_writes), psums.forget.eq(self.clear), psums.write_bank.eq(done[0]),
            psums.read_enable.eq(filter_.read_enable | ~running),
            psums.read_bank.eq(Mux(start, waiting_for[0], Mux(running, running_for[0], done[0]))),
            psums.read_index.eq(Mux(filter_.read_enable, filter_.read_index, Mux(alone, 0, access.read_index))),
            access.read_data.eq(
                (features.data & (reading[0] & features.known.bit_select(read_index, 1)).replicate(WORD_BITS)) |
                (weights.head & (reading[1] & weights.known.bit_select(read_index, 1)).replicate(WORD_BITS)) |
                (psums.data & reading[2].replicate(WORD_BITS))),
        ]
        if self.assertions:
            self._check(m, accept, screen)
        return m

    def _check(self, m, accept, screen):
        """The rules on inputs."""
        settings, job, access = self.settings, self.jobs.payload, self.buffers
        before = Signal(ScreenerSettings)
        was_busy = Signal()
        m.d.sync += [before.eq(settings), was_busy.eq(self.busy)]
        spans = Array([8, 8, 4, 2, 2, 0, 0, 0])
        writes = access.write_enable
        mine = Cat(access.write_buffer == buffer for buffer in BUFFERS[:2])
        with m.If(self.busy & was_busy):
            m.d.sync += Assert(before.as_value() == settings.as_value(), "settings change while the Screener is busy")
        with m.If(accept):
            m.d.sync += Assert(job.op.as_value() <= ScreenerOp.FILTER.value, "there is no such job")
            with m.If(screen):
                m.d.sync += [
                    Assert((settings.items != 0) & (settings.items <= 4), "items is not 1 to 4"),
                    Assert((settings.chunks != 0) & (settings.chunks * settings.items <= 32), "chunks are not allowed"),
                    Assert((job.groups != 0) & (job.groups <= spans[settings.items]), "groups are not allowed"),
                    Assert(settings.shift <= 47, "shift is more than 47"),
                ]
        m.d.sync += [
            Assert(~(writes & mine.any() & self.mac_busy), "buffer 0 or 1 is written while it is used"),
            Assert(~(writes & (access.write_buffer == BUFFERS[2]) & self.busy), "PSUM is written while it is used"),
            Assert(~(self.clear & self.busy), "clear while the Screener is busy"),
        ]
        assert_hold(m, self.requests)


def _row(items, item, group):
    """The row of 8 sums of a group: an item has 8, 4 or 2 rows."""
    return Mux(items == 1, group, Mux(items == 2, Cat(group[:2], item[0]), Cat(group[0], item)))
