"""Hands commands to the engines' queues, and holds them there until their tokens have come."""

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.duet.command import CommandLayout, Engine
from hw.stream.fifo import Fifo

__all__ = ["Dispatcher", "TOKEN_BITS"]

#: Width of a token counter.
TOKEN_BITS = 8


class Dispatcher(wiring.Component):
    """A queue of ``depth`` commands an engine, and a counter of tokens for each ordered pair of engines.

    A command leaves its queue for its engine once every engine in its ``wait`` has given it a token; these are taken
    in the cycle of the transfer. ``ended[e]`` reports, with the ``signal`` field of a command, that it has ended.

    Latency: :attr:`latency` cycles from the input to an idle engine. Throughput: a command a cycle. The counters hold
    up to 2^TOKEN_BITS - 1 tokens; ``ended[e].ready`` is 0 while one that would be raised is full.
    Source: the decoupled control of thesis 5.1; tokens as in decoupled access and execute machines.

    Members
    -------
    commands: In(stream of :class:`CommandLayout`)
    engine: Out(array of streams of :class:`CommandLayout`), by :class:`Engine`
    ended: In(array of streams of ``signal``, 4 bits)
    idle: Out, no command is queued
    """

    latency = Fifo.latency

    def __init__(self, depth, assertions=False):
        self.depth, self.assertions = depth, assertions
        commands = stream.Signature(CommandLayout())
        super().__init__({
            "commands": In(commands),
            "engine": Out(commands).array(len(Engine)),
            "ended": In(stream.Signature(len(Engine))).array(len(Engine)),
            "idle": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        count = len(Engine)
        tokens = Signal(data.ArrayLayout(data.ArrayLayout(TOKEN_BITS, count), count))  # [from][to]
        takes = [Signal(count, name=f"takes_{engine}") for engine in range(count)]
        queues = []
        for to in range(count):
            m.submodules[f"queue_{to}"] = queue = Fifo(CommandLayout(), self.depth, assertions=self.assertions)
            queues.append(queue)
            out, waits = self.engine[to], Signal(count, name=f"waits_{to}")
            m.d.comb += [
                queue.i.payload.eq(self.commands.payload),
                queue.i.valid.eq(self.commands.valid & (self.commands.p.engine.as_value() == to)),
                waits.eq(queue.o.p.wait & ~(1 << to)),
                out.payload.eq(queue.o.payload), queue.o.ready.eq(out.valid & out.ready),
                out.valid.eq(queue.o.valid & ~_any(waits[source] & ~tokens[source][to].any()
                                                   for source in range(count))),
            ]
            with m.If(out.valid & out.ready):
                m.d.comb += takes[to].eq(waits)
        for source in range(count):
            ended, gives = self.ended[source], Signal(count, name=f"gives_{source}")
            m.d.comb += [
                gives.eq(ended.payload & ~(1 << source)),
                ended.ready.eq(~_any(gives[to] & tokens[source][to].all() for to in range(count))),
            ]
            for to in range(count):
                given = ended.valid & ended.ready & gives[to]
                m.d.sync += tokens[source][to].eq(tokens[source][to] + given - takes[to][source])
        m.d.comb += [
            self.commands.ready.eq(Array(queue.i.ready for queue in queues)[self.commands.p.engine.as_value()]),
            self.idle.eq(~_any(queue.level.any() for queue in queues)),
        ]
        return m


def _any(flags):
    """Whether one of the flags is set."""
    result = 0
    for flag in flags:
        result |= flag
    return result
