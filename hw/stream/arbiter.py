"""Several streams into one, in turn."""

from amaranth.hdl import Array, Assert, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .hold import assert_hold

__all__ = ["Arbiter"]


class Arbiter(wiring.Component):
    """Merges ``count`` streams fairly: the input served last has the lowest priority.

    Latency: :attr:`latency` = 1 cycle. Throughput: one item a cycle, from any mix of inputs. An input that offers an
    item waits for at most ``turn * (count - 1)`` others. ``o`` comes from registers; ``i[k].ready`` depends in the
    same cycle on ``o.ready`` and on the valid of all inputs (put a ``SkidBuffer`` behind ``o`` to cut the former).

    Parameters
    ----------
    shape: shape of the payload
    count: number of inputs, at least 2
    turn: items that an input is served in a row, as long as it offers them
    packets: whether an input keeps its turn until it has sent an item whose field ``last`` is 1
    assertions: whether to emit ``Assert`` statements for the invariants

    Members: ``i``, an array of ``count`` streams of ``shape``; ``o``, a stream of ``shape``.

    Raises ``ValueError`` when ``count`` is not an integer of at least 2 or ``turn`` one of at least 1, for ``packets``
    without a field ``last``, or together with a ``turn``.
    """

    latency = 1

    def __init__(self, shape, count, *, turn=1, packets=False, assertions=False):
        if not isinstance(count, int) or count < 2:
            raise ValueError(f"count = {count!r} is not allowed: count must be an integer, at least 2")
        if not isinstance(turn, int) or turn < 1 or packets and turn != 1:
            raise ValueError(f"turn = {turn!r} is not allowed: turn must be an integer, at least 1; 1 with packets")
        if packets and not (isinstance(shape, data.Layout) and "last" in dict(shape)):
            raise ValueError(f"shape = {shape!r} is not allowed with packets: shape must have a field 'last'")
        self.shape = shape
        self.count = count
        self.turn = turn
        self.packets = packets
        self.assertions = assertions
        # Attributes for the proof's sake.
        self.served = Signal(range(count), init=count - 1)
        self.locked = Signal()
        self.run = Signal(range(turn + 1), init=turn)  # items of the turn
        super().__init__({
            "i": In(stream.Signature(shape)).array(count),
            "o": Out(stream.Signature(shape)),
        })

    def elaborate(self, platform):
        m = Module()
        count = self.count
        choice = Signal(range(count))
        grants = Signal(count)
        free = Signal()
        payload = Signal(self.shape, reset_less=True)
        m.d.comb += [free.eq(self.o.ready | ~self.o.valid), self.o.payload.eq(payload), choice.eq(self.served)]

        with m.Switch(self.served):
            for served in range(count):
                with m.Case(served):
                    # Later statements win: from the input just served back to the one after it.
                    for distance in range(count, 0, -1):
                        index = (served + distance) % count
                        with m.If(self.i[index].valid):
                            m.d.comb += choice.eq(index)
        keeps = self.locked
        if self.turn > 1:
            keeps = Array(source.valid for source in self.i)[self.served] & (self.run != self.turn)
            with m.If(grants.any()):
                m.d.sync += self.run.eq(Mux(keeps, self.run + 1, 1))
        with m.If(keeps):
            m.d.comb += choice.eq(self.served)

        with m.If(free):
            m.d.sync += self.o.valid.eq(grants.any())
        for index in range(count):
            source = self.i[index]
            m.d.comb += [source.ready.eq(free & (choice == index)), grants[index].eq(source.valid & source.ready)]
            with m.If(grants[index]):
                m.d.sync += [payload.eq(source.payload), self.served.eq(index)]
                if self.packets:
                    m.d.sync += self.locked.eq(~source.payload.last)

        if self.assertions:
            m.d.sync += Assert((grants & (grants - 1)[:count]) == 0, "two inputs are served at once")
            m.d.sync += Assert(self.served < count, "an input that does not exist")
            assert_hold(m, self.o)
        return m
