"""One of the Scheduler's 2**T - 1 buffers of key IDs (thesis 7.6.3, Figure 7.16)."""

from amaranth.hdl import Assert, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["IdBuffer"]


class IdBuffer(wiring.Component):
    """One buffer of key IDs: first the IDs it was filled with, then the moved ones, each in order of arrival.

    The IDs that fill it live in one ring of ``depth`` words that the group being issued and the group being filled
    share, so overlapping them costs no second memory; when both together hold more than ``depth``, ``full`` makes the
    fill wait for the issue. Moved IDs belong to the issued group only and get a ring of their own; it needs half the
    depth, since with every moved ID another key was issued for good in the same round.

    Parameters
    ----------
    depth, id_bits: words in the ring (a power of two), and their width
    receives: whether IDs can move here
    assertions: add checks against overflow and underflow

    Members
    -------
    push, push_id, full: fill side; ``push`` only while not ``full``
    swap: the filled group becomes the issued one (a ``push`` in this cycle is still part of it)
    step: enable of the issue side, for everything below; a pipeline step
    pop: the head leaves; ``head`` shows its ID after this step
    give: an ID will arrive: it counts from now on
    take, take_id: the ID, written one step after its ``give``
    nonempty, many: at least one ID, at least two IDs to issue
    """

    def __init__(self, depth, id_bits, receives, assertions=False):
        self.depth = depth
        self.receives = receives
        self.assertions = assertions
        super().__init__({
            "push": In(1), "push_id": In(id_bits), "full": Out(1), "swap": In(1),
            "step": In(1), "pop": In(1), "give": In(1), "take": In(1), "take_id": In(id_bits),
            "nonempty": Out(1), "many": Out(1), "head": Out(id_bits),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.filled = filled = memory.Memory(shape=self.push_id.shape(), depth=self.depth, init=[])
        write, read = filled.write_port(), filled.read_port()
        waiting, left = Signal(range(self.depth + 1)), Signal(range(self.depth + 1))  # of the next and of this group
        own = left.any()
        m.d.comb += [
            self.full.eq((write.addr == read.addr) & (waiting.any() | own)),
            write.en.eq(self.push), write.data.eq(self.push_id), read.en.eq(self.step), self.head.eq(read.data),
            self.many.eq(left[1:].any()),
        ]
        write_at, read_at = Signal.like(write.addr), Signal.like(read.addr)
        m.d.comb += [write.addr.eq(write_at), read.addr.eq(read_at)]
        m.d.sync += write_at.eq(write_at + self.push)
        with m.If(self.step & self.pop & own):
            m.d.sync += [read_at.eq(read_at + 1), left.eq(left - 1)]
        with m.If(self.step):
            m.d.sync += self.nonempty.eq(self.give | self.many | self.nonempty & ~self.pop)
        m.d.sync += waiting.eq(waiting + self.push)
        with m.If(self.swap):
            m.d.sync += [left.eq(waiting + self.push), waiting.eq(0), self.nonempty.eq(waiting.any() | self.push)]
        if self.receives:
            self._moved(m, own, left)
        if self.assertions:
            m.d.sync += [Assert(~(self.push & self.full)), Assert(~(self.step & self.pop & ~self.nonempty)),
                         Assert(self.nonempty | ~self.many)]
        return m

    def _moved(self, m, own, left):
        """The ring of moved IDs; it is written in the step after ``give``, perhaps while that ID is read."""
        m.submodules.moved = moved = memory.Memory(shape=self.take_id.shape(), depth=self.depth // 2, init=[])
        write, read = moved.write_port(), moved.read_port()
        write_at, read_at = Signal.like(write.addr), Signal.like(read.addr)
        count = Signal(range(self.depth // 2 + 1))
        leaves = self.pop & ~own
        from_moved, bypass = Signal(), Signal()
        bypass_id = Signal.like(self.take_id, reset_less=True)
        m.d.comb += [
            write.addr.eq(write_at), write.data.eq(self.take_id), write.en.eq(self.step & self.take),
            read.addr.eq(read_at), read.en.eq(self.step),
            self.many.eq(left[1:].any() | count[1:].any() | own & count[0]),
        ]
        with m.If(self.step):
            m.d.sync += [
                count.eq(count + self.give - leaves), write_at.eq(write_at + self.take), read_at.eq(read_at + leaves),
                from_moved.eq(~own), bypass.eq(self.take & (write_at == read_at)), bypass_id.eq(self.take_id),
            ]
        with m.If(from_moved):
            m.d.comb += self.head.eq(Mux(bypass, bypass_id, read.data))
        if self.assertions:
            m.d.sync += Assert(count + (self.step & self.give) <= self.depth // 2 + (self.step & leaves))
