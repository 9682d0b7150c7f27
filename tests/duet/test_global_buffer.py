"""The GlobalBuffer against its golden model in every cycle: contents, answers, who is served."""

import cocotb
import pytest

from hw.config import ConfigError
from hw.duet.global_buffer import GlobalBuffer, GlobalBufferConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.formal import ProofFailure, prove
from sim.stream import StallProfile

from .bench_global_buffer import POINTS, Harness, coverage
from .formal_global_buffer import ArbitrationProof, MemoryProof, flat

PROFILES = {
    "none": lambda rng: None,
    "rare": lambda rng: StallProfile.random(0.8, rng),
    "bursts": StallProfile.bursts,
    "toggle": lambda rng: StallProfile.toggle(),
    "adversarial": StallProfile.adversarial,
}


@cocotb.test()
@cocotb.parametrize(profile=list(PROFILES))
async def random_requests(dut, profile):
    """All ports at once."""
    h = Harness(dut)
    await h.start(lambda: PROFILES[profile](h.ctx.random))
    h.put(200)
    await h.bench.finish()


@cocotb.test()
async def full_rate(dut):
    """The first reader and the first writer are served in every cycle, fill when no segment is written."""
    h = Harness(dut)
    await h.start()
    h.put(50, ["read__0", "write__0"])
    h.drivers["fill"].put_many(h.request("fill", data=True) for _ in range(60))
    await h.bench.finish()
    for name in ("read__0", "write__0"):
        times = h.drivers[name].times
        assert times[-1] - times[0] == len(times) - 1, f"{name} had to wait"
    assert h.drivers["fill"].times[-1] - h.drivers["fill"].times[0] <= 110, "fill waits without need"


@cocotb.test()
async def whole_memory(dut):
    """Every line is written and read back."""
    h = Harness(dut)
    await h.start()
    config = h.config
    for index in range(max(config.lines, config.map_lines)):
        places = {"data_address": min(index, config.lines - 1), "map_address": min(index, config.map_lines - 1)}
        h.drivers["fill"].put({**h.request("fill", True, True), **places})
    await h.drivers["fill"].drain()
    for index in range(max(config.lines, config.map_lines)):
        places = {"data_address": min(index, config.lines - 1), "map_address": min(index, config.map_lines - 1)}
        h.drivers["read__0"].put({**h.request("read__0", True, True), **places})
    await h.bench.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset drops requests and answers and keeps the contents."""
    h = Harness(dut)
    await h.start(lambda: StallProfile.random(0.3, h.ctx.random))
    for _ in range(10):
        h.put(20)
        await h.bench.cycles(h.rng.randrange(2, 15))
        await h.bench.reset(1)
        coverage.hit("reset in mid-work")
    h.put(20)
    await h.bench.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("global_buffer", POINTS, [simulate("global_buffer", preset="small", seed=2)]).check()


@pytest.mark.parametrize("overrides", [
    dict(cols=3, segment=2, lines=5, map_lines=9, readers=1, writers=1),
    dict(cols=4, segment=16, lines=20, map_lines=7, readers=4, writers=3),
])
def test_bit_exact(overrides):
    simulate("global_buffer", preset="small", seed=overrides["cols"], overrides=overrides)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["fpga", "paper"])
def test_large_sizes(preset):
    simulate("global_buffer", preset=preset, testcase=["full_rate", "whole_memory"])


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="words of a line"):
        simulate("global_buffer", preset="small", options={"corrupt": True}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="fill waits"):
        Coverage("global_buffer", POINTS).check()


def small(**sizes):
    return GlobalBufferConfig.preset("small", dict(cols=2, segment=2, lines=2, map_lines=2, **sizes))


@pytest.mark.parametrize("readers, writers", [(1, 1), (3, 2), (4, 3)])
def test_arbitration_is_proven(readers, writers):
    """For ever: no request is lost, doubled or served out of turn, none waits without a reason."""
    prove(ArbitrationProof(GlobalBuffer(small(readers=readers, writers=writers))), depth=2, name="arbitration")


def test_contents_are_proven():
    """For 6 cycles from reset: a read gives what was written last, whoever wrote and read."""
    prove(flat(MemoryProof(GlobalBuffer(small(readers=2, writers=2)))), depth=6, mode="bmc", name="top")


class Greedy(GlobalBuffer):
    """Two readers at once in one memory."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.read[1].ready.eq(1)
        return m


def test_proof_sees_a_lost_request(tmp_path):
    with pytest.raises(ProofFailure, match="Assert failed"):
        prove(ArbitrationProof(Greedy(small())), depth=3, mode="bmc", name="greedy", keep=tmp_path)


def test_proof_sees_a_wrong_word(tmp_path):
    with pytest.raises(ProofFailure, match="Assert failed"):
        prove(flat(MemoryProof(Greedy(small()))), depth=6, mode="bmc", name="top", keep=tmp_path)


@pytest.mark.parametrize("field, value", [("cols", 1), ("segment", 12), ("lines", 1), ("map_lines", 65537),
                                          ("readers", 0), ("writers", 9)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        GlobalBufferConfig(**{field: value})
