"""Filter of the Screener: sums as FP32 and comparison with the threshold (thesis 6.4.2, threshold filter)."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.int_to_float import IntToFloat
from hw.arith.pipeline import delay
from hw.enmc.enmc_types import ScreenerSettings, WORD_BITS
from hw.enmc.screener_types import WORD_ENTRIES, WORDS, Candidate, ScreenerResult
from hw.stream.hold import assert_hold

__all__ = ["ScreenerFilter"]

FRACTION = 16


class ScreenerFilter(wiring.Component):
    """Reads the four words of a bank, ``lanes`` sums a cycle.

    A word: a read, a cycle for each ``lanes`` sums (for each candidate among them where there are more), conversion,
    then its result, during whose transfer the next word is read.

    Latency: the first word's result is valid :attr:`word_cycles` cycles after ``start``, without stalls and with at
    most one candidate in ``lanes`` sums; then a word in :attr:`word_cycles` cycles.

    Parameters: ``lanes`` 1, 2, 4 or 8; ``stages`` of the conversion, 1 or 2; ``assertions``: check the streams.

    Members
    -------
    start: In(1), only while ``running`` is 0, with first_class: In(32), the class of entry 0
    settings: In(:class:`ScreenerSettings`), stable
    running: Out(1)
    read_enable: Out(1), read_index: Out(2); data: In(512), from the next cycle on, until the next read
    results: Out(stream of :class:`ScreenerResult`); indices: Out(stream of :class:`Candidate`), in order
    """

    def __init__(self, lanes, stages, assertions=False):
        self.lanes, self.stages = lanes, stages
        self.assertions = assertions
        super().__init__({
            "start": In(1), "first_class": In(32), "settings": In(ScreenerSettings), "running": Out(1),
            "read_enable": Out(1), "read_index": Out(2), "data": In(WORD_BITS),
            "results": Out(stream.Signature(ScreenerResult)), "indices": Out(stream.Signature(Candidate)),
        })

    @property
    def word_cycles(self):
        """Cycles from word to word without stalls."""
        return WORD_ENTRIES // self.lanes + self.stages

    def elaborate(self, platform):
        m = Module()
        lanes, groups = self.lanes, WORD_ENTRIES // self.lanes
        settings = self.settings
        word, group, stepping, ending = Signal(range(WORDS)), Signal(range(groups)), Signal(), Signal()
        first_class, limit = Signal(32, reset_less=True), Signal(range(65), reset_less=True)
        missing = Signal(signed(33))
        taken = Signal()
        m.d.comb += [
            missing.eq(settings.classes - self.first_class),
            taken.eq(self.results.valid & self.results.ready),
            self.read_enable.eq(self.start | taken & (word != WORDS - 1)),
            self.read_index.eq(Mux(self.start, 0, word + 1)),
        ]

        # Candidates of a step, one a cycle.
        candidates = Signal(lanes)
        place = Signal(data.StructLayout({"item": 2, "offset": 6}), reset_less=True)
        rest, may_step, step = Signal(lanes), Signal(), Signal()
        lane = Signal(range(lanes))
        for index in reversed(range(lanes)):
            with m.If(candidates[index]):
                m.d.comb += lane.eq(index)
        m.d.comb += [
            self.indices.valid.eq(candidates.any()),
            self.indices.payload.item.eq(place.item),
            self.indices.payload.class_index.eq(first_class + (place.offset | lane)),
            rest.eq(Mux(self.indices.ready, candidates & (candidates - 1)[:lanes], candidates)),
            may_step.eq(~rest.any()),
            step.eq(stepping & may_step),
        ]

        # The entries of a step: items have 4, 2 or 1 words each.
        item, offset = Signal(2), Signal(6)
        low = WORD_ENTRIES.bit_length() - 1
        start = group << (lanes.bit_length() - 1)
        with m.Switch(settings.items):
            with m.Case(1):
                m.d.comb += [item.eq(0), offset.eq(Cat(start[:low], word))]
            with m.Case(2):
                m.d.comb += [item.eq(word[1]), offset.eq(Cat(start[:low], word[0]))]
            with m.Default():
                m.d.comb += [item.eq(word), offset.eq(start[:low])]
        values = Array(self.data.word_select(index, 32 * lanes) for index in range(groups))[group]
        sums = [Signal(signed(32), name=f"sum_{index}") for index in range(lanes)]
        m.d.comb += [value.eq(values[32 * index:32 * index + 32]) for index, value in enumerate(sums)]
        valid, above = Signal(lanes), Signal(lanes)
        m.d.comb += [
            valid.eq(Cat((offset | index) < limit for index in range(lanes)) &
                     (item < settings.items).replicate(lanes)),
            above.eq(Cat(value > settings.threshold for value in sums)),
        ]

        m.d.sync += candidates.eq(rest)
        with m.If(step):
            m.d.sync += [candidates.eq(valid & above), place.item.eq(item), place.offset.eq(offset)]
            with m.If(group == groups - 1):
                m.d.sync += stepping.eq(0)
            with m.Else():
                m.d.sync += group.eq(group + 1)
        # The last group stays at the converters until the word is taken.
        last_step = Signal()
        m.d.comb += last_step.eq(step & (group == groups - 1))
        with m.If(delay(m, last_step, self.stages - 1, name="last_step", control=True)):
            m.d.sync += self.results.valid.eq(1)
        with m.If(taken):
            m.d.sync += [self.results.valid.eq(0), group.eq(0), word.eq(word + 1),
                         stepping.eq(word != WORDS - 1), ending.eq(word == WORDS - 1)]
        with m.If(self.running & ending & may_step):
            m.d.sync += [self.running.eq(0), ending.eq(0)]
        with m.If(self.start):
            m.d.sync += [self.running.eq(1), stepping.eq(1), first_class.eq(self.first_class),
                         limit.eq(Mux(missing < 0, 0, Mux(missing > 64, 64, missing)))]

        floats = []
        for index, value in enumerate(sums):
            m.submodules[f"float_{index}"] = convert = IntToFloat(self.stages)
            number = Signal(32, name=f"number_{index}")
            exponent = convert.result[23:31]
            m.d.comb += [
                convert.x.eq(value),
                # A sum of at least one in size, so that no exponent gets to zero.
                number.eq(Cat(convert.result[:23], Mux(exponent == 0, 0, exponent - FRACTION)[:8], convert.result[31])),
            ]
            floats.append(number)
        result = self.results.payload
        kept = [Signal(32 * lanes, name=f"kept_{index}", reset_less=True) for index in range(groups - 1)]
        valids, aboves = Signal(WORD_ENTRIES - lanes, reset_less=True), Signal(WORD_ENTRIES - lanes, reset_less=True)
        m.d.comb += [
            result.data.eq(Cat(*kept, *floats)), result.word.eq(word),
            result.valid_mask.eq(Cat(valids, valid)), result.stored.eq(Cat(valids, valid) & ~Cat(aboves, above)),
        ]
        stepped = delay(m, step, self.stages, name="stepped", control=True)
        converted = delay(m, group, self.stages, name="converted")
        for index, register in enumerate(kept):
            with m.If(stepped & (converted == index)):
                m.d.sync += register.eq(Cat(floats))
            with m.If(step & (group == index)):
                m.d.sync += [valids.word_select(index, lanes).eq(valid), aboves.word_select(index, lanes).eq(above)]
        if self.assertions:
            assert_hold(m, self.results)
            assert_hold(m, self.indices)
        return m
