"""Weight buffer of the Screener: bursts as they come from the DRAM, or words that an instruction loads."""

from amaranth.hdl import Assert, Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.enmc_types import WORD_BITS
from hw.enmc.screener_types import WORDS

__all__ = ["WeightBuffer"]


class WeightBuffer(wiring.Component):
    """A queue of ``depth`` bursts; its first four places are the words of buffer WEIGHT_INT4.

    The queue takes what comes: whoever asks for bursts asks for as many as have room. Its head is at the memory's
    output; a place is free when its burst was popped. ``forget`` makes zeros of the words; ``replay`` queues the first
    ``count`` words, the queue being empty.

    Latency: a burst is at the head 2 cycles after it came. Throughput: a burst a cycle in and out.

    Parameters: ``depth`` at least 4; ``assertions``: check that there is room for what comes.

    Members
    -------
    push, data: In, a burst comes
    head: Out(512), head_valid: Out(1)
    known: Out(4): the words that were loaded; the others are zero, whatever ``head`` shows
    pop: In(1), only with ``head_valid``
    replay: In(1), count: In(range(5)): queue the first words; forget: In(1)
    write_enable, write_index, write_data: In, a word, the queue being empty
    read_index: In(2); then, while the queue is empty, ``head`` is that word a cycle later
    """

    def __init__(self, depth, assertions=False):
        self.depth = depth
        self.assertions = assertions
        super().__init__({
            "push": In(1), "data": In(WORD_BITS),
            "head": Out(WORD_BITS), "head_valid": Out(1), "known": Out(WORDS), "pop": In(1),
            "replay": In(1), "count": In(range(WORDS + 1)), "forget": In(1),
            "write_enable": In(1), "write_index": In(2), "write_data": In(WORD_BITS),
            "read_index": In(2),
        })

    def elaborate(self, platform):
        m = Module()
        depth = self.depth
        m.submodules.memory = rows = memory.Memory(shape=WORD_BITS, depth=depth, init=[])
        write, read = rows.write_port(), rows.read_port()
        tail, first = Signal(range(depth)), Signal(range(depth))
        waiting = Signal(range(depth + 1))  # in rows, not at the head
        take = Signal()
        m.d.comb += [
            take.eq((waiting != 0) & (self.pop | ~self.head_valid)),
            write.en.eq(self.push | self.write_enable),
            write.addr.eq(Mux(self.write_enable, self.write_index, tail)),
            write.data.eq(Mux(self.write_enable, self.write_data, self.data)),
            # Nobody reads words while there is a queue.
            read.en.eq(take | ~self.head_valid),
            read.addr.eq(Mux(waiting != 0, first, self.read_index)),
            self.head.eq(read.data),
        ]

        def advance(index):
            m.d.sync += index.eq(Mux(index == depth - 1, 0, index + 1))

        # ``take`` comes late.
        m.d.sync += waiting.eq(Mux(take, waiting + self.push - 1, waiting + self.push))
        with m.If(self.push):
            advance(tail)
        with m.If(take):
            m.d.sync += self.head_valid.eq(1)
            advance(first)
        with m.Elif(self.pop):
            m.d.sync += self.head_valid.eq(0)
        with m.If(self.write_enable):
            m.d.sync += self.known.bit_select(self.write_index, 1).eq(1)
        with m.If(self.forget):
            m.d.sync += self.known.eq(0)
        with m.If(self.replay):
            m.d.sync += [first.eq(0), waiting.eq(self.count), tail.eq(self.count)]  # of four places, 4 is place 0
        if self.assertions:
            held = Cat(waiting != 0, self.head_valid).any()
            m.d.sync += [
                Assert(waiting + self.head_valid + self.push - self.pop <= depth, "the weight buffer overflows"),
                Assert(self.head_valid | ~self.pop, "nothing is there to be popped"),
                Assert(~(self.replay & (held | self.push)), "a replay while there is a queue"),
                Assert(~(self.write_enable & (held | self.push)), "a word is written while there is a queue"),
            ]
        return m
