# amaranth: UnusedElaboratable=no
"""Constant tables as logic: every entry, and how small tables with few steps are."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

import hw.arith.lookup
from hw.arith.lookup import lookup


@pytest.mark.parametrize("values, width", [
    ([3, 1, 2, 0, 7, 7, 7, 7], 3), ([5, 5], 3), ([0] * 16, 2), ([i * i % 64 for i in range(64)], 6)])
def test_every_entry(values, width):
    m = Module()
    index, y = Signal(range(len(values))), Signal(width)
    m.d.comb += y.eq(lookup(m, index, values, width, name="table"))

    async def bench(ctx):
        for position, value in enumerate(values):
            ctx.set(index, position)
            await ctx.delay(1e-9)
            assert ctx.get(y) == value

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


def test_equal_parts_are_made_once(monkeypatch):
    """A single step in 1024 entries: one multiplexer a bit of the index at most."""
    made = []
    monkeypatch.setattr(hw.arith.lookup, "Signal", lambda **about: made.append(Signal(**about)) or made[-1])
    lookup(Module(), Signal(10), [int(i >= 300) for i in range(1024)], 1, name="step")
    assert 0 < len(made) <= 10
