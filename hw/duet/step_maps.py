"""StepMaps: what the rows of a step compute, for the step in work and for the next one."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.pipeline import reduce_tree
from hw.duet.executor_types import BIAS_BITS, MAX_BIAS_SHIFT

__all__ = ["BiasWrite", "RowStep", "StepMaps"]


class BiasWrite(data.StructLayout):
    """A channel's bias."""

    def __init__(self, config):
        super().__init__({"enable": 1, "address": config.channel_bits, "data": BIAS_BITS})


class RowStep(data.StructLayout):
    """What a row does in a step: ``present``, its channel, the outputs to compute, the shifted bias."""

    def __init__(self, config):
        super().__init__({"present": 1, "channel": config.channel_bits, "omap": config.segment,
                          "bias": signed(BIAS_BITS + MAX_BIAS_SHIFT)})


class StepMaps(wiring.Component):
    """Output maps, channels and biases of the rows, twice: ``next`` is written while ``current`` is in use.

    Parameters: ``config`` an :class:`~hw.duet.executor_types.ExecutorConfig`

    Members
    -------
    bias_write: In(:class:`BiasWrite`); bias_shift: In
    look: In, a channel's bias is read, it may be written in this cycle
    write: In(rows), omap, channel: In; the step after the current one computes this in these rows. The bias, which
        comes from a memory, follows two cycles later
    move: In, the next step becomes the current one, and the next one is empty
    next, current: Out(array of rows of :class:`RowStep`); needed: Out(segment), outputs that a row of the current step
        computes
    """

    def __init__(self, config):
        self.config = config
        rows = data.ArrayLayout(RowStep(config), config.rows)
        super().__init__({
            "bias_write": In(BiasWrite(config)), "bias_shift": In(range(MAX_BIAS_SHIFT + 1)),
            "look": In(1), "write": In(config.rows), "omap": In(config.segment), "channel": In(config.channel_bits),
            "move": In(1),
            "next": Out(rows), "current": Out(rows), "needed": Out(config.segment),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.biases = biases = memory.Memory(shape=BIAS_BITS, depth=config.max_channels, init=[])
        write, read = biases.write_port(), biases.read_port()
        bias, bias_rows = Signal(signed(BIAS_BITS + MAX_BIAS_SHIFT)), Signal(config.rows)
        m.d.comb += [
            write.en.eq(self.bias_write.enable), write.addr.eq(self.bias_write.address),
            write.data.eq(self.bias_write.data), read.en.eq(self.look), read.addr.eq(self.channel),
            bias.eq(read.data.as_signed() << self.bias_shift),
        ]
        m.d.sync += bias_rows.eq(self.write)
        for r in range(config.rows):
            after, now = self.next[r], self.current[r]
            # Data without reset; `present` and the map say what of it counts.
            values = data.StructLayout({"channel": config.channel_bits, "bias": bias.shape()})
            names = f"after_{r}", f"now_{r}"
            after_values, now_values = (Signal(values, name=name, reset_less=True) for name in names)
            after_flags, now_flags = (Signal(1 + config.segment, name=f"{name}_flags") for name in names)
            for view, flags, kept in ((after, after_flags, after_values), (now, now_flags, now_values)):
                m.d.comb += [Cat(view.present, view.omap).eq(flags), view.channel.eq(kept.channel),
                             view.bias.eq(kept.bias)]
            with m.If(self.write[r]):
                m.d.sync += [after_flags.eq(Cat(1, self.omap)), after_values.channel.eq(self.channel)]
            with m.If(bias_rows[r]):
                m.d.sync += after_values.bias.eq(bias)
            with m.If(self.move):
                m.d.sync += [now_flags.eq(after_flags), now_values.eq(after_values), after_flags.eq(0)]
        needed = reduce_tree(m, [row.omap for row in self.current], lambda a, b: a | b, 0, name="needed")
        m.d.comb += self.needed.eq(needed)
        return m
