"""Register stage for a stream that cuts all combinational paths, ready included."""

from amaranth.hdl import Assert, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .hold import assert_hold

__all__ = ["SkidBuffer"]


class SkidBuffer(wiring.Component):
    """Two registers in a row: the second takes the item that arrives while the first is held up.

    Latency: :attr:`latency` = 1 cycle when nothing is held up. Throughput: one item a cycle, whatever the pattern of
    ``o.ready``. All outputs, ``i.ready`` included, come from registers.

    Parameters: ``shape`` of the payload; ``assertions``, whether to emit ``Assert`` statements for the invariants.

    Members: ``i`` and ``o``, streams of ``shape``.
    """

    latency = 1

    def __init__(self, shape, *, assertions=False):
        self.shape = shape
        self.assertions = assertions
        # Attributes for the proof's sake.
        self.held = Signal(shape, reset_less=True)
        self.holding = Signal()
        super().__init__({
            "i": In(stream.Signature(shape)),
            "o": Out(stream.Signature(shape)),
        })

    def elaborate(self, platform):
        m = Module()
        payload = Signal(self.shape, reset_less=True)
        m.d.comb += [self.i.ready.eq(~self.holding), self.o.payload.eq(payload)]
        with m.If(self.o.ready | ~self.o.valid):
            with m.If(self.holding):
                m.d.sync += [payload.eq(self.held), self.holding.eq(0)]
            with m.Else():
                m.d.sync += [payload.eq(self.i.payload), self.o.valid.eq(self.i.valid)]
        with m.Elif(self.i.valid & self.i.ready):
            m.d.sync += [self.held.eq(self.i.payload), self.holding.eq(1)]

        if self.assertions:
            m.d.sync += Assert(self.o.valid | ~self.holding, "an item is held back and none is offered")
            assert_hold(m, self.o)
        return m
