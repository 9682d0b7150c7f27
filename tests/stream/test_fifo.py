# amaranth: UnusedElaboratable=no
"""The FIFO: proof of order and capacity, simulation with stalls, rate and latency."""

import cocotb
import pytest
from amaranth.hdl import Assert, Signal, Value
from amaranth.lib import data

from hw.stream.fifo import Fifo
from resilin.simulate import simulate_component
from sim.bench import start
from sim.context import context
from sim.formal import ProofFailure, prove
from sim.scoreboard import Scoreboard
from sim.stream import StallProfile, StreamDriver, StreamMonitor

from .tracker import SingleInput

PAYLOAD = data.StructLayout({"number": 40, "last": 1})


def where_in_fifo(m, block, tracker):
    """The followed item is at the output, or in the row ``ahead`` rows behind the first."""
    row = Signal(range(2 * block.rows + 1))
    read = block.memory.read_port(domain="comb")
    behind = Signal(range(block.depth + 1))
    m.d.comb += [behind.eq(tracker.ahead - block.o.valid), row.eq(block.first + behind),
                 read.addr.eq(row - block.rows * (row >= block.rows))]
    with m.If(tracker.active):
        with m.If(block.o.valid & (tracker.ahead == 0)):
            m.d.comb += Assert(Value.cast(block.o.payload) == tracker.value)
        with m.Else():
            m.d.comb += Assert(read.data == tracker.value)


def wrapped(fifo):
    return SingleInput(fifo, fifo.depth, lambda block: block.level, where_in_fifo)


@pytest.mark.parametrize("bypass", [False, True])
@pytest.mark.parametrize("depth", [2, 3, 4, 6])
def test_fifo_keeps_order(depth, bypass):
    prove(wrapped(Fifo(4, depth, bypass=bypass, assertions=True)), depth=3, name=f"fifo_{depth}_{bypass}")


@pytest.mark.parametrize("bypass", [False, True])
def test_fifo_fills_up(bypass):
    prove(wrapped(Fifo(4, 3, bypass=bypass, assertions=True)), depth=12, mode="cover", name=f"fifo_cover_{bypass}")


class LosingFifo(Fifo):
    """A FIFO whose ready is wrong: it takes an item when it is full."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.i.ready.eq(1)
        return m


@pytest.mark.parametrize("bypass", [False, True])
def test_proof_sees_a_lost_item(bypass, tmp_path):
    with pytest.raises(ProofFailure, match="Assert failed") as caught:
        prove(wrapped(LosingFifo(4, 3, bypass=bypass)), depth=10, mode="bmc", name="fifo_losing", keep=tmp_path)
    assert caught.value.trace.is_file()


@pytest.mark.parametrize("depth", [0, 1, -1, 2.0, "2"])
def test_depth_is_checked(depth):
    with pytest.raises(ValueError, match="depth must be an integer, at least 2"):
        Fifo(4, depth)


@cocotb.test()
async def stalls(dut):
    """Every item, in order, under every pair of stall patterns, and after a reset in mid-work."""
    bench = await start(dut)
    ctx = context()
    layout = ctx.layout("i")
    board = Scoreboard("o", bench=bench)
    driver = StreamDriver(dut, "i", layout=layout)
    monitor = StreamMonitor(dut, "o", layout=layout, callback=board.check)
    rng = ctx.random
    full = False
    patterns = [StallProfile.none, lambda: StallProfile.random(0.5, rng), lambda: StallProfile.bursts(rng),
                lambda: StallProfile.adversarial(rng)]
    for job, (send, receive) in enumerate((send, receive) for send in patterns for receive in patterns):
        driver.stall, monitor.stall = send(), receive()
        items = [{"number": rng.getrandbits(40), "last": rng.getrandbits(1)} for _ in range(150)]
        board.expect_many(items, job)
        driver.put_many(items)
        while board.pending():
            await bench.cycles(1)
            full |= int(dut.level.value) == ctx.config["depth"]
        if job % 4 == 1:
            driver.put_many(items)
            board.expect_many(items, job)
            await bench.cycles(20)
            await bench.reset()
            board.reset()
    assert full, "the queue was never full"
    await bench.finish()


@cocotb.test()
async def rate_and_latency(dut):
    """One item a cycle without stalls, but at depth 2 without bypass one in two; and the documented latency."""
    bench = await start(dut)
    layout, depth, bypass = context().layout("i"), context().config["depth"], context().config["bypass"]
    driver = StreamDriver(dut, "i", layout=layout)
    monitor = StreamMonitor(dut, "o", layout=layout)
    items = [{"number": n, "last": 0} for n in range(100)]
    await bench.cycles(3)
    driver.put_many(items)
    begun = bench.cycle
    assert await monitor.recv() == items[0]
    # The driver offers from the edge after put, and the monitor takes an item at the end of the cycle it is offered in.
    assert bench.cycle - begun == 2 + context().options["latency"]
    assert await monitor.recv_many(99) == items[1:]
    assert bench.cycle - begun == 2 + context().options["latency"] + (99 if depth > 2 or bypass else 198)
    await bench.finish()


@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
@pytest.mark.parametrize("depth, bypass", [(2, False), (5, False), (16, False), (2, True), (5, True)])
def test_fifo_simulation(depth, bypass, simulator, need):
    need(simulator)
    fifo = Fifo(PAYLOAD, depth, bypass=bypass, assertions=True)
    assert fifo.latency == (1 if bypass else 2)
    simulate_component(fifo, __name__, name=f"fifo_{depth}_{bypass}", config={"depth": depth, "bypass": bypass},
                       options={"latency": fifo.latency}, simulator=simulator)
