"""Micro-instructions of candidates into reads of the DRAM and steps that wait for what they read."""

from amaranth.hdl import Assert, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.candidate_step import GROUP, CandidateOp, CandidateStep
from hw.enmc.enmc_types import ADDRESS_BITS
from hw.stream.fifo import Fifo

__all__ = ["CandidateFetch", "FetchedStep", "Group"]

#: Groups that REDUCE has been taken of and whose results are not all out.
GROUPS = 3


class FetchedStep(data.StructLayout):
    """A MAC or REDUCE. MAC: ``feature`` is the place of its feature word in the ring of ``feature_words``; ``release``
    words before its tile are not needed any more. REDUCE: ``slot`` is that of the last candidate."""

    def __init__(self, feature_words):
        super().__init__({"reduce": 1, "slot": 2, "first": 1, "feature": range(feature_words), "release": range(5)})


class Group(data.Struct):
    """Whose results a REDUCE gives."""

    item: 2
    count: 3
    classes: data.ArrayLayout(32, GROUP)


class CandidateFetch(wiring.Component):
    """Asks for a burst a cycle, as long as there is room for it: weights have places in the response buffer, features
    in a ring of their own, where a tile stays until the first multiply-add of the next one.

    Latency: a step is offered 2 cycles after its micro-instruction was taken, its request 1 cycle after.
    Throughput: a request a cycle; LOAD_FEATURE takes as many cycles as words.

    Parameters: ``response_words``, ``feature_words``: places for weights, features; ``assertions``.

    Members
    -------
    source: In(stream of :class:`hw.enmc.candidate_step.CandidateStep`)
    requests: Out(stream of burst addresses); steps: Out(stream of :class:`FetchedStep`)
    groups: Out(stream of :class:`Group`), one a REDUCE
    arrived: In, the next burst is here; is_feature: Out, whether it is of features
    freed: In, a MAC is taken from ``steps``, its burst has left the response buffer
    empty: Out, nothing was asked for that has not been worked on; no step waits
    """

    def __init__(self, response_words, feature_words, assertions=False):
        self.response_words, self.feature_words, self.assertions = response_words, feature_words, assertions
        super().__init__({
            "source": In(stream.Signature(CandidateStep)),
            "requests": Out(stream.Signature(ADDRESS_BITS)),
            "steps": Out(stream.Signature(FetchedStep(feature_words))),
            "groups": Out(stream.Signature(Group)),
            "arrived": In(1), "is_feature": Out(1), "freed": In(1), "empty": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        words, features = self.response_words, self.feature_words
        # Room for all there can be: never full.
        m.submodules.steps = steps = Fifo(FetchedStep(features), words + GROUPS + 1, assertions=self.assertions)
        m.submodules.kinds = kinds = Fifo(1, words + features + 1, assertions=self.assertions)
        m.submodules.groups = groups = Fifo(Group, GROUPS, assertions=self.assertions)
        wiring.connect(m, steps.o, wiring.flipped(self.steps))
        wiring.connect(m, groups.o, wiring.flipped(self.groups))

        source, job = self.source, self.source.p
        weights, held = Signal(range(words + 1)), Signal(range(features + 1))
        word, place, tile = Signal(2), Signal(range(features)), Signal(range(features))
        tile_words, release = Signal(range(5)), Signal(range(5))
        address = Signal(ADDRESS_BITS, reset_less=True)
        multiply, reduce, load, free, last, request = (
            Signal(name=name) for name in ("multiply", "reduce", "load", "free", "last", "request"))
        m.d.comb += [
            free.eq(~self.requests.valid | self.requests.ready),
            multiply.eq(source.valid & (job.op == CandidateOp.MAC) & free & (weights != words)),
            load.eq(source.valid & (job.op == CandidateOp.LOAD_FEATURE) & free & (held != features)),
            reduce.eq(source.valid & (job.op == CandidateOp.REDUCE) & groups.i.ready),
            last.eq(word + 1 == job.count), request.eq(multiply | load),
            source.ready.eq(multiply | load & last | reduce),
            steps.i.valid.eq(multiply | reduce), steps.i.p.reduce.eq(reduce), steps.i.p.first.eq(job.first),
            steps.i.p.slot.eq(Mux(reduce, job.count - 1, job.slot)), steps.i.p.feature.eq(tile + job.word),
            steps.i.p.release.eq(Mux(reduce, 0, release)),
            groups.i.valid.eq(reduce), groups.i.p.item.eq(job.item), groups.i.p.count.eq(job.count),
            groups.i.p.classes.eq(job.classes), self.requests.payload.eq(address),
            kinds.i.valid.eq(request), kinds.i.payload.eq(load),
            kinds.o.ready.eq(self.arrived), self.is_feature.eq(kinds.o.payload),
            self.empty.eq((weights == 0) & (steps.level == 0) & (kinds.level == 0)),
        ]
        m.d.sync += [weights.eq(weights + multiply - self.freed),
                     held.eq(held + load - Mux(self.freed, self.steps.p.release, 0))]
        with m.If(load):
            m.d.sync += [word.eq(Mux(last, 0, word + 1)), place.eq(place + 1)]
            with m.If(word == 0):
                m.d.sync += [tile.eq(place), tile_words.eq(job.count), release.eq(tile_words)]
        with m.If(multiply):
            m.d.sync += release.eq(0)
        with m.If(request):
            m.d.sync += [self.requests.valid.eq(1), address.eq(job.address + word)]
        with m.Elif(self.requests.ready):
            m.d.sync += self.requests.valid.eq(0)
        if self.assertions:
            with m.If(source.valid):
                m.d.sync += [
                    Assert((job.op == CandidateOp.MAC) | (job.count != 0) & (job.count <= GROUP),
                           "count is not 1 to 4"),
                    Assert(steps.i.ready & kinds.i.ready, "a queue is full"),
                ]
            m.d.sync += [Assert(~self.freed | (weights != 0), "more weights than were asked for"),
                         Assert(~self.arrived | kinds.o.valid, "a burst that nobody asked for")]
        return m
