# amaranth: UnusedElaboratable=no
"""The queue of requests: proof that items come out whole, in order, none lost; latency and rate."""

import cocotb
import pytest
from amaranth.hdl import Assert, Signal, Value

from hw.enmc.request_queue import RequestQueue
from resilin.simulate import simulate_component
from sim.bench import start
from sim.context import context
from sim.formal import ProofFailure, prove
from sim.scoreboard import Scoreboard
from sim.stream import StallProfile
from sim.timed import TimedDriver, TimedMonitor
from tests.stream.tracker import SingleInput


def where(m, block, tracker):
    """The followed item is at the output, or in the row ``ahead`` rows behind the first."""
    row = Signal(range(2 * block.rows + 1))
    read = block.memory.read_port(domain="comb")
    behind = Signal(range(block.depth + 1))
    m.d.comb += [behind.eq(tracker.ahead - block.o.valid), row.eq(block.first + behind),
                 read.addr.eq(row - block.rows * (row >= block.rows))]
    with m.If(tracker.active):
        with m.If(tracker.ahead == 0):
            m.d.comb += Assert(Value.cast(block.o.payload) == tracker.value)
        with m.Else():
            m.d.comb += Assert(read.data == tracker.value)


def wrapped(queue):
    return SingleInput(queue, queue.depth, lambda block: block.stored + block.o.valid, where)


@pytest.mark.parametrize("depth", [2, 3, 6])
def test_order(depth):
    prove(wrapped(RequestQueue(4, depth, assertions=True)), depth=3, name=f"request_queue_{depth}")


def test_fills_up():
    prove(wrapped(RequestQueue(4, 3, assertions=True)), depth=12, mode="cover", name="request_queue_cover")


class Losing(RequestQueue):
    """Takes an item when it is full."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.i.ready.eq(1)
        return m


def test_proof_sees_a_lost_item(tmp_path):
    with pytest.raises(ProofFailure, match="Assert failed"):
        prove(wrapped(Losing(4, 3)), depth=10, mode="bmc", name="request_queue_losing", keep=tmp_path)


@cocotb.test()
async def rate_and_latency(dut):
    """An item is offered in the next cycle, then one a cycle; order under stalls and resets."""
    bench = await start(dut)
    board = Scoreboard("o", bench=bench)
    driver, monitor = TimedDriver(dut, "i"), TimedMonitor(dut, "o", callback=board.check)
    rng = context().random
    items = [rng.getrandbits(8) for _ in range(60)]
    board.expect_many(items)
    await driver.send_many(items)
    await bench.cycles(5)
    assert monitor.times == [time + RequestQueue.latency for time in driver.times]
    assert driver.times == list(range(driver.times[0], driver.times[0] + 60))
    for turn in range(8):
        driver.stall, monitor.stall = (StallProfile.adversarial(rng) for _ in range(2))
        items = [rng.getrandbits(8) for _ in range(100)]
        board.expect_many(items)
        driver.put_many(items)
        if turn % 2:
            await bench.cycles(30)
            await bench.reset()
            board.reset()
        while board.pending():
            await bench.cycles(1)
    await bench.finish()


@pytest.mark.parametrize("depth", [2, 5])
def test_simulation(depth):
    simulate_component(RequestQueue(8, depth, assertions=True), __name__, name=f"request_queue_{depth}")


@pytest.mark.parametrize("depth", [0, 1, 2.0])
def test_depth_is_checked(depth):
    with pytest.raises(ValueError, match="depth must be an integer, at least 2"):
        RequestQueue(4, depth)
