"""QDR input buffer: projected inputs come a position at a time and leave a k at a time, of all positions."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.memory.sram import SramBank

__all__ = ["QdrInputBuffer"]


class QdrInputBuffer(wiring.Component):
    """S banks, one a position, of ``input_rows`` rows of M projected inputs: input k is lane k % M of row k // M.

    Written: for each row, for each position up to ``last_place`` an item of M inputs. Read: one k of all positions a
    cycle. Two jobs' inputs at once where ``double``, in halves of the rows, used in turn.

    Latency of a read: :attr:`latency` = 1 cycle; a row is read from memory with its lane 0 and its lanes come out of
    the memory's output. A job is ``complete`` one cycle after its last item.

    Members
    -------
    double, last_place, k_rows: In, stable while at work; clear: In: the next job goes to the first half
    values: In(stream(M * ``bits``)), always ready: :attr:`begin` has seen to it that there is room
    begin, begin_half: In: a job's inputs will be written to this half, which is not complete from now on
    complete: Out(2), a bit a half
    read_enable, read_half, row, lane: In; column: Out(S * ``bits``), position p at bit ``bits * p``
    """

    latency = 1

    def __init__(self, config):
        self.config = config
        super().__init__({
            "clear": In(1), "double": In(1), "last_place": In(range(config.segment)),
            "k_rows": In(range(config.input_rows + 1)),
            "values": In(stream.Signature(config.trees * config.bits, always_ready=True)),
            "begin": In(1), "begin_half": In(1), "complete": Out(2),
            "read_enable": In(1), "read_half": In(1),
            "row": In(range(config.input_rows)), "lane": In(range(config.trees)),
            "column": Out(config.segment * config.bits),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        top = config.input_rows.bit_length() - 2  # the half's bit of a row
        place, row, half = Signal(ceil_log2(config.segment)), Signal(range(config.input_rows)), Signal()
        with m.If(self.begin):
            m.d.sync += self.complete.bit_select(self.begin_half, 1).eq(0)
        with m.If(self.values.valid):
            m.d.sync += place.eq(place + 1)
            with m.If(place == self.last_place):
                m.d.sync += [place.eq(0), row.eq(row + 1)]
                with m.If(row + 1 == self.k_rows):
                    m.d.sync += [row.eq(0), half.eq(~half & self.double), self.complete.bit_select(half, 1).eq(1)]
        with m.If(self.clear):
            m.d.sync += half.eq(0)
        lane = Signal.like(self.lane)
        with m.If(self.read_enable):
            m.d.sync += lane.eq(self.lane)
        column = []
        for index in range(config.segment):
            m.submodules[f"bank_{index}"] = bank = SramBank(config.trees * config.bits, config.input_rows)
            m.d.comb += [
                bank.write_mask.eq(self.values.valid & (place == index)),
                bank.write_address.eq(row | half << top), bank.write_data.eq(self.values.payload),
                bank.read_enable.eq(self.read_enable & (self.lane == 0)),
                bank.read_address.eq(self.row | self.read_half << top),
            ]
            column.append(bank.read_data.word_select(lane, config.bits))
        m.d.comb += self.column.eq(Cat(column))
        return m
