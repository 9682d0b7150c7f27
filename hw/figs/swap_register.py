"""Swap register: passes the activations of a row on, and gives one of those around it to its MAC units (slides)."""

import dataclasses

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.config import Config, ConfigError, field
from hw.shared import shared

__all__ = ["SwapRegister", "SwapRegisterConfig", "select_value", "swap_members"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SwapRegisterConfig(Config):
    """What a swap register can reach."""

    activation_bits: int = field(8, "width of an activation, signed", unit="bits", choices=(8,))
    alpha: int = field(3, "swap registers above and below that it is connected to", choices=(0, 1, 3, 7, 15))
    depth: int = field(6, "columns whose swap registers it sees, its own and those to the west", min=1, max=16)

    PRESETS = {"paper": {}, "small": {"alpha": 1, "depth": 2}, "fpga": {"depth": 3}}

    def check(self):
        if self.alpha == 0 and self.depth == 1:
            raise ConfigError("depth", self.depth, "at least 2 where alpha is 0")

    @property
    def taps(self):
        """Values that it chooses from."""
        return (self.alpha + 1) * self.depth

    @property
    def select_bits(self):
        """Width of ``select``."""
        return ceil_log2(self.taps)


def select_value(values, select):
    """``values[select]`` as a tree of two-way multiplexers; what a ``select`` beyond the last gives is not defined."""
    values = list(values)
    for bit in select:
        values = [Mux(bit, values[i + 1], values[i]) if i + 1 < len(values) else values[i]
                  for i in range(0, len(values), 2)]
    return values[0]


def swap_members(config):
    """The members of a swap register but its operand: what a PE has of it at its own ports."""
    return {
        "go": In(1),
        "east": In(signed(config.activation_bits)), "west": Out(signed(config.activation_bits)),
        "others": In((config.taps - 1) * config.activation_bits),
        "used": In(1), "select": In(config.select_bits),
    }


@shared
class SwapRegister(wiring.Component):
    """Registers the activation that comes from the east, sends it on to the west, and exchanges it with others.

    ``operand`` is the value in this register or in one of the ``taps`` - 1 others that it is connected to: ``alpha`` in
    the vertical direction, and the same rows of the ``depth`` - 1 columns to the west, where the values are that were
    here in the cycles before. Registers that pass values on are thus the memory of what has passed.

    Latency: 1 cycle from ``east`` to ``west``; 1 cycle from a register to ``operand``. Throughput: one value a cycle.
    Reset: the activation is not reset, the operand is zero.
    Source: slides "FIGS Architecture - PEs".

    Parameters: ``config`` a :class:`SwapRegisterConfig`.

    Members
    -------
    go: In(1); 0: the activation stays, and the next operand is zero
    east: In(signed(activation_bits))
    west: Out(signed(activation_bits)), register
    others: In, value k, k = 1 .. taps - 1, at bit (k - 1) * activation_bits; value 0 is ``west``
    used: In(1); 0: the next operand is zero
    select: In(range(taps)), which value; at least ``taps``: not defined
    operand: Out(signed(activation_bits)), register
    """

    def __init__(self, config):
        self.config = config
        super().__init__({**swap_members(config), "operand": Out(signed(config.activation_bits))})

    def elaborate(self, platform):
        m = Module()
        config, bits = self.config, self.config.activation_bits
        value, operand = Signal(bits, reset_less=True), Signal(bits)
        with m.If(self.go):
            m.d.sync += value.eq(self.east)
        values = [value, *(self.others.word_select(k, bits) for k in range(config.taps - 1))]
        m.d.sync += operand.eq(select_value(values, self.select) & (self.go & self.used).replicate(bits))
        m.d.comb += [self.west.eq(value), self.operand.eq(operand)]
        return m
