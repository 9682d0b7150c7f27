"""Registers of the configuration of a layer in the Speculator."""

from amaranth.hdl import Module, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.duet.speculator_types import ConfigWord, Settings

__all__ = ["LayerSettings"]


class LayerSettings(wiring.Component):
    """Words of the configuration into registers; addresses: docs/duet/speculator.md. Unknown addresses do nothing.

    Latency: 1 cycle. Throughput: a word a cycle. All registers are 0 after a reset.

    Members: ``words``, In(stream of :class:`ConfigWord`), always ready; ``settings``, Out(:class:`Settings`);
    ``clear``, Out: the counters' address is written.
    """

    #: Names of the settings at the addresses from 0 on; ``None``: the counters.
    NAMES = ("gate", "groups", "passes", "group_rows", "k_rows", "p_shift", "block_width", "tile_width", "stride_y",
             "stride_x", "origin_y", "origin_x", "keep_order", None, "unused")
    THRESHOLDS = 32
    TAPS = 64

    latency = 1

    def __init__(self, config, shift_shape):
        self.config = config
        super().__init__({
            "words": In(stream.Signature(ConfigWord(config), always_ready=True)),
            "settings": Out(Settings(config, shift_shape)),
            "clear": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        settings, word = self.settings, self.words.p
        registers = {address: settings[name] for address, name in enumerate(self.NAMES) if name is not None}
        registers.update({self.THRESHOLDS + i: settings.thresholds[i] for i in range(self.config.buckets - 1)})
        registers.update({self.TAPS + i: settings.taps[i] for i in range(self.config.max_passes)})
        with m.If(self.words.valid):
            with m.Switch(word.address):
                for address, register in registers.items():
                    with m.Case(address):
                        m.d.sync += Value.cast(register).eq(word.data)
                with m.Case(self.NAMES.index(None)):
                    m.d.comb += self.clear.eq(1)
        return m
