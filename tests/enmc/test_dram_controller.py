"""The DramController on chips that check every rule, against its golden models: data, and every cycle.

Latency 2 + CL / 4 cycles on an open row at rest; a stream of reads at 90 % of the peak or more, refresh included;
random reads within 10 % of what tRC lets a controller do in order.
"""

import dataclasses

import cocotb
import numpy as np
import pytest

from golden.enmc import timing
from hw.config import ConfigError
from hw.enmc.ddr_timing import THESIS, DdrTimingConfig
from hw.enmc.dram_controller import DramControllerConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile

from .bench_dram_controller import POINTS, Harness, Host, coverage, in_order_bound

KINDS = ("stream", "random", "one bank", "few rows")


@cocotb.test()
@cocotb.parametrize(kind=KINDS, profile=["none", "slow", "bursts", "adversarial"])
async def random_traffic(dut, kind, profile):
    """Reads and writes in random order, with and without stalls of requests and of write data."""
    h = Harness(dut)
    make = {"none": lambda rng: None, "slow": lambda rng: StallProfile.random(0.8, rng),
            "bursts": StallProfile.bursts, "adversarial": StallProfile.adversarial}[profile]
    await h.start(make(h.random), make(h.random))
    pool = h.pool(kind)
    h.preload(pool)
    for share in (0.0, 0.5, 1.0, 0.1):
        h.traffic(80, pool, share)
        await h.settle()
    await h.finish()


@cocotb.test()
async def late_data(dut):
    """Write data that comes long after its request, and before it."""
    h = Harness(dut)
    await h.start()
    pool = h.pool("few rows")
    h.preload(pool)
    for _ in range(12):
        items = [h.write(address, h.random_mask(), send=False) for address in h.rng.choice(pool, 5)]
        h.traffic(5, pool, 0)
        await h.bench.cycles(int(h.rng.integers(40)))
        h.hit("write waits for data", h.requests.idle())
        h.data.put_many(items)
        await h.settle()
        # Now the other way round.
        item = {"data": h.random.getrandbits(512), "mask": 0}
        h.data.put(item)
        await h.bench.cycles(10)
        h.hit("data before its write", h.data.idle())
        h.requests.put({"write": 1, "address": int(pool[0]), "tag": 0})
        h.traffic(3, pool, 0)
    await h.finish()


@cocotb.test()
async def latency(dut):
    """From the transfer of a read of an open row, everything at rest, to its response."""
    h = Harness(dut)
    await h.start()
    await h.bench.cycles(3 * h.config.takeover)
    column = h.config.cl // 4
    other = 1 << 11
    opening = -(-(h.config.trcd + 1) // 4)
    closing = -(-h.config.trp // 4)
    h.preload([0, 4, other])
    for address, expected in ((0, 3 + opening + column), (4, h.config.latency), (0, h.config.latency),
                              (other, 3 + closing + opening + column)):
        h.read(address)
        await h.settle()
        cycles = h.monitor.times[-1] - h.requests.times[-1]
        if address != other:
            assert cycles == expected, f"burst {address}: {cycles} cycles, expected {expected}"
        else:
            # The phases of PRECHARGE and ACTIVATE cost less than a cycle.
            assert expected <= cycles <= expected + 1, f"burst {address}: {cycles} cycles, expected {expected}"
        dut._log.info(f"burst {address}: {cycles} cycles")
        await h.bench.cycles(60)
    coverage.hit("sent at once")
    await h.finish()


@cocotb.test()
async def rates(dut):
    """Bursts a cycle of streams, and of random reads beside what their order allows."""
    h = Harness(dut)
    await h.start()
    size = 3 if h.config.trefi > 4000 else 1
    random = h.rng.integers(h.memory.bursts, size=800 * size)
    rows = np.concatenate([np.arange(first, first + 49)
                           for first in h.rng.integers(h.memory.bursts - 49, size=20 * size)])
    long = np.arange(2500 * size)
    group = 4 * np.arange(800)
    h.preload(np.unique(np.concatenate([random, rows, long, group])))
    for name, addresses, write, least in (
            ("stream of reads", long, False, 0.90), ("stream of writes", long[:2000], True, 0.85),
            ("reads of 49 bursts at random places", rows, False, 0.80), ("random reads", random, False, None),
            ("reads in one bank group", group, False, 0.40)):
        refreshes = h.lockstep.model.counters["refreshes"]
        for address in addresses:
            (h.write if write else h.read)(address)
        await h.settle()
        if write:
            first, last = h.data.times[-len(addresses)], h.data.times[-1]
        else:
            first, last = h.monitor.times[-len(addresses)], h.monitor.times[-1]
        cycles = last - first + 1
        refreshes = h.lockstep.model.counters["refreshes"] - refreshes
        text = f"{name}: {len(addresses)} bursts in {cycles} cycles, {len(addresses) / cycles:.1%}, {refreshes} REFRESH"
        if least is None:
            bound = in_order_bound(addresses, h.rank.timing) + refreshes * (h.config.trfc + 60)
            text += f", {4 * cycles / len(addresses):.2f} clocks a read, bound {bound / len(addresses):.2f}"
            assert 4 * cycles <= 1.10 * bound, text
        else:
            assert len(addresses) / cycles >= least, text
        dut._log.info(text)
    await h.finish()


@cocotb.test()
async def refreshes_at_rest(dut):
    """Nothing to do for 30 tREFI: the chips do not miss a REFRESH, owned from the start or after a pause."""
    h = Harness(dut)
    await h.start()
    h.preload([5])
    for _ in range(3):
        for _ in range(10):
            await h.bench.cycles(h.config.trefi // 4)
            h.bench.kick()
        h.read(5)
        await h.settle()
        await h.give_back()
        await h.bench.cycles(7 * h.config.trefi // 4)
        h.dut.enable.value = 1
    await h.finish()


@cocotb.test()
async def handover(dut):
    """The host uses the chips in between, and leaves them at any moment; ``enable`` falls at any moment."""
    h = Harness(dut)
    await h.start(StallProfile.random(0.3, h.random), StallProfile.random(0.3, h.random), enable=False,
                  uninitialised="junk")
    host = Host(h)
    pool = h.pool("few rows")
    h.preload(pool)
    for turn in range(40):
        await host.visit()
        coverage.hit("host left at once", int(turn % 3 == 0))
        await h.bench.cycles(turn % 3)
        dut.enable.value = 1
        h.traffic(30, pool)
        if turn % 2:
            await h.bench.cycles(int(h.rng.integers(1, 120)))
            coverage.hit("handover in mid-work", int(not h.requests.idle()))
        else:
            await h.settle()
        # A write that was taken may need data that is still to come.
        await h.give_back()
        reads = [item for item in h.order[:h.requests.count] if item == "read"]
        assert h.monitor.count == len(reads), "a read that was taken has no response"
    host.leave()
    dut.enable.value = 1
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind but the bursts being written."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.5, h.random))
    for _ in range(15):
        pool = h.pool("few rows")
        h.preload(pool)
        h.traffic(40, pool)
        await h.bench.cycles(int(h.rng.integers(1, 120)))
        await h.bench.reset(1)
        h.restart()
        coverage.hit("reset in mid-work")
    pool = h.pool("random")
    h.preload(pool)
    h.traffic(60, pool)
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_cycle_exact_and_covered():
    merge("dram_controller", POINTS, [simulate("dram_controller", seed=3)]).check()


#: Timing as odd as it gets: everything at its least, slow banks, uneven distances.
ODD = [
    dict(cl=12, cwl=8, trcd=4, trp=4, tras=4, trc=8, tccd_l=4, trrd_s=2, trrd_l=2, tfaw=4, twr=1, twtr_s=1, twtr_l=1,
         trtp=1, lookahead=4, queue=3, row_bits=1, tag_bits=1),
    dict(cl=20, cwl=20, trcd=19, trp=23, tras=50, trc=90, tccd_s=5, tccd_l=11, trrd_s=7, trrd_l=13, tfaw=61, twr=33,
         twtr_s=6, twtr_l=19, trtp=21, trfc=301, trefi=3001, lookahead=16, queue=2, row_bits=3, tag_bits=9),
]
SHORT = ["random_traffic", "late_data", "latency", "handover", "reset_in_work", "refreshes_at_rest"]


@pytest.mark.parametrize("overrides", ODD, ids=["fast", "slow"])
def test_cycle_exact_in_odd_timing(overrides):
    simulate("dram_controller", seed=4, overrides=overrides, testcase=SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("preset, overrides", [("paper", {}), ("fpga", {}), ("paper", THESIS)],
                         ids=["paper", "fpga", "thesis"])
def test_rates(preset, overrides):
    simulate("dram_controller", preset=preset, overrides=overrides, seed=5)


@pytest.mark.parametrize("options, message", [
    ({"corrupt": True}, "field data, lane 0"), ({"shift": 4}, "since reset"),
])
def test_wrong_expectation_fails(options, message):
    with pytest.raises(AssertionError, match=message):
        simulate("dram_controller", options=options, testcase=["rates"])


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="queue full"):
        Coverage("dram_controller", POINTS).check()


def test_presets_agree():
    """The RTL's timing is the golden model's, in both presets."""
    names = [spec.name for spec in dataclasses.fields(timing.DdrTiming)]
    assert names == [spec.name for spec in dataclasses.fields(DdrTimingConfig)]
    for name, overrides in (("jedec", {}), ("thesis", THESIS)):
        config = DramControllerConfig.preset("paper", overrides)
        assert {name: getattr(config, name) for name in names} == dataclasses.asdict(timing.PRESETS[name])


@pytest.mark.parametrize("field, value", [
    ("cl", 14), ("cwl", 20), ("trc", 38), ("tccd_l", 3), ("trrd_l", 1), ("twtr_l", 0), ("trefi", 600),
    ("lookahead", 12), ("queue", 1), ("row_bits", 19), ("tag_bits", 0),
])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        DramControllerConfig(**{field: value})
