# amaranth: UnusedElaboratable=no
"""The sum-together element against plain sums of products, every mode after every other."""

import cocotb
import pytest

from golden.arith.precision import Precision
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage, merge

NAME = "sum-together element"
POINTS = [f"{a.name} then {b.name}" for a in Precision for b in Precision]
coverage = Coverage(NAME, POINTS)
CORNERS = (0, 0xFFFF, 0x8000, 0x7FFF, 0x8080, 0x7F7F, 0x8888, 0x7777, 0xAAAA, 0x5555)


def dot(mode, x, w):
    """Sum of products; the narrow operands of ``w`` lie in reverse order."""
    bits = mode.bits
    count = 16 // bits

    def signed(word, index):
        field = word >> (bits * index) & ((1 << bits) - 1)
        return field - (field >> (bits - 1) << bits)

    return sum(signed(x, i) * signed(w, count - 1 - i) for i in range(count))


@cocotb.test()
async def random_beats(dut):
    """A beat in most cycles; the sum is checked in every cycle."""
    bench = await start(dut, timeout=None)
    rng, options = context().rng, context().options
    latency, total, sums, before = options["latency"], 0, {}, None
    for cycle in range(options["cycles"] + latency):
        valid, first = bool(rng.random() < 0.8), cycle == 0 or bool(rng.random() < 0.1)
        mode = Precision(int(rng.integers(4)))
        x, w = (int(rng.choice(CORNERS) if rng.random() < 0.3 else rng.integers(1 << 16)) for _ in range(2))
        valid = valid or cycle == 0
        if valid:
            total = dot(mode, x, w) + (0 if first else total)
            if before is not None:
                coverage.hit(f"{before.name} then {mode.name}")
            before = mode
        sums[cycle + latency] = total + (1 if options.get("corrupt") and cycle == 100 else 0)
        for name, value in dict(valid=valid, first=first, mode=mode, x=x, w=w).items():
            getattr(dut, name).value = int(value)
        await bench.cycles(1)
        if cycle in sums:
            assert dut.acc.value.to_signed() == sums[cycle], f"cycle {cycle}: expected {sums[cycle]}"


def run(**options):
    from hw.arith.sum_together_pe import SumTogetherPe
    from resilin.simulate import simulate_component

    unit = SumTogetherPe()
    return simulate_component(unit, __name__, options={"latency": unit.latency, "cycles": 10000, **options})


def test_random_beats():
    merge(NAME, POINTS, [run()]).check()


def test_a_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="expected"):
        run(corrupt=True, cycles=300)
