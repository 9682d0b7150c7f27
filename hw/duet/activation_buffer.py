"""Activation buffer of the Speculator: quantized pixels, a bank for each place in a block."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.duet.quantizer import Quantizer, QuantizerConfig
from hw.memory.sram import SramBank

__all__ = ["ActivationBuffer", "ActivationLine"]


class ActivationLine(data.StructLayout):
    """A line of activations for row ``address`` of a tile; ``last``: the tile is complete."""

    def __init__(self, config):
        super().__init__({"last": 1, "address": range(config.activation_rows), "mask": config.segment,
                          "data": config.line_bits})


class ActivationBuffer(wiring.Component):
    """S banks of ``activation_rows`` rows of C quantized activations: word p of each segment of a line is in bank p.

    Two tiles (vectors) at once where ``double``, in the halves of the rows; else one. ``lines.ready`` is 0 while there
    is no room. Each bank is read at a row of its own.

    Latency: a tile whose last line is taken in cycle t is ``loaded`` in t + 2 (:attr:`latency`; the Quantizer's
    register and the memory); a read takes 1 cycle and its data stays. A tile is used in two steps: ``finish`` goes on
    to the next one, ``free_room`` gives back its room, after its last read.

    Members
    -------
    double, clear: In; clear: forget all tiles, the next goes to the first half
    lines: In(stream of :class:`ActivationLine`)
    loaded: Out, the tile to work on is complete; half: Out, the row's top bit for it
    finish, free_room: In
    read_enable: In; rows: In, S row addresses; pixels: Out, S words of C x ``bits``
    """

    latency = 2

    def __init__(self, config):
        self.config = config
        row_bits = ceil_log2(config.activation_rows)
        super().__init__({
            "double": In(1), "clear": In(1),
            "lines": In(stream.Signature(ActivationLine(config))),
            "loaded": Out(1), "half": Out(1), "finish": In(1), "free_room": In(1),
            "read_enable": In(1),
            "rows": In(data.ArrayLayout(row_bits, config.segment)),
            "pixels": Out(data.ArrayLayout(config.cols * config.bits, config.segment)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.quantizer = quantizer = Quantizer(QuantizerConfig(lanes=config.lanes, out_bits=config.bits))
        occupied, complete = Signal(2), Signal(2)
        filling, freeing = Signal(), Signal()
        lines = self.lines
        taken, ends, ended = Signal(), Signal(), Signal()
        address = Signal(ceil_log2(config.activation_rows), reset_less=True)
        mask = Signal(config.segment, reset_less=True)
        m.d.comb += [
            lines.ready.eq(~occupied.bit_select(filling, 1)),
            taken.eq(lines.valid & lines.ready), ends.eq(taken & lines.p.last),
            quantizer.i.valid.eq(taken), quantizer.i.payload.eq(lines.p.data), quantizer.o.ready.eq(1),
            self.loaded.eq(complete.bit_select(self.half, 1)),
        ]
        m.d.sync += ended.eq(ends)
        with m.If(taken):
            m.d.sync += [address.eq(lines.p.address | (filling << len(address) - 1)), mask.eq(lines.p.mask)]
        written = address[-1] & self.double  # the half that the line before went to
        for flags, event, half in ((occupied, ends, filling), (complete, ended, written)):
            with m.If(event):
                m.d.sync += flags.bit_select(half, 1).eq(1)
        for flags, event, half in ((occupied, self.free_room, freeing), (complete, self.finish, self.half)):
            with m.If(event):
                m.d.sync += flags.bit_select(half, 1).eq(0)
        for event, half in ((ends, filling), (self.free_room, freeing), (self.finish, self.half)):
            with m.If(event):
                m.d.sync += half.eq(~half & self.double)
        with m.If(self.clear):
            m.d.sync += Cat(occupied, complete, filling, freeing, self.half).eq(0)

        for place in range(config.segment):
            words = [quantizer.o.payload.word_select(segment * config.segment + place, config.bits)
                     for segment in range(config.cols)]
            m.submodules[f"bank_{place}"] = bank = SramBank(config.cols * config.bits, config.activation_rows)
            m.d.comb += [
                bank.write_mask.eq(Mux(quantizer.o.valid, mask[place], 0)), bank.write_address.eq(address),
                bank.write_data.eq(Cat(words)),
                bank.read_enable.eq(self.read_enable), bank.read_address.eq(self.rows[place]),
                self.pixels[place].eq(bank.read_data),
            ]
        return m
