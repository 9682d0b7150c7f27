# amaranth: UnusedElaboratable=no
"""Assertions of the lane's parts: each must report the breach of its rule."""

import cocotb
import pytest

from hw.arith.precision import Precision
from hw.dota.detector import Detector, DetectorConfig
from hw.dota.lane_command import LaneConfig
from hw.dota.lane_memory import GRAINS, LaneMemory
from hw.dota.tile_writer import TileWriter
from resilin.simulate import simulate_component
from sim.bench import start
from sim.context import context
from sim.runner import SimulationError

CONFIG = LaneConfig.preset("small")


@cocotb.test()
async def inputs(dut):
    """Drive the inputs: a dict of port and value a cycle."""
    bench = await start(dut)
    for values in context().options["cycles"]:
        for name, value in values.items():
            getattr(dut, name).value = value
        await bench.cycles(1)
    await bench.cycles(4)


def run(component, *cycles):
    return simulate_component(component, __name__, options={"cycles": list(cycles)}, quiet=True)


def detector(keys, mode=1, count=1, group_rows=1):
    config = DetectorConfig.preset("small")
    width = config.key_lanes * config.score_bits
    return run(Detector(config, assertions=True), dict(keys=keys, mode=mode, count=count, masks__ready=1),
               dict(scores__payload=group_rows << width, scores__valid=1), dict(scores__valid=0))


def test_detector():
    detector(keys=1)
    detector(keys=1, mode=0, count=0)
    for wrong, message in ((dict(keys=0), "keys is not 1 to max_keys"), (dict(keys=33), "keys is not 1 to max_keys"),
                           (dict(keys=1, count=0), "count is 0"), (dict(keys=1, group_rows=0), "group_rows is not")):
        with pytest.raises(SimulationError, match=message):
            detector(**wrong)


@pytest.mark.parametrize("gap, allowed", [(3, True), (2, False), (0, False)])
def test_tile_writer(gap, allowed):
    """INT2 to FX16 is four words: a result has to leave three cycles to the next."""
    component = TileWriter(CONFIG, assertions=True)
    cycles = [dict(mode=Precision.INT2.value, out=Precision.FX16.value), dict(result__valid=1),
              *[dict(result__valid=0)] * gap, dict(result__valid=1), dict(result__valid=0)]
    if allowed:
        run(component, *cycles)
    else:
        with pytest.raises(SimulationError, match="a result comes before the last one is written"):
            run(component, *cycles)


@pytest.mark.parametrize("stride, allowed", [(128, True), (256, True), (127, False), (1, False)])
def test_copies_in_one_bank(stride, allowed):
    memory = LaneMemory(banks=4, bank_words=128, word_bits=128, readers=1, copies=3, assertions=True)
    cycles = (dict(write__address=0, write__copies=1, write__copy_stride=stride),
              dict(write__mask=(1 << GRAINS) - 1), dict(write__mask=0))
    if allowed:
        run(memory, *cycles)
    else:
        with pytest.raises(SimulationError, match="two copies meet in a bank"):
            run(memory, *cycles)
