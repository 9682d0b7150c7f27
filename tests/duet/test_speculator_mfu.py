"""The SpeculatorMfu against its golden model: every result under stalls, latency and rate, all pre-activations."""

import re

import cocotb
import numpy as np
import pytest

from golden.duet.speculator_mfu import Function as GoldenFunction
from hw.config import ConfigError
from hw.duet.function import Function
from hw.duet.speculator_mfu import SpeculatorMfu, SpeculatorMfuConfig
from hw.generate import generate
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.hierarchy import blocks
from sim.stream import StallProfile
from tests.dota.harness import PROFILES, stalls

from .bench_speculator_mfu import POINTS, Harness, coverage


@cocotb.test()
@cocotb.parametrize(profile=PROFILES)
async def random_items(dut, profile):
    """Back-to-back items, random functions and shifts."""
    h = Harness(dut)
    await h.start(*stalls(profile, h.ctx.random))
    for _ in range(20):
        await h.random_setting()
        for _ in range(12):
            h.put(*h.random_item())
        await h.settle()
        if profile == "slow output" and max(np.diff(h.driver.times)) > 1:
            coverage.hit("input held up")
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """Every pre-activation with every function; without stalls ``lanes`` a cycle, at the documented latency."""
    h = Harness(dut)
    await h.start()
    lanes, half = h.config.lanes, 1 << h.config.pre_bits - 1
    every = np.resize(np.arange(-half, half), -(-2 * half // lanes) * lanes).reshape(-1, lanes)
    for function in Function:
        await h.setting(function.value, 0)
        sent, seen = len(h.driver.times), len(h.monitor.times)
        for pre in every:
            if h.config.acc_bits >= h.config.pre_bits:
                h.put(pre, 1, 0)
            else:
                h.put(*h.random_item())
        await h.settle()
        sends = np.array(h.driver.times[sent:])
        assert (np.diff(sends) == 1).all(), "an item a cycle"
        assert (np.array(h.monitor.times[seen:]) - sends == SpeculatorMfu.latency).all(), "latency"
    await h.finish()


@cocotb.test()
async def corners(dut):
    """Extreme sums, scales and biases at every shift; the bias is added to a product that is not saturated."""
    h = Harness(dut)
    await h.start()
    config = h.config
    acc = np.array([-(1 << config.acc_bits - 1), (1 << config.acc_bits - 1) - 1, -1, 0, 1])
    bias = 1 << config.bias_bits - 1
    for q_shift in range(config.max_shift + 1):
        await h.setting(GoldenFunction.NONE, q_shift)
        for scale in (0, 1, 1 << config.scale_bits - 1, (1 << config.scale_bits) - 1):
            for value in (-bias, -1, 0, bias - 1):
                h.put(np.resize(np.roll(acc, h.rng.integers(5)), config.lanes), scale, value)
                # Products about -bias.
                about = ((h.rng.integers(-99, 100, config.lanes) - value) << q_shift) // max(scale, 1)
                h.put(np.clip(about, acc[0], acc[1]), scale, value)
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.5, h.ctx.random))
    await h.setting(GoldenFunction.TANH, 3)
    for _ in range(12):
        for _ in range(8):
            h.put(*h.random_item())
        await h.bench.cycles(int(h.rng.integers(1, 10)))
        await h.bench.reset(1)
        h.board.reset()
        coverage.hit("reset in mid-work")
    h.put(*h.random_item())
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------

def test_bit_exact_and_covered():
    merge("speculator_mfu", POINTS, [simulate("speculator_mfu", preset="small", seed=1)]).check()


@pytest.mark.parametrize("sizes", [
    dict(lanes=1, acc_bits=11, scale_bits=1, bias_bits=2, pre_bits=5, code_bits=5),
    dict(lanes=3, acc_bits=17, scale_bits=7, bias_bits=16, pre_bits=10, code_bits=8),
    dict(lanes=2, acc_bits=4, scale_bits=16, bias_bits=7, pre_bits=8, code_bits=2),
    dict(lanes=1, acc_bits=32, scale_bits=16, bias_bits=12, pre_bits=12, code_bits=3)], ids=str)
def test_bit_exact(sizes):
    simulate("speculator_mfu", seed=sizes["lanes"], overrides=sizes)


@pytest.mark.slow
def test_paper_size():
    simulate("speculator_mfu", preset="paper", seed=2)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="field code, lane 3"):
        simulate("speculator_mfu", preset="small", options={"corrupt": True}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="half rounded up"):
        Coverage("speculator_mfu", POINTS).check()


def test_no_repeated_module_has_a_port_called_as_a_keyword():
    """Verilator's wrappers of modules that are compiled once are SystemVerilog without escaped names."""
    verilog = generate(SpeculatorMfu(SpeculatorMfuConfig(code_bits=8)), "speculator_mfu")
    repeated = blocks(verilog, "speculator_mfu")
    assert any("activation_code" in name for name in repeated)
    for name in repeated:
        ports = re.search(rf"^module {name}\((.*?)\);", verilog, re.MULTILINE | re.DOTALL)[1]
        assert "\\" not in ports, f"{name}: {ports}"


def test_functions_agree():
    assert {function.name: function.value for function in Function} == {
        function.name: function.value for function in GoldenFunction}


@pytest.mark.parametrize("changes, name", [
    (dict(lanes=0), "lanes"), (dict(acc_bits=3), "acc_bits"), (dict(scale_bits=17), "scale_bits"),
    (dict(bias_bits=1), "bias_bits"), (dict(pre_bits=4), "pre_bits"), (dict(code_bits=9), "code_bits"),
    (dict(acc_bits=4, scale_bits=4), "acc_bits")])
def test_config_refuses(changes, name):
    with pytest.raises(ConfigError, match=f"^{name} "):
        SpeculatorMfuConfig(**changes)
