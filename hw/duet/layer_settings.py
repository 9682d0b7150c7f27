"""Registers of the configuration of a layer in the Speculator."""

from amaranth.hdl import Module, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.duet.speculator_types import ConfigWord, Settings

__all__ = ["LayerSettings", "setting_fields"]


def setting_fields(config, shift_shape):
    """What the words of :class:`LayerSettings` write: name -> (address, shape), an ``ArrayLayout`` for an array."""
    return {name: (LayerSettings.ADDRESSES[name], field.shape) for name, field in Settings(config, shift_shape)}


class LayerSettings(wiring.Component):
    """Words of the configuration into registers; addresses: docs/duet/speculator.md. Unknown addresses do nothing.

    Latency: 1 cycle. Throughput: a word a cycle. All registers are 0 after a reset.

    Members: ``words``, In(stream of :class:`ConfigWord`), always ready; ``settings``, Out(:class:`Settings`);
    ``clear``, Out: the counters' address is written.
    """

    #: Address of each setting; of the first, where there are several.
    ADDRESSES = {name: address for address, name in enumerate((
        "gate", "groups", "passes", "group_rows", "k_rows", "p_shift", "block_width", "tile_width", "stride_y",
        "stride_x", "origin_y", "origin_x", "keep_order", "clear_counters", "unused"))} | {"thresholds": 32, "taps": 64}

    latency = 1

    def __init__(self, config, shift_shape):
        self.fields = setting_fields(config, shift_shape)
        super().__init__({
            "words": In(stream.Signature(ConfigWord(config), always_ready=True)),
            "settings": Out(Settings(config, shift_shape)),
            "clear": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        settings, word = self.settings, self.words.p
        registers = {}
        for name, (address, shape) in self.fields.items():
            elements = settings[name] if isinstance(shape, data.ArrayLayout) else [settings[name]]
            registers |= {address + index: element for index, element in enumerate(elements)}
        with m.If(self.words.valid):
            with m.Switch(word.address):
                for address, register in registers.items():
                    with m.Case(address):
                        m.d.sync += Value.cast(register).eq(word.data)
                with m.Case(self.ADDRESSES["clear_counters"]):
                    m.d.comb += self.clear.eq(1)
        return m
