"""Tests a unit that takes a number and gives a result every cycle, always the same number of cycles later."""

from resilin.simulate import simulate_component
from sim.bench import start
from sim.context import context

__all__ = ["compare_every_cycle", "run"]


async def compare_every_cycle(dut, draw, model):
    """Drive ``x`` with ``draw(rng)``, one number a cycle; ``y`` must be ``model`` of it ``latency`` cycles later."""
    bench = await start(dut, timeout=None)
    latency = context().options["latency"]
    inputs = draw(context().rng)
    expected = model(inputs)
    if context().options["corrupt"]:
        expected[len(expected) // 2] ^= 1
    for cycle in range(len(inputs) + latency):
        if cycle < len(inputs):
            dut.x.value = int(inputs[cycle])
        await bench.cycles(1)
        # What is read here was produced by the edge before this one.
        if cycle >= latency:
            got, index = int(dut.y.value), cycle - latency
            assert got == expected[index], f"x = {inputs[index]}: expected {expected[index]}, got {got}"


def run(unit, test_module, corrupt=False):
    """Run a module's cocotb tests on a unit with a ``latency``; ``corrupt`` flips a bit of what is expected."""
    simulate_component(unit, test_module, options={"latency": unit.latency, "corrupt": corrupt})
