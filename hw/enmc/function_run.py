"""Runs a special function over elements of PSUM_FP32, on the lanes that have one."""

import math

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["FunctionRun", "LANES"]

#: Lanes, and numbers of a word.
LANES = 16


class FunctionRun(wiring.Component):
    """Elements 0 to ``limit`` - 1, ``lanes`` at a time in step: requests in order, results to where they came from.

    Element e is number e % 16 of slot ``base`` + e / 16, and goes through function unit e % ``lanes``. ``run`` stays 1
    from the beginning up to the cycle of ``done``. A request a cycle, if the units take it.

    Parameter: ``lanes``, 1, 2, 4, 8 or 16.

    Members
    -------
    run: In; limit: In, 1 to 64; base: In, slot of element 0, in the cycle before ``run`` becomes 1
    request_valid: Out, request_ready: In: the units are asked for elements of the slot that was ``next_slot`` in the
        cycle before, numbers ``request_part`` * ``lanes`` and up
    answer_valid: In: results are there; ``write`` (Out, a bit a lane) tells which lanes they go to, ``write_slot``
        to which slot
    done: Out, the last results are there
    """

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__({
            "run": In(1), "limit": In(range(65)), "base": In(3),
            "request_valid": Out(1), "request_ready": In(1), "next_slot": Out(3),
            "request_part": Out(range(LANES // lanes)),
            "answer_valid": In(1), "write": Out(LANES), "write_slot": Out(3), "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        lane_bits = int(math.log2(self.lanes))
        # Counted in steps of `lanes` elements.
        sent, got = (Signal(range(64 // self.lanes + 1), name=name) for name in ("sent", "got"))
        part_bits = 4 - lane_bits
        steps = Signal.like(sent, name="steps")
        part = Signal(range(LANES // self.lanes))
        m.d.comb += [
            steps.eq((self.limit + self.lanes - 1) >> lane_bits),
            self.request_valid.eq(self.run & (sent != steps)),
            self.request_part.eq(sent[:part_bits]), part.eq(got[:part_bits]),
            self.done.eq(self.run & self.answer_valid & (got + 1 == steps)),
        ]
        inside = [((got << lane_bits) + lane) < self.limit for lane in range(self.lanes)]
        m.d.comb += self.write.eq(Cat(
            self.run & self.answer_valid & (part == lane // self.lanes) & inside[lane % self.lanes]
            for lane in range(LANES)))
        slot = Signal.like(self.next_slot)
        sends = self.request_valid & self.request_ready
        slot_ends, write_ends = (count[:part_bits].all() if part_bits else Const(1) for count in (sent, got))
        m.d.sync += slot.eq(self.next_slot)
        with m.If(~self.run | self.done):
            m.d.comb += self.next_slot.eq(self.base)
            m.d.sync += [sent.eq(0), got.eq(0), self.write_slot.eq(self.base)]
        with m.Else():
            m.d.comb += self.next_slot.eq(slot + (sends & slot_ends))
            m.d.sync += [sent.eq(sent + sends), got.eq(got + self.answer_valid),
                         self.write_slot.eq(self.write_slot + (self.answer_valid & write_ends))]
        return m
