"""ExecutorSettings: a layer's configuration words, decoded."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.duet.executor_pe import SLOTS, ProgramWrite
from hw.duet.executor_types import MAX_BIAS_SHIFT, PARITIES, ConfigRegion, ConfigWord
from hw.duet.function import Function
from hw.duet.multicast_bus import IdWrite
from hw.duet.step_maps import BiasWrite

__all__ = ["ExecutorSettings", "LayerSettings", "executor_fields"]


class LayerSettings(data.StructLayout):
    """What stays for a layer; names as in docs/duet/executor.md."""

    def __init__(self, config):
        super().__init__({
            "length": range(config.lut_entries + 1), "function": Function, "pool": 1, "use_imap": 1,
            "shift": range(config.sum_bits), "bias_shift": range(MAX_BIAS_SHIFT + 1),
            "place": data.ArrayLayout(config.word_bits, PARITIES * config.segment),
            "owned": data.ArrayLayout(config.segment, PARITIES),
        })


def executor_fields(config):
    """What the words of :class:`ExecutorSettings` write: name -> (address, shape), an ``ArrayLayout`` for an array."""
    region = {region.name.lower(): region.value << 12 for region in ConfigRegion}
    identity = IdWrite(config.bus)["value"].shape
    return {
        "length": (0, range(config.lut_entries + 1)),
        "mode": (1, data.StructLayout({"function": Function, "pool": 1, "use_imap": 1})),
        "shift": (2, range(config.sum_bits)), "bias_shift": (3, range(MAX_BIAS_SHIFT + 1)),
        "program": (region["program"], data.ArrayLayout(
            data.StructLayout({"input": 8, "weight": 8, "output": config.word_bits}), config.lut_entries)),
        "bias": (region["bias"], data.ArrayLayout(signed(32), config.max_channels)),
        "place": (region["place"], data.ArrayLayout(config.word_bits, PARITIES * config.segment)),
        "owned": (region["owned"], data.ArrayLayout(config.segment, PARITIES)),
        "row_id": (region["row_id"], data.ArrayLayout(identity, config.rows + 1)),
        "column_id": (region["column_id"], data.ArrayLayout(identity, config.rows * config.cols)),
    }


class ExecutorSettings(wiring.Component):
    """Registers and write ports behind the configuration's words. Takes a word a cycle.

    Parameters: ``config`` an :class:`~hw.duet.executor_types.ExecutorConfig`

    Members
    -------
    words: In(stream of :class:`~hw.duet.executor_types.ConfigWord`, always ready)
    settings: Out(:class:`LayerSettings`), from the cycle after a word
    program_write, bias_write: Out; write ports of memories, in the cycle after a word
    ids: Out(stream of :class:`~hw.duet.multicast_bus.IdWrite`, always ready), in the cycle of a word
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "words": In(stream.Signature(ConfigWord(), always_ready=True)),
            "settings": Out(LayerSettings(config)),
            "program_write": Out(ProgramWrite(config.element)),
            "bias_write": Out(BiasWrite(config)),
            "ids": Out(stream.Signature(IdWrite(config.bus), always_ready=True)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        word = self.words.p.data
        index, region = self.words.p.address[:12], Signal(ConfigRegion)
        settings = Signal(LayerSettings(config), reset_less=True)
        m.d.comb += [region.eq(self.words.p.address[12:]), self.settings.eq(settings)]

        program, bias = Signal(ProgramWrite(config.element)), Signal(BiasWrite(config))
        bits = config.word_bits
        m.d.comb += [self.program_write.eq(program), self.bias_write.eq(bias)]
        m.d.sync += [
            program.enable.eq(self.words.valid & (region == ConfigRegion.PROGRAM)), program.address.eq(index),
            program.entry.i.word.eq(word[:bits]), program.entry.i.slot.eq(word[bits:bits + ceil_log2(SLOTS)]),
            program.entry.w.word.eq(word[8:8 + bits]), program.entry.w.line.eq(word[8 + bits:16]),
            program.entry.o.eq(word[16:]),
            bias.enable.eq(self.words.valid & (region == ConfigRegion.BIAS)), bias.address.eq(index),
            bias.data.eq(word),
        ]
        column = Signal()
        m.d.comb += [
            column.eq(region == ConfigRegion.COLUMN_ID),
            self.ids.valid.eq(self.words.valid & (column | (region == ConfigRegion.ROW_ID))),
            self.ids.p.index.eq(index + Mux(column, config.rows + 1, 0)), self.ids.p.value.eq(word),
        ]
        with m.If(self.words.valid):
            with m.Switch(region):
                with m.Case(ConfigRegion.SETTINGS):
                    with m.Switch(index):
                        with m.Case(0):
                            m.d.sync += settings.length.eq(word)
                        with m.Case(1):
                            m.d.sync += [settings.function.eq(word[:2]), settings.pool.eq(word[2]),
                                         settings.use_imap.eq(word[3])]
                        with m.Case(2):
                            m.d.sync += settings.shift.eq(word)
                        with m.Case(3):
                            m.d.sync += settings.bias_shift.eq(word)
                with m.Case(ConfigRegion.PLACE):
                    m.d.sync += settings.place.as_value().word_select(index[:bits + ceil_log2(PARITIES)], bits).eq(word)
                with m.Case(ConfigRegion.OWNED):
                    m.d.sync += settings.owned[index[:ceil_log2(PARITIES)]].eq(word)
        return m
