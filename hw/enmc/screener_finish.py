"""Finish stage of the Screener: sums of groups of classes become approximate scores."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.pipeline import delay
from hw.enmc.enmc_types import ITEMS, WORD_BITS
from hw.enmc.psum_buffer import ROWS, PsumWrite
from hw.enmc.score_lane import ScoreLane
from hw.enmc.screener_types import GROUP_CLASSES, SUM_BITS

__all__ = ["FinishTag", "ScreenerFinish"]

#: Rows of sums that wait: one for each item of a group.
QUEUE = ITEMS


SUMS = data.ArrayLayout(SUM_BITS, GROUP_CLASSES)


class FinishTag(data.Struct):
    """Of a row of sums, those of the 8 classes of a group for one ``item``: its ``row`` of the PSUM buffer.

    ``begin``, ``end``: the first, the last row of a job; ``last_item``: of the group.
    """

    item: 2
    row: range(ROWS)
    begin: 1
    end: 1
    last_item: 1


class Parameters(data.Struct):
    """Of a class, in a burst of parameters."""

    bias: 32
    scale: 16
    zero: 16


class ScreenerFinish(wiring.Component):
    """Scales, shifts, adds the bias and saturates (:class:`ScoreLane`), ``lanes`` classes a cycle.

    Rows of sums wait in a queue of four, the parameters of one group in registers.

    Latency: a row that finds nothing before it is first worked on the cycle after it and the group's parameters are
    there, its last score is written 8 / ``lanes`` - 1 + ``latency`` cycles later. Throughput: a row in 8 / ``lanes``
    cycles.

    Parameters: ``lanes`` 1, 2, 4 or 8.

    Members
    -------
    reserve: In(1), room: Out(1): a row is going to be pushed; only with ``room``
    push: In(1), totals: In(array of 8 x 17 bits), tag: In(:class:`FinishTag`): a row of sums
    load: In(1), burst: In(512): parameters of the next group, with ``ready`` Out(1), which does not depend on them
    wrap: In(1), psum: In(256): instead, the sum of each class is added to ``psum``, modulo 2^32, unscaled; ``load``
        loads that
    scale: In(array of 4 x 16 bits), shift: In(6); stable
    bank: In(1), bank_free: In(1), of the job whose row is the next: a row with ``begin`` waits for ``bank_free``
    end: Out(1): the last row of a job has left the queue
    sums: Out(:class:`PsumWrite`); done: Out(1): with the last ones of a job
    """

    latency = ScoreLane.latency

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__({
            "reserve": In(1), "room": Out(1), "push": In(1), "totals": In(SUMS), "tag": In(FinishTag),
            "load": In(1), "burst": In(WORD_BITS), "ready": Out(1), "wrap": In(1), "psum": In(32 * GROUP_CLASSES),
            "scale": In(data.ArrayLayout(16, ITEMS)), "shift": In(6),
            "bank": In(1), "bank_free": In(1), "end": Out(1), "sums": Out(PsumWrite(lanes)), "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = memory.Memory(
            shape=data.StructLayout({"totals": SUMS, "tag": FinishTag}), depth=QUEUE, init=[])
        write, read = queue.write_port(), queue.read_port(domain="comb")
        tail, first = Signal(range(QUEUE)), Signal(range(QUEUE))
        waiting, reserved = Signal(range(QUEUE + 1)), Signal(range(QUEUE + 1))
        steps = GROUP_CLASSES // self.lanes
        step, loaded = Signal(range(steps)), Signal()
        go, leave, release = Signal(), Signal(), Signal()
        row, totals = read.data.tag, read.data.totals
        m.d.comb += [
            write.en.eq(self.push), write.addr.eq(tail), write.data.totals.eq(self.totals), write.data.tag.eq(self.tag),
            read.addr.eq(first),
            self.room.eq((reserved != QUEUE) | leave),
            go.eq((waiting != 0) & loaded & (self.bank_free | ~row.begin)),
            leave.eq(go & (step == steps - 1)),
            release.eq(leave & row.last_item),
            self.ready.eq(~loaded | release),
            self.end.eq(leave & row.end),
        ]
        # ``leave`` and what follows from it come late.
        m.d.sync += [
            waiting.eq(Mux(leave, waiting + self.push - 1, waiting + self.push)),
            reserved.eq(Mux(self.reserve, reserved + ~leave, reserved - leave)),
        ]
        with m.If(self.push):
            m.d.sync += tail.eq(tail + 1)
        with m.If(leave):
            m.d.sync += first.eq(first + 1)
        if steps > 1:
            with m.If(go):
                m.d.sync += step.eq(step + 1)

        biases = Signal(data.ArrayLayout(32, GROUP_CLASSES), reset_less=True)
        scales = Signal(data.ArrayLayout(16, GROUP_CLASSES), reset_less=True)
        with m.If(self.load):
            m.d.sync += loaded.eq(1)
            for index in range(GROUP_CLASSES):
                one = data.View(Parameters, self.burst.word_select(index, 64))
                m.d.sync += [biases[index].eq(Mux(self.wrap, self.psum.word_select(index, 32), one.bias)),
                             scales[index].eq(Mux(self.wrap, 1, one.scale))]
        with m.Elif(release):
            m.d.sync += loaded.eq(0)

        half, shift = Signal(48, reset_less=True), Signal.like(self.shift, reset_less=True)
        item_scale = Signal(16, reset_less=True)
        item = delay(m, row.item, ScoreLane.item_latency - 1, name="item")
        m.d.sync += [
            half.eq(Mux(self.wrap, 0, (1 << self.shift) >> 1)), shift.eq(Mux(self.wrap, 0, self.shift)),
            item_scale.eq(Mux(self.wrap, 1, self.scale[item])),
        ]
        for lane in range(self.lanes):
            m.submodules[f"lane_{lane}"] = score = ScoreLane()
            m.d.comb += [
                score.total.eq(_choose(totals, lane, self.lanes, step)),
                score.scale.eq(_choose(scales, lane, self.lanes, step)),
                score.bias.eq(_choose(biases, lane, self.lanes, step)),
                score.item_scale.eq(item_scale), score.half.eq(half), score.shift.eq(shift), score.wrap.eq(self.wrap),
                self.sums.values[lane].eq(score.z),
            ]
        flags = Signal(data.StructLayout({"enable": 1, "begin": 1, "done": 1}))
        place = Signal(data.StructLayout({"bank": 1, "row": range(ROWS), "step": range(steps)}))
        m.d.comb += [
            flags.enable.eq(go), flags.begin.eq(go & row.begin & (step == 0)), flags.done.eq(self.end),
            place.bank.eq(self.bank), place.row.eq(row.row), place.step.eq(step),
        ]
        flags = delay(m, flags, self.latency, name="flags", control=True)
        place = delay(m, place, self.latency, name="place")
        masks = Cat((place.step == index // self.lanes) for index in range(GROUP_CLASSES))
        m.d.comb += [
            self.sums.enable.eq(flags.enable), self.sums.begin.eq(flags.begin), self.sums.bank.eq(place.bank),
            self.sums.row.eq(place.row), self.sums.mask.eq(masks), self.done.eq(flags.done),
        ]
        return m


def _choose(values, lane, lanes, step):
    """Of the values of 8 classes that of class ``step`` * ``lanes`` + ``lane``."""
    if lanes == GROUP_CLASSES:
        return values[lane]
    return Array(values[index] for index in range(lane, GROUP_CLASSES, lanes))[step]
