# amaranth: UnusedElaboratable=no
"""The SRAM bank against a plain array: byte enables, held read data, read of the word being written."""

import cocotb
import pytest

from hw.memory.sram import SramBank
from resilin.simulate import simulate_component
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage

POINTS = ["read", "held", "write in part", "write all", "read of the word being written", "last word"]
coverage = Coverage("sram", POINTS)


@cocotb.test()
async def random_traffic(dut):
    bench = await start(dut, timeout=None)
    ctx = context()
    rng, width, depth, granularity = ctx.random, *(ctx.config[k] for k in ("width", "depth", "granularity"))
    lanes = width // granularity
    words = [0] * depth
    expected = None
    for _ in range(ctx.options["cycles"]):
        read, mask = rng.getrandbits(1), rng.getrandbits(lanes) if rng.getrandbits(1) else 0
        address, target = (rng.choice([0, depth - 1, rng.randrange(depth)]) for _ in range(2))
        data = rng.getrandbits(width)
        dut.read_enable.value = read
        dut.write_mask.value = mask
        dut.write_data.value = data
        if depth > 1:
            dut.read_address.value = address
            dut.write_address.value = target
        await bench.cycles(1)
        if expected is not None:
            assert int(dut.read_data.value) == expected
        coverage.hit("read" if read else "held")
        if read:
            expected = words[address]
            if mask and address == target:
                coverage.hit("read of the word being written")
            if address == depth - 1:
                coverage.hit("last word")
        for lane in range(lanes):
            if mask >> lane & 1:
                part = ((1 << granularity) - 1) << lane * granularity
                words[target] = words[target] & ~part | data & part
        if mask:
            coverage.hit("write all" if mask == (1 << lanes) - 1 else "write in part")
    coverage.check()


@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
@pytest.mark.parametrize("width, depth, granularity", [(64, 24, 8), (12, 5, 4)])
def test_sram_simulation(width, depth, granularity, simulator, need):
    need(simulator)
    simulate_component(SramBank(width, depth, granularity), __name__, name=f"sram_{width}x{depth}",
                       config={"width": width, "depth": depth, "granularity": granularity},
                       options={"cycles": 4000}, simulator=simulator)


@pytest.mark.parametrize("parameters, message", [((0, 4), "width"), ((8, 0), "depth"), ((8, 4, 3), "granularity")])
def test_parameters_are_checked(parameters, message):
    with pytest.raises(ValueError, match=message):
        SramBank(*parameters)
