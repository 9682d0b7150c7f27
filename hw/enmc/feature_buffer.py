"""Feature buffer of the Screener: INT4 features of all items, in the order in which the MAC array takes them."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.enmc_types import WORD_BITS
from hw.enmc.int4_dot import feature_code
from hw.enmc.screener_types import LANES, MAX_CHUNKS, WORDS

__all__ = ["FeatureBuffer", "FeatureTag"]

CHUNK_BITS = 64
CHUNKS_A_WORD = WORD_BITS // CHUNK_BITS


class FeatureTag(data.Struct):
    """Which chunk it is: of ``item``, the ``last_item`` of the batch; ``first``, ``last`` chunk of the item."""

    item: 2
    last_item: 1
    first: 1
    last: 1


class FeatureBuffer(wiring.Component):
    """Four words, and the chunks of all items again and again: chunk 0 of item 0, 1, ..., chunk 1 of item 0, ...

    The chunks go through two stages: the memory's output (``chunk``), then a register with the form that the dot
    products take (``code``). Latency: ``code_valid`` 2 cycles after ``run`` rises. Throughput: a chunk a cycle.

    Parameters: ``plan`` a :class:`hw.enmc.int4_dot.DotPlan`.

    Members
    -------
    run: In(1); while it is 0 the sequence is at its start, and the words may be accessed
    last_item, last_chunk, chunks: In, number of items less 1, of chunks of an item less 1, of chunks; stable in a run
    raw: In(1): chunks are taken from ``chunk`` with ``next_chunk`` in place of ``code`` with ``step``
    chunk: Out(64), chunk_valid: Out(1), next_chunk: In(1)
    enable: In(4): chunk j % 4 of an item is zero where bit j % 4 is 0
    code: Out, tag: Out(:class:`FeatureTag`), code_valid: Out(1), step: In(1)
    write_enable, write_index, write_data: In, a word; forget: In(1): the words are zeros
    read_index: In(2), data: Out(512): the word a cycle later; known: Out(4): the words that were loaded, others are
        zero, whatever ``data`` shows
    """

    def __init__(self, plan):
        self.plan = plan
        super().__init__({
            "run": In(1), "last_item": In(2), "last_chunk": In(range(MAX_CHUNKS)), "chunks": In(range(MAX_CHUNKS + 1)),
            "raw": In(1), "chunk": Out(CHUNK_BITS), "chunk_valid": Out(1), "next_chunk": In(1), "enable": In(WORDS),
            "code": Out(LANES * plan.code_bits), "tag": Out(FeatureTag), "code_valid": Out(1), "step": In(1),
            "write_enable": In(1), "write_index": In(2), "write_data": In(WORD_BITS), "forget": In(1),
            "read_index": In(2), "data": Out(WORD_BITS), "known": Out(WORDS),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = words = memory.Memory(shape=WORD_BITS, depth=WORDS, init=[])
        write, read = words.write_port(), words.read_port()
        # The chunk that is read next.
        item, chunk, place = Signal(2), Signal(range(MAX_CHUNKS)), Signal(range(MAX_CHUNKS))
        # The chunk at the memory's output.
        lane, loaded, enabled = Signal(range(CHUNKS_A_WORD)), Signal(), Signal()
        tag = Signal(FeatureTag, reset_less=True)
        load, leave = Signal(), Signal()
        m.d.comb += [
            leave.eq(Mux(self.raw, self.next_chunk, self.chunk_valid & (~self.code_valid | self.step))),
            load.eq(self.run & (~self.chunk_valid | leave)),
            read.en.eq(load | ~self.run),
            read.addr.eq(Mux(self.run, place[3:], self.read_index)),
            write.en.eq(self.write_enable), write.addr.eq(self.write_index), write.data.eq(self.write_data),
            self.data.eq(read.data), self.chunk.eq(read.data.word_select(lane, CHUNK_BITS) & loaded.replicate(64)),
        ]
        with m.If(load):
            m.d.sync += [
                self.chunk_valid.eq(1), lane.eq(place[:3]), loaded.eq(self.known.bit_select(place[3:], 1)),
                enabled.eq(self.enable.bit_select(chunk[:2], 1)),
                tag.item.eq(item), tag.last_item.eq(item == self.last_item), tag.first.eq(chunk == 0),
                tag.last.eq(chunk == self.last_chunk),
            ]
            with m.If(item == self.last_item):
                following = Signal.like(chunk, name="following")
                m.d.comb += following.eq(Mux(chunk == self.last_chunk, 0, chunk + 1))
                m.d.sync += [item.eq(0), chunk.eq(following), place.eq(following)]
            with m.Else():
                m.d.sync += [item.eq(item + 1), place.eq(place + self.chunks)]
        with m.If(leave & ~self.raw):
            m.d.sync += [self.code.eq(feature_code(m, self.plan, self.chunk, enabled)), self.tag.eq(tag),
                         self.code_valid.eq(1)]
        with m.If(~self.run):
            m.d.sync += [item.eq(0), chunk.eq(0), place.eq(0), self.chunk_valid.eq(0), self.code_valid.eq(0)]
        with m.If(self.write_enable):
            m.d.sync += self.known.bit_select(self.write_index, 1).eq(1)
        with m.If(self.forget):
            m.d.sync += self.known.eq(0)
        return m
