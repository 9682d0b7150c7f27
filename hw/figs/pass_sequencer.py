"""Sequencer of FigsEngine: passes into schedule cycles."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Command", "Cycle", "PassSequencer"]


class Command(data.StructLayout):
    """A pass: ``cycles`` schedule cycles of the program from word ``base`` on; ``group``: binary logarithm of G."""

    def __init__(self, words, groups):
        super().__init__({"base": range(words), "cycles": range(words * groups + 1), "group": group_shape(groups)})


class Cycle(data.StructLayout):
    """A schedule cycle on its way: ``active`` (else there is none), ``first`` and ``last`` of its pass, ``short``: the
    pass has fewer cycles than ``long``; ``age`` (cycles since the pass began, at most depth - 1), the pass' ``group``,
    ``part``: which ones of the word's slots."""

    def __init__(self, groups, depth):
        super().__init__({"active": 1, "first": 1, "last": 1, "short": 1, "age": range(depth),
                          "group": group_shape(groups), "part": range(groups)})


def group_shape(groups):
    """Shape of a logarithm of G; one more than all legal ones where that takes no bit more."""
    return range(max(2, groups.bit_length()))


class PassSequencer(wiring.Component):
    """Gives the schedule cycles of passes one after another, with the address of their words.

    A word of the program has ``groups`` slots, a schedule cycle with G rows in a group takes G of them: the cycles of a
    word follow each other from its low slots to its high ones.

    Throughput: a schedule cycle a cycle with ``go``; no pause between passes of at least two cycles whose commands are
    there. Latency: 2 cycles from a command to its first cycle.
    Back-pressure: ``commands.ready`` depends on registers only.

    Parameters: ``words`` of the program memory; ``groups``; ``depth``; ``long``, cycles of a pass that is not short.

    Members
    -------
    commands: In(stream of :class:`Command`)
    go: In(1); 1: the present cycle is taken
    address: Out, word of the present cycle, register
    cycle: Out(:class:`Cycle`), registers
    refused: Out(1), with the transfer of a command that has no cycles, a ``group`` beyond ``groups`` or words beyond
        the memory's; it is dropped
    """

    def __init__(self, words, groups, depth, long):
        self.words, self.groups, self.depth, self.long = words, groups, depth, long
        super().__init__({
            "commands": In(stream.Signature(Command(words, groups))), "go": In(1),
            "address": Out(range(words)), "cycle": Out(Cycle(groups, depth)), "refused": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        top = self.groups.bit_length() - 1
        command = self.commands.payload
        # A word has 2^(top - group) cycles.
        spare = Signal(range(top + 1))
        shift, known = Signal.like(spare), Signal()
        m.d.comb += [known.eq(command.group <= top), spare.eq(Mux(known, top - command.group, 0))]
        needed = Signal(range(self.words * self.groups + self.groups + 1))
        m.d.comb += [
            needed.eq((command.cycles + ((1 << spare) - 1)) >> spare),
            self.refused.eq(self.commands.valid & self.commands.ready &
                            ((command.cycles == 0) | ~known | (command.base + needed > self.words))),
        ]
        waiting, held = Signal.like(command, reset_less=True), Signal()
        take = Signal()
        m.d.comb += self.commands.ready.eq(~held)
        with m.If(self.commands.ready):
            m.d.sync += [waiting.eq(command), held.eq(self.commands.valid & ~self.refused), shift.eq(spare)]
        with m.If(take):
            m.d.sync += held.eq(0)

        cycle, left = self.cycle, Signal(range(self.words * self.groups + 1))
        more = Signal()
        m.d.comb += [more.eq(cycle.active & ~cycle.last), take.eq(held & (~cycle.active | self.go & cycle.last))]
        parts = Signal.like(cycle.part)
        with m.If(take):
            m.d.sync += [
                self.address.eq(waiting.base), left.eq(waiting.cycles - 1), parts.eq((1 << shift) - 1),
                cycle.active.eq(1), cycle.first.eq(1), cycle.last.eq(waiting.cycles == 1),
                cycle.short.eq(waiting.cycles < self.long), cycle.age.eq(0),
                cycle.group.eq(waiting.group), cycle.part.eq(0),
            ]
        with m.Elif(self.go):
            m.d.sync += [
                cycle.active.eq(more), cycle.first.eq(0), cycle.last.eq(more & (left == 1)), left.eq(left - 1),
                self.address.eq(self.address + (cycle.part == parts)),
                cycle.part.eq(Mux(cycle.part == parts, 0, cycle.part + 1)),
                cycle.age.eq(Mux(cycle.age == self.depth - 1, cycle.age, cycle.age + 1)),
            ]
        return m
