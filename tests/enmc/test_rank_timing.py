"""The rank's cycle model against the RTL: every command on the chips' pins, the counters, the end of each program."""

import cocotb
import numpy as np
import pytest

from golden.enmc.enmc_controller import EnmcController
from golden.enmc.isa import decode, make
from hw.enmc.enmc_rank import EnmcRank, EnmcRankConfig
from resilin.simulate import simulate_component
from sim.runner import SimulationError

from .random_instructions import HIGH, LOW, STORES, random_instruction, random_settings
from .bench_rank_timing import Pair
from .test_enmc_rank import classifier


@cocotb.test()
async def layers(dut):
    """Screening and full classification of a layer, one program after the other; what must happen in them did."""
    h = Pair(dut)
    layer, vectors = classifier(h.ctx.rng, *h.ctx.options["layer"])
    programs = h.ctx.options["programs"]
    most = max(items for items, _ in programs)
    await h.begin(max(layer.layout(items).end for items in range(1, most + 1)))
    h.load(0, layer.image())
    setup = layer.setup(most)
    h.golden.run(setup)
    await h.run(setup)
    times = [await h.classify(program) for items, options in programs
             for program in layer.compile(vectors[:items], **options)]
    assert h.host.full or h.ctx.preset != "small", "the instruction FIFO was never full"
    for name in ("overlap_cycles", "refreshes", "bursts_written"):
        assert any(getattr(each, name) for each in times), f"{name} = 0 in all programs"
    await h.bench.finish()


@cocotb.test()
async def random_programs(dut):
    """Instructions of every kind in any order, with random registers; FILTER finds nothing."""
    h = Pair(dut)
    await h.begin(HIGH + (1 << 20))  # rows and features may lie there
    rng = h.ctx.rng
    h.load(0, rng.integers(0, 256, LOW).astype(np.uint8))
    checker = EnmcController(1 << h.config.row_bits + 17)

    def legal(instructions):
        for instruction in instructions:
            definition = decode(instruction).definition
            if definition is None or definition.register == "read":
                continue
            checker.take(instruction)
            if checker.error is None:
                yield instruction
            checker.error = None

    await h.run(legal([make("INIT", "WRITE_LOW", STORES), make("INIT", "WRITE_HIGH", HIGH)]))
    for _ in range(h.ctx.options.get("random", 2)):
        await h.run(legal([make("CLR"), *random_settings(rng), make("INIT", "THRESHOLD", (1 << 31) - 1),
                           *(random_instruction(rng) for _ in range(60)), make("BARRIER")]))
    await h.bench.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------

SMALL = {"layer": (70, 40, 33, 9), "programs": [(2, {}), (1, {"accurate": True}), (1, {"probabilities": True})]}


def run(testcase, preset="small", overrides=None, seed=1, **options):
    """Cocotb tests on a rank. ``layer``: classes, d, k, candidates; ``programs``: items, options of the compiler."""
    config = EnmcRankConfig.preset(preset, overrides)
    return simulate_component(EnmcRank(config, assertions=True), __name__, name="enmc_rank", preset=preset,
                              config=config.to_dict(), testcase=testcase, seed=seed, timeout=3600, options=options)


def test_programs():
    run(None, **SMALL)


# Column commands are whole cycles apart, so tRCD = 17 would be the same.
@pytest.mark.parametrize("changes", [{"trcd": 18}, {"maximum_lanes": 4}])
def test_a_wrong_parameter_is_seen(changes):
    with pytest.raises(SimulationError, match=r"layers failed: command \d+: .* the model says"):
        run("layers", changes=changes, **SMALL)


@pytest.mark.slow
def test_slices_of_the_paper():
    """Hundreds of classes of a layer of the thesis' size, REFRESH in between."""
    run("layers", "paper", layer=(512, 576, 144, 16), programs=[(1, {}), (2, {}), (1, {"accurate": True})])


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [
    dict(depth=4, queue_depth=4, tile_words=16, turn=1, write_depth=4, finish_lanes=8, filter_lanes=1,
         convert_stages=2, maximum_lanes=16, fma_stages=3, queue=3, lookahead=4),
    dict(depth=9, queue_depth=16, tile_words=8, turn=64, write_depth=17, weight_bursts=9, finish_lanes=2,
         filter_lanes=8, levels=5, function_lanes=4, fma_stages=6, queue=33, lookahead=32, cl=20, cwl=16, trefi=800,
         trfc=300),
])
def test_other_sizes(overrides):
    run(None, overrides=overrides, layer=(200, 70, 40, 30), random=20,
        programs=[(1, {}), (3, {}), (2, {"accurate": True}), (1, {"probabilities": True})])
