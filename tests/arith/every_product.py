"""Every product of a small multiplier without registers, against plain multiplication."""

from amaranth.sim import Simulator

__all__ = ["check_every_product"]


def check_every_product(unit, a, b):
    """Simulate ``unit``, whose output is ``y``, with all values of its inputs ``a`` and ``b`` (names)."""
    def values(name):
        shape = getattr(unit, name).shape()
        return range(-(1 << shape.width - 1), 1 << shape.width - 1) if shape.signed else range(1 << shape.width)

    async def bench(ctx):
        for one in values(a):
            ctx.set(getattr(unit, a), one)
            for other in values(b):
                ctx.set(getattr(unit, b), other)
                await ctx.delay(1e-9)
                assert ctx.get(unit.y) == one * other, f"{one} * {other}"

    simulator = Simulator(unit)
    simulator.add_testbench(bench)
    simulator.run()
