"""The skid buffer: proof of order and full rate, simulation with stalls."""

import cocotb
import pytest
from amaranth.hdl import Assert, Cover, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.stream.skid_buffer import SkidBuffer
from resilin.simulate import simulate_component
from sim.bench import start
from sim.context import context
from sim.formal import ProofFailure, prove
from sim.scoreboard import Scoreboard
from sim.stream import StallProfile, StreamDriver, StreamMonitor

from .tracker import SingleInput


def where_in_skid_buffer(m, block, tracker):
    """The first item is at the output, the second one held back."""
    with m.If(tracker.active):
        m.d.comb += Assert(Mux(tracker.ahead == 0, block.o.payload, block.held) == tracker.value)


def wrapped(block):
    return SingleInput(block, 2, lambda block: block.o.valid + block.holding, where_in_skid_buffer)


class FullRate(wiring.Component):
    """While the sink has been ready for two cycles, the source is never held up."""

    def __init__(self):
        super().__init__({"i": In(stream.Signature(4)), "o": Out(stream.Signature(4))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.block = block = SkidBuffer(4)
        wiring.connect(m, wiring.flipped(self.i), block.i)
        wiring.connect(m, block.o, wiring.flipped(self.o))
        ready, streak = Signal(), Signal(range(5))
        m.d.sync += [ready.eq(block.o.ready), streak.eq(0)]
        with m.If(ready):
            m.d.comb += Assert(block.i.ready)
        with m.If(block.i.valid & block.i.ready & block.o.valid & block.o.ready & (streak < 4)):
            m.d.sync += streak.eq(streak + 1)
        m.d.comb += Cover(streak == 4)
        return m


def test_skid_buffer_keeps_order():
    prove(wrapped(SkidBuffer(4, assertions=True)), depth=3, name="skid_buffer")


def test_skid_buffer_fills_up():
    prove(wrapped(SkidBuffer(4, assertions=True)), depth=8, mode="cover", name="skid_buffer_cover")


def test_skid_buffer_full_rate():
    prove(FullRate(), depth=3, name="skid_buffer_rate")
    prove(FullRate(), depth=10, mode="cover", name="skid_buffer_rate_cover")


class LosingSkidBuffer(SkidBuffer):
    """A skid buffer that forgets what it held back."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.sync += self.holding.eq(0)
        return m


def test_proof_sees_a_lost_item(tmp_path):
    with pytest.raises(ProofFailure, match="Assert failed"):
        prove(wrapped(LosingSkidBuffer(4)), depth=10, mode="bmc", name="skid_buffer_losing", keep=tmp_path)


@cocotb.test()
async def stalls(dut):
    """Every item, in order, under every pair of stall patterns."""
    bench = await start(dut)
    rng = context().random
    board = Scoreboard("o", bench=bench)
    driver = StreamDriver(dut, "i")
    monitor = StreamMonitor(dut, "o", callback=board.check)
    patterns = [StallProfile.none, lambda: StallProfile.random(0.5, rng), lambda: StallProfile.bursts(rng),
                lambda: StallProfile.adversarial(rng)]
    for job, (send, receive) in enumerate((send, receive) for send in patterns for receive in patterns):
        driver.stall, monitor.stall = send(), receive()
        items = [rng.getrandbits(70) for _ in range(150)]
        board.expect_many(items, job)
        begun = bench.cycle
        await driver.send_many(items)
        if job == 0:
            assert bench.cycle - begun == 150 + 1, "not one item a cycle"
        while board.pending():
            await bench.cycles(1)
    await bench.finish()


@cocotb.test()
async def latency(dut):
    bench = await start(dut)
    driver, monitor = StreamDriver(dut, "i"), StreamMonitor(dut, "o")
    await bench.cycles(3)
    begun = bench.cycle
    driver.put(5)
    assert await monitor.recv() == 5
    # One edge until the driver offers, and the transfer ends with the cycle of the offer on the output.
    assert bench.cycle - begun == 2 + context().options["latency"]
    await bench.finish()


@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
def test_skid_buffer_simulation(simulator, need):
    need(simulator)
    simulate_component(SkidBuffer(70, assertions=True), __name__, name="skid_buffer",
                       options={"latency": SkidBuffer.latency}, simulator=simulator)
