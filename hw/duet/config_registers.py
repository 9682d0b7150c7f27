"""Registers of an engine that configuration words write."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ConfigRegisters"]


class ConfigRegisters(wiring.Component):
    """Registers at addresses of their own; a write shows in the next cycle. Content after reset: undefined.

    Parameters: ``fields``, a dict of name -> (address, shape); an ``ArrayLayout`` has an element an address.

    Members: ``enable``, ``address`` (16 bits), ``data`` (32 bits), In; ``values``, Out, a structure of all fields.
    """

    def __init__(self, fields):
        self.fields = fields
        super().__init__({
            "enable": In(1), "address": In(16), "data": In(32),
            "values": Out(data.StructLayout({name: shape for name, (_, shape) in fields.items()})),
        })

    def elaborate(self, platform):
        m = Module()
        values = Signal(self.values.shape(), reset_less=True)
        m.d.comb += self.values.eq(values)
        for name, (first, shape) in self.fields.items():
            register = values[name]
            elements = list(register) if isinstance(shape, data.ArrayLayout) else [register]
            for index, element in enumerate(elements):
                with m.If(self.enable & (self.address == first + index)):
                    m.d.sync += data.View.as_value(element).eq(self.data) if isinstance(element, data.View) \
                        else element.eq(self.data)
        return m
