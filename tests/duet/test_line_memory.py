# amaranth: UnusedElaboratable=no
"""Memory of lines and rows against its bits: rows narrower and wider than lines, lines written in several cycles."""

import cocotb
import pytest

from hw.duet.line_memory import LineMemory
from resilin.simulate import simulate_component
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage
from sim.timed import TimedDriver

POINTS = ["row held", "row read", "last row", "line written"]
coverage = Coverage("line_memory", POINTS)


@cocotb.test()
async def random_traffic(dut):
    ctx = context()
    rng, row_bits, line_bits, rows = ctx.random, *(ctx.config[name] for name in ("row_bits", "line_bits", "rows"))
    bench = await start(dut)
    driver = TimedDriver(dut, "write", layout=ctx.layout("write"))
    bits, expected = 0, None
    for _ in range(ctx.options["rounds"]):
        # Lines, all of them first, then some again.
        lines = rows * row_bits // line_bits
        targets = range(lines) if not bits else rng.sample(range(lines), min(lines, 3))
        before = len(driver.times)
        for address in targets:
            line = rng.getrandbits(line_bits)
            driver.put({"address": address, "data": line})
            bits = bits & ~((1 << line_bits) - 1 << address * line_bits) | line << address * line_bits
            coverage.hit("line written")
        while len(driver.times) < before + len(targets):
            await bench.cycles(1)
        span = driver.times[-1] - driver.times[before]
        assert span == (len(targets) - 1) * ctx.options["beats"], "a line in other than `beats` cycles"
        await bench.cycles(1)
        for _ in range(40):
            row = rng.choice([0, rows - 1, rng.randrange(rows)])
            dut.read_enable.value = read = rng.getrandbits(1)
            dut.read_row.value = row
            await bench.cycles(1)
            bench.kick()
            if expected is not None:
                assert int(dut.row.value) == expected ^ ctx.options.get("corrupt", 0), f"row {row}"
            coverage.hit("row read" if read else "row held")
            if read:
                expected = bits >> row * row_bits & (1 << row_bits) - 1
                if row == rows - 1:
                    coverage.hit("last row")
        dut.read_enable.value = 0
        await bench.cycles(1)
    coverage.check()


def run(line_bits, row_bits, rows, banks, **options):
    memory = LineMemory(line_bits, row_bits, rows, banks)
    simulate_component(memory, __name__, name=f"line_memory_{line_bits}_{row_bits}_{banks}",
                       config=dict(line_bits=line_bits, row_bits=row_bits, rows=rows),
                       options=dict(rounds=10, beats=memory.beats, **options))


@pytest.mark.parametrize("line_bits, row_bits, rows, banks", [
    (64, 16, 16, 4), (64, 16, 16, 1), (64, 16, 4, 2), (32, 32, 8, 1), (32, 64, 8, 1), (32, 128, 4, 1)])
def test_rows_and_lines(line_bits, row_bits, rows, banks):
    run(line_bits, row_bits, rows, banks)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="row"):
        run(32, 64, 8, 1, corrupt=1)


@pytest.mark.parametrize("parameters, message", [
    ((64, 16, 12), "rows"), ((64, 16, 16, 3), "banks"), ((64, 16, 16, 8), "whole rows"), ((64, 48, 16), "whole rows"),
    ((64, 16, 2), "whole rows"), ((16, 48, 16), "ratio")])
def test_parameters_are_checked(parameters, message):
    with pytest.raises(ValueError, match=message):
        LineMemory(*parameters)
