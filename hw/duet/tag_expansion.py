"""TagExpansion: switching maps to tags of instructions, some instructions a cycle, for all rows and columns at once."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.duet.executor_pe import SLOTS, ProgramWrite
from hw.shared import shared

__all__ = ["TagExpansion"]


@shared
class ColumnTags(wiring.Component):
    """IMap of a column's input buffer, and its tags for each bank: those whose input word is not zero.

    Members: ``write``, ``slot``, ``mask``, ``bits``: new bits of the map; ``index``, the input words of ``tag_lanes``
    instructions, ``lanes``, which of them exist, ``use_imap``; ``shift``, a bit a bank: their tags enter from the top;
    ``tags``.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "write": In(1), "slot": In(ceil_log2(SLOTS)), "mask": In(config.segment), "bits": In(config.segment),
            "index": In(data.ArrayLayout(ceil_log2(SLOTS * config.segment), config.tag_lanes)),
            "lanes": In(config.tag_lanes), "use_imap": In(1), "shift": In(2),
            "tags": Out(data.ArrayLayout(config.lut_entries, 2)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        imap = Signal(data.ArrayLayout(config.segment, SLOTS), reset_less=True)
        found, tags = Signal(config.tag_lanes), Signal(self.tags.shape(), reset_less=True)
        with m.If(self.write):
            m.d.sync += imap[self.slot].eq((imap[self.slot] & ~self.mask) | (self.bits & self.mask))
        m.d.comb += [
            found.eq(self.lanes & Cat(imap.as_value().bit_select(self.index[lane], 1) | ~self.use_imap
                                      for lane in range(config.tag_lanes))),
            self.tags.eq(tags),
        ]
        for bank in range(2):
            with m.If(self.shift[bank]):
                m.d.sync += tags[bank].eq(Cat(tags[bank][config.tag_lanes:], found))
        return m


@shared
class RowTags(wiring.Component):
    """Tags of a row: those whose output is to be computed. Members as in :class:`ColumnTags`."""

    def __init__(self, config):
        self.config = config
        super().__init__({
            "omap": In(config.segment), "index": In(data.ArrayLayout(config.word_bits, config.tag_lanes)),
            "shift": In(1), "tags": Out(config.lut_entries),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        found, tags = Signal(config.tag_lanes), Signal(config.lut_entries, reset_less=True)
        m.d.comb += [
            found.eq(Cat(self.omap.bit_select(self.index[lane], 1) for lane in range(config.tag_lanes))),
            self.tags.eq(tags),
        ]
        with m.If(self.shift):
            m.d.sync += tags.eq(Cat(tags[config.tag_lanes:], found))
        return m


class TagExpansion(wiring.Component):
    """Keeps the input and output word of each instruction, and looks ``tag_lanes`` of them up in the maps each cycle.

    The maps are S and 4 S bits, the program N instructions: done in one cycle beside each element, this would take N
    multiplexers an element; here it takes ``tag_lanes`` a row and a column. Latency: ``done`` is 1 in the cycle
    ``tag_words`` + 1 after ``start``; the tags are there in the cycle after it.

    Parameters: ``config`` an :class:`~hw.duet.executor_types.ExecutorConfig`

    Members
    -------
    program_write: In(:class:`~hw.duet.executor_pe.ProgramWrite`); length: In, instructions of the program
    use_imap: In
    imap_write: In(cols), slot, mask, map: In; new bits of the columns' IMaps, not between ``start`` and ``done``
    omap: In(array of rows), stable between ``start`` and ``done`` where ``rows`` is set
    start, bank, rows: In; forms the column tags of a bank, and with ``rows`` the row tags too. ``bank`` and ``rows``
        are stable up to ``done``
    done: Out, the last of them are formed in this cycle
    row_tags, column_tags: Out; an instruction is run where both are set
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "program_write": In(ProgramWrite(config.element)), "length": In(range(config.lut_entries + 1)),
            "use_imap": In(1),
            "imap_write": In(config.cols), "slot": In(ceil_log2(SLOTS)), "mask": In(config.segment),
            "map": In(config.line_words), "omap": In(data.ArrayLayout(config.segment, config.rows)),
            "start": In(1), "bank": In(1), "rows": In(1), "done": Out(1),
            "row_tags": Out(data.ArrayLayout(config.lut_entries, config.rows)),
            "column_tags": Out(data.ArrayLayout(data.ArrayLayout(config.lut_entries, 2), config.cols)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        lane_bits, lanes = ceil_log2(config.tag_lanes), config.tag_lanes
        entry = data.StructLayout({"i": ceil_log2(SLOTS * config.segment), "o": config.word_bits})
        m.submodules.indices = indices = memory.Memory(shape=entry.size * lanes, depth=config.tag_words, init=[])
        write, read = indices.write_port(granularity=entry.size), indices.read_port()
        program, word = self.program_write, Signal(range(config.tag_words))
        reading, shifting = Signal(), Signal()
        m.d.comb += [
            write.addr.eq(program.address >> lane_bits), write.data.eq(
                Cat(program.entry.i, program.entry.o).replicate(lanes)),
            write.en.eq(Mux(program.enable, 1 << program.address[:lane_bits], 0)),
            read.addr.eq(word), read.en.eq(reading), self.done.eq(shifting & ~reading),
        ]
        left = Signal.like(self.length, name="left")
        m.d.sync += shifting.eq(reading)
        with m.If(reading):
            m.d.sync += word.eq(word + 1)
            with m.If(word == config.tag_words - 1):
                m.d.sync += [word.eq(0), reading.eq(0)]
        with m.If(shifting):
            m.d.sync += left.eq(Mux(left > lanes, left - lanes, 0))
        with m.If(self.start):
            m.d.sync += [reading.eq(1), left.eq(self.length)]

        found = data.View(data.ArrayLayout(entry, lanes), read.data)
        exists = Signal(lanes)
        m.d.comb += exists.eq(Cat(lane < left for lane in range(lanes)))
        for c in range(config.cols):
            column = m.submodules[f"column_{c}"] = ColumnTags(config)
            m.d.comb += [
                column.write.eq(self.imap_write[c]), column.slot.eq(self.slot), column.mask.eq(self.mask),
                column.bits.eq(self.map.word_select(c, config.segment)), column.lanes.eq(exists),
                column.use_imap.eq(self.use_imap), column.shift.eq(Mux(shifting, 1 << self.bank, 0)),
                [column.index[lane].eq(found[lane].i) for lane in range(lanes)],
                self.column_tags[c].eq(column.tags),
            ]
        for r in range(config.rows):
            row = m.submodules[f"row_{r}"] = RowTags(config)
            m.d.comb += [
                row.omap.eq(self.omap[r]), row.shift.eq(shifting & self.rows),
                [row.index[lane].eq(found[lane].o) for lane in range(lanes)],
                self.row_tags[r].eq(row.tags),
            ]
        return m
