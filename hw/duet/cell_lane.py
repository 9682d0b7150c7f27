"""One lane of the CellUnit: the state update of one element of an LSTM or GRU cell a cycle."""

from amaranth.hdl import Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.activation import Activation, ActivationFunction

__all__ = ["CellLane"]


class CellLane(wiring.Component):
    """Three multipliers, each cut into two stages, and a tanh.

    Latency: :attr:`latency` = 9 cycles with ``enable``. Throughput: one element a cycle. All stages stand still while
    ``enable`` is 0. Formulas: ``golden/duet/cell_unit.py``.

    Parameters
    ----------
    c_fraction: fraction bits of the cell state

    Members
    -------
    enable: In(1); gru: In(1), the same for all that is inside
    i, f, g, o, c: In(16); GRU: h, r, nx, z, nh in this order
    h: Out(signed(16)); state: Out(signed(16)): new c; GRU: the h that came in. Both from registers.
    """

    latency = 9

    def __init__(self, c_fraction):
        self.c_fraction = c_fraction
        super().__init__({
            "enable": In(1), "gru": In(1),
            "i": In(16), "f": In(16), "g": In(signed(16)), "o": In(16), "c": In(signed(16)),
            "h": Out(signed(16)), "state": Out(signed(16)),
        })

    def elaborate(self, platform):
        m = Module()
        shift = 30 - self.c_fraction  # to c of the sum of products, which has 30 fraction bits

        def stage(value, name, shape=None):
            register = Signal(value.shape() if shape is None else shape, name=name, reset_less=True)
            with m.If(self.enable):
                m.d.sync += register.eq(value)
            return register

        def delayed(value, name, first, last):
            for number in range(first, last + 1):
                value = stage(value, f"{name}_{number}")
            return value

        # Stages 1 and 2: f * c aligned + i * g, rounded. In a GRU r * nh has the place of f * c; nx << 15, aligned as
        # well, that of i * g.
        low_fc = stage(self.c * self.f[:8], "low_fc")
        high_fc = stage(self.c * self.f[8:15], "high_fc")
        low_ig = stage(Mux(self.gru, 0, self.g * self.i[:8]), "low_ig", signed(24))
        high_ig = stage(Mux(self.gru, self.g << shift - 8, self.g * self.i[8:15]), "high_ig", signed(16 + shift - 8))
        products = (low_fc << shift - 15) + (high_fc << shift - 7) + low_ig + (high_ig << 8)
        total = stage((products + Const(1 << shift - 1)) >> shift, "total", signed(17))

        # Stage 3: saturated; the state that goes out, and what tanh is of.
        old_h = delayed(self.i.as_signed(), "old_h", 1, 2)
        state = Signal(signed(16))
        m.d.comb += state.eq(_saturated(total))
        wide = Signal(signed(17 + 11 - self.c_fraction))
        m.d.comb += wide.eq(Mux(self.gru, total, total << 11 - self.c_fraction))
        state_3 = stage(Mux(self.gru, old_h, state), "state_3", signed(16))
        x = stage(_saturated(wide), "x", signed(16))

        # Stages 4 to 6.
        m.submodules.tanh = tanh = Activation()
        m.d.comb += [tanh.x.eq(x), tanh.function.eq(ActivationFunction.TANH), tanh.enable.eq(self.enable)]
        state_6 = delayed(state_3, "state", 4, 6)

        # Stages 7 to 9: o * tanh, or z * (h - n) + n.
        factor = stage(Mux(self.gru, state_6 - tanh.y, tanh.y), "factor", signed(17))
        n = delayed(stage(Mux(self.gru, tanh.y, 0), "n_7", signed(16)), "n", 8, 8)
        o = delayed(self.o[:15], "o", 1, 7)
        low, high = stage(factor * o[:8], "low"), stage(factor * o[8:], "high")
        rounded = (high << 8) + low + (n << 15) + Const(1 << 14)
        m.d.comb += [
            self.h.eq(stage(rounded >> 15, "new_h", signed(16))),
            self.state.eq(delayed(state_6, "state", 7, 9)),
        ]
        return m


def _saturated(value):
    """``value``, signed, clipped to 16 bits."""
    top = value[15:]
    fits = top.all() | ~top.any()
    return Mux(fits, value[:16], Mux(value[-1], 1 << 15, (1 << 15) - 1)).as_signed()
