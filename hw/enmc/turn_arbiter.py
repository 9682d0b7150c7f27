"""Several streams into one, a number of items of each in turn."""

from amaranth.hdl import Array, Assert, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.stream.hold import assert_hold

__all__ = ["TurnArbiter"]


class TurnArbiter(wiring.Component):
    """Merges ``count`` streams: an input keeps its turn while it offers items, for up to ``turn`` of them; then it is
    the next one's that offers any, in a circle. Requests of one reader so stay together, in open rows of the DRAM.

    Latency: 1 cycle. Throughput: an item a cycle, from any mix of inputs. An input that offers an item waits for at
    most ``turn`` * (``count`` - 1) others. ``o`` comes from registers; ``i[k].ready`` depends in the same cycle on
    ``o.ready`` and on the valid of all inputs.

    Parameters: ``shape`` of the payload; ``count`` of inputs, at least 2; ``turn``, at least 1; ``assertions``.

    Members: ``i``, an array of ``count`` streams of ``shape``; ``o``, a stream of ``shape``.
    """

    def __init__(self, shape, count, turn, assertions=False):
        self.shape, self.count, self.turn, self.assertions = shape, count, turn, assertions
        # Attributes for the proof's sake: who was served last, how often in a row.
        self.served, self.run = Signal(range(count)), Signal(range(turn + 1))
        super().__init__({"i": In(stream.Signature(shape)).array(count), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        count, served, choice = self.count, self.served, Signal(range(self.count))
        offers = Array(source.valid for source in self.i)
        free, keeps, granted = Signal(), Signal(), Signal()
        payload = Signal(self.shape, reset_less=True)
        m.d.comb += [
            free.eq(self.o.ready | ~self.o.valid), keeps.eq(offers[served] & (self.run != self.turn)),
            choice.eq(served), granted.eq(free & offers[choice]), self.o.payload.eq(payload),
        ]
        with m.If(~keeps):
            with m.Switch(served):
                for last in range(count):
                    with m.Case(last):
                        # Later statements win: from the one before it in the circle to the one behind it.
                        for distance in range(count - 1, 0, -1):
                            with m.If(self.i[(last + distance) % count].valid):
                                m.d.comb += choice.eq((last + distance) % count)
        for index, source in enumerate(self.i):
            m.d.comb += source.ready.eq(free & (choice == index))
        with m.If(free):
            m.d.sync += self.o.valid.eq(granted)
        with m.If(granted):
            m.d.sync += [payload.eq(Array(source.payload for source in self.i)[choice]), served.eq(choice),
                         self.run.eq(Mux(keeps, self.run + 1, 1))]
        if self.assertions:
            m.d.sync += [Assert(served < count, "an input that does not exist"),
                         Assert(self.run <= self.turn, "a turn that is too long")]
            assert_hold(m, self.o)
        return m
