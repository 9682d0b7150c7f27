# amaranth: UnusedElaboratable=no
"""The arbiter: proof of exclusion, fairness and whole packets, simulation with stalls."""

import cocotb
import pytest
from amaranth.hdl import Assert, Cover, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.stream.arbiter import Arbiter
from hw.stream.hold import assert_hold, assume_hold
from resilin.simulate import simulate_component
from sim.bench import start
from sim.context import context
from sim.formal import ProofFailure, prove
from sim.scoreboard import Scoreboard
from sim.stream import StallProfile, StreamDriver, StreamMonitor

PACKET = data.StructLayout({"number": 24, "source": 3, "last": 1})


class Contract(wiring.Component):
    """An arbiter in free surroundings that obey the hold rule, with what it promises."""

    def __init__(self, block):
        self.block = block
        super().__init__({"i": In(stream.Signature(block.shape)).array(block.count),
                          "o": Out(stream.Signature(block.shape))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.block = block = self.block
        count = block.count
        for inner, outer in zip(block.i, self.i):
            wiring.connect(m, wiring.flipped(outer), inner)
            assume_hold(m, inner)
        wiring.connect(m, block.o, wiring.flipped(self.o))
        assert_hold(m, block.o)

        grants = Signal(count)
        m.d.comb += grants.eq(sum((source.valid & source.ready) << k for k, source in enumerate(block.i)))
        m.d.comb += Assert((grants & (grants - 1)[:count]) == 0, "two at once")

        # What was taken is at the output in the next cycle, and nothing else appears there.
        taken, waiting, before = Signal(), Signal(), Signal(Value.cast(block.o.payload).shape())
        m.d.sync += [taken.eq(grants.any()), waiting.eq(block.o.valid & ~block.o.ready)]
        for k, source in enumerate(block.i):
            with m.If(grants[k]):
                m.d.sync += before.eq(source.payload)
        with m.If(taken):
            m.d.comb += [Assert(block.o.valid), Assert(Value.cast(block.o.payload) == before)]
        with m.Else():
            m.d.comb += Assert(block.o.valid == waiting, "an item from nowhere, or a lost one")
        m.d.comb += Assert(grants.any() <= (block.o.ready | ~block.o.valid), "taken without room")
        requests = sum(source.valid for source in block.i)

        if block.packets:
            owner, open_packet = Signal(range(count)), Signal()
            for k, source in enumerate(block.i):
                with m.If(grants[k]):
                    m.d.sync += [owner.eq(k), open_packet.eq(~source.payload.last)]
                    m.d.comb += Assert(~open_packet | (owner == k), "a packet was interrupted")
            m.d.comb += [Assert(open_packet == block.locked), Assert(~open_packet | (owner == block.served))]
        else:
            m.d.comb += Assert(~block.locked)
            # Nothing is wasted: with room and a request, something is taken.
            with m.If((block.o.ready | ~block.o.valid) & (requests != 0)):
                m.d.comb += Assert(grants.any(), "an idle cycle")
            # An input that waits sees at most turn * (count - 1) others go first, none in its own turn.
            longest = block.turn * (count - 1)
            m.d.comb += Assert(block.run <= block.turn)
            for k, source in enumerate(block.i):
                others = Signal(range(longest + 2), name=f"others_{k}")
                distance = Mux(block.served < k, k - block.served, k - block.served + count)
                own = (block.served == k) & (block.run != block.turn)
                m.d.comb += Assert(Mux(own, others == 0, others + (block.turn - block.run)
                                       + block.turn * (distance - 1) <= longest), "starved")
                with m.If(grants[k] | ~source.valid):
                    m.d.sync += others.eq(0)
                with m.Elif(grants.any()):
                    m.d.sync += others.eq(others + 1)
                m.d.comb += Cover(grants[k] & (others == longest))
        m.d.comb += Cover(grants.any() & taken & block.o.ready)
        return m


@pytest.mark.parametrize("count, turn", [(2, 1), (3, 1), (5, 1), (2, 4), (3, 2), (3, 3)])
def test_arbiter_is_fair(count, turn):
    prove(Contract(Arbiter(4, count, turn=turn, assertions=True)), depth=3, name=f"arbiter_{count}_{turn}")


def test_arbiter_keeps_packets_whole():
    shape = data.StructLayout({"number": 2, "last": 1})
    prove(Contract(Arbiter(shape, 3, packets=True, assertions=True)), depth=3, name="arbiter_packets")


def test_arbiter_longest_wait_is_reached():
    prove(Contract(Arbiter(4, 3)), depth=10, mode="cover", name="arbiter_cover")
    prove(Contract(Arbiter(4, 3, turn=2)), depth=10, mode="cover", name="arbiter_turn_cover")


class UnfairArbiter(Arbiter):
    """An arbiter with fixed priorities: it forgets whom it served."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.sync += self.served.eq(0)
        return m


def test_proof_sees_starvation(tmp_path):
    with pytest.raises(ProofFailure, match="Assert failed"):
        prove(Contract(UnfairArbiter(4, 3)), depth=10, mode="bmc", name="arbiter_unfair", keep=tmp_path)


def test_parameters_are_checked():
    with pytest.raises(ValueError, match="count must be an integer, at least 2"):
        Arbiter(4, 1)
    for wrong in (dict(turn=0), dict(turn=2, packets=True)):
        with pytest.raises(ValueError, match="turn must be an integer, at least 1; 1 with packets"):
            Arbiter(PACKET, 2, **wrong)
    with pytest.raises(ValueError, match="shape must have a field 'last'"):
        Arbiter(4, 2, packets=True)


@cocotb.test()
async def stalls(dut):
    """Each input's items come in order, packets whole, at full rate when nothing stalls."""
    bench = await start(dut)
    ctx = context()
    rng, layout, count = ctx.random, ctx.layout("o"), ctx.config["count"]
    boards = [Scoreboard(f"o from {k}", bench=bench) for k in range(count)]
    open_packet = None

    def check(item):
        nonlocal open_packet
        boards[item["source"]].check(item)
        assert open_packet in (None, item["source"]), "a packet was interrupted"
        open_packet = item["source"] if not item["last"] else None

    drivers = [StreamDriver(dut, f"i__{k}", layout=layout) for k in range(count)]
    monitor = StreamMonitor(dut, "o", layout=layout, callback=check)
    patterns = [(StallProfile.none, StallProfile.none)]
    patterns += [(lambda: StallProfile.adversarial(rng), lambda: StallProfile.adversarial(rng))] * 5
    for job, (send, receive) in enumerate(patterns):
        monitor.stall = receive()
        begun = bench.cycle
        for k, driver in enumerate(drivers):
            driver.stall = send()
            items = [{"number": rng.getrandbits(24), "source": k, "last": int(n == 99 or rng.random() < 0.3)}
                     for n in range(100)]
            boards[k].expect_many(items, job)
            driver.put_many(items)
        while any(board.pending() for board in boards):
            await bench.cycles(1)
        if job == 0:
            assert bench.cycle - begun <= 100 * count + 3, "not one item a cycle"
    await bench.finish()


@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
def test_arbiter_simulation(simulator, need):
    need(simulator)
    simulate_component(Arbiter(PACKET, 3, packets=True, assertions=True), __name__, name="arbiter",
                       config={"count": 3}, simulator=simulator)
