"""OutputBuffer: results of the Screener, which of them are to be stored, and each item's maximum (thesis 6.4.2)."""

import dataclasses
import typing

from amaranth.hdl import Assert, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.maximum_tree import MaximumTree
from hw.config import Config, field
from hw.enmc.enmc_types import ITEMS, WORD_BITS, BufferAccess
from hw.enmc.float_order import order_key, pattern_of
from hw.enmc.isa_table import Buffer
from hw.enmc.screener_types import WORD_ENTRIES, WORDS, ScreenerResult

__all__ = ["MINUS_INFINITY", "OutputBuffer", "OutputBufferConfig"]

MINUS_INFINITY = 0xFF80_0000


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputBufferConfig(Config):
    """Speed of the OutputBuffer."""

    maximum_lanes: int = field(4, "results of a word that are compared with the maximum in a cycle",
                               choices=(1, 2, 4, 8, 16))

    PRESETS: typing.ClassVar[dict[str, dict]] = {"paper": {}, "small": {"maximum_lanes": 2}, "fpga": {}}

    @property
    def memory_bits(self):
        """Bits of the buffer."""
        return WORDS * WORD_BITS

    @property
    def period(self):
        """Cycles that a word of results takes."""
        return WORD_ENTRIES // self.maximum_lanes


class OutputBuffer(wiring.Component):
    """64 FP32 results, a bit each, and MAX of four items.

    A word of ``results`` is taken in :attr:`OutputBufferConfig.period` cycles, in the last of which it is written; its
    results go through a comparison tree, ``maximum_lanes`` a cycle, and one comparison with MAX. ``accurate`` results
    go first there and hold the others up. MAX follows a result 2 cycles, an accurate one 1 cycle after its transfer.
    Order of the comparison: IEEE 754 totalOrder, so -0 < +0, and a NaN (results have no other than 0x7FC00000) is
    above infinity and stays.

    Throughput: a word every ``period`` cycles, an accurate result a cycle. Back-pressure: on ``results``.
    Errors: none. Source: thesis 6.4.2 (output buffer).

    Parameters: ``config``, :class:`OutputBufferConfig`; ``assertions``: checks of the rules on inputs.

    Members
    -------
    items: In, ITEMS (1 to 4): which item a word is of; stable while ``busy``
    results: In(stream of :class:`hw.enmc.screener_types.ScreenerResult`)
    accurate: In({valid, item, value}), never refused
    maximum: Out(array of FP32), MAX; maximum_write: In({enable, item, data}) sets one
    access: :class:`hw.enmc.enmc_types.BufferAccess`, for buffer 6; a written word's bits become 1; not in the cycle in
        which a word of ``results`` is taken
    read_stored: Out(16), the bits of ``access.read_data``
    query_index: In(2), query_data: Out(512), a cycle later: a second read port
    clear: In: numbers 0, bits 1, MAX -infinity
    busy: Out: a result is offered or on its way to MAX
    """

    def __init__(self, config, assertions=False):
        self.config, self.assertions = config, assertions
        super().__init__({
            "items": In(3), "results": In(stream.Signature(ScreenerResult)),
            "accurate": In(data.StructLayout({"valid": 1, "item": 2, "value": 32})),
            "maximum": Out(data.ArrayLayout(32, ITEMS)),
            "maximum_write": In(data.StructLayout({"enable": 1, "item": 2, "data": 32})),
            "access": Out(BufferAccess()), "read_stored": Out(WORD_ENTRIES),
            "query_index": In(2), "query_data": Out(WORD_BITS), "clear": In(1), "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        self._maximum(m)
        self._numbers(m)
        return m

    def _numbers(self, m):
        """The buffer: zero until a word is written."""
        m.submodules.memory = numbers = memory.Memory(shape=WORD_BITS, depth=WORDS, init=[])
        write = numbers.write_port()
        zero = Signal(WORDS, init=~0)
        stored = Signal(data.ArrayLayout(WORD_ENTRIES, WORDS), init=[(1 << WORD_ENTRIES) - 1] * WORDS)
        taken, set_word = self.results.valid & self.results.ready, Signal()
        m.d.comb += [
            set_word.eq(self.access.write_enable & (self.access.write_buffer == Buffer.OUTPUT.value)),
            write.en.eq(taken | set_word),
            write.addr.eq(Mux(taken, self.results.p.word, self.access.write_index)),
            write.data.eq(Mux(taken, self.results.p.data, self.access.write_data)),
        ]
        with m.If(write.en):
            m.d.sync += [zero.bit_select(write.addr, 1).eq(0),
                         stored[write.addr].eq(Mux(taken, self.results.p.stored, ~0))]
        with m.If(self.clear):
            m.d.sync += [zero.eq(~0), stored.eq(~0)]
        for index, shown in ((self.access.read_index, self.access.read_data), (self.query_index, self.query_data)):
            read = numbers.read_port()
            hidden = Signal()
            m.d.comb += [read.addr.eq(index), read.en.eq(1), shown.eq(Mux(hidden, 0, read.data))]
            m.d.sync += hidden.eq(zero.bit_select(index, 1))
        shown_stored = Signal(WORD_ENTRIES)
        m.d.sync += shown_stored.eq(stored[self.access.read_index])
        m.d.comb += self.read_stored.eq(shown_stored)
        if self.assertions:
            m.d.sync += Assert(~(taken & set_word), "a word is written from both sides")

    def _maximum(self, m):
        """Part after part of a word through the tree; then a comparison a cycle."""
        lanes = self.config.maximum_lanes
        results, accurate = self.results.p, self.accurate
        part = Signal(range(self.config.period))
        moves = ~accurate.valid
        m.d.comb += self.results.ready.eq(moves & (part == self.config.period - 1))
        m.submodules.tree = tree = MaximumTree(lanes, 33, levels_per_stage=0)
        numbers = data.View(data.ArrayLayout(32 * lanes, self.config.period), results.data)[part]
        valid = data.View(data.ArrayLayout(lanes, self.config.period), results.valid_mask)[part]
        # The top bit: the entry takes part.
        m.d.comb += [tree.x[lane].eq(Cat(order_key(numbers.word_select(lane, 32)), valid[lane]))
                     for lane in range(lanes)]
        # Entries of an item: 64, 32, 16 of a word's 16 with 1, 2, 3 or 4 items.
        item = Mux(self.items == 1, 0, Mux(self.items == 2, results.word[1], results.word))
        best = Signal(data.StructLayout({"item": 2, "key": 32}), reset_less=True)
        waits = Signal()
        with m.If(moves):
            m.d.sync += [waits.eq(self.results.valid & tree.maximum[32]), best.item.eq(item),
                         best.key.eq(tree.maximum[:32])]
            with m.If(self.results.valid):
                m.d.sync += part.eq(Mux(part == self.config.period - 1, 0, part + 1))
        keys = Signal(data.ArrayLayout(32, ITEMS), init=[_key(MINUS_INFINITY)] * ITEMS)
        place, key = Mux(accurate.valid, accurate.item, best.item), Signal(32)
        m.d.comb += [key.eq(Mux(accurate.valid, order_key(accurate.value), best.key)),
                     self.busy.eq(self.results.valid | waits)]
        with m.If((accurate.valid | waits) & (key > keys[place])):
            m.d.sync += keys[place].eq(key)
        with m.If(self.maximum_write.enable):
            m.d.sync += keys[self.maximum_write.item].eq(order_key(self.maximum_write.data))
        with m.If(self.clear):
            m.d.sync += [keys[index].eq(_key(MINUS_INFINITY)) for index in range(ITEMS)]
        m.d.comb += [self.maximum[index].eq(pattern_of(keys[index])) for index in range(ITEMS)]


def _key(pattern):
    """:func:`order_key` of a constant."""
    return pattern ^ (0xFFFF_FFFF if pattern >> 31 else 1 << 31)
