# amaranth: UnusedElaboratable=no
"""The iterator over set bits: order, marks, rate, and a proof on small vectors."""

import cocotb
import pytest
from amaranth.hdl import Assert, Cover, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.duet.set_bits import SetBits
from hw.stream.hold import assume_hold
from resilin.simulate import simulate_component
from sim.coverage import Coverage
from sim.formal import ProofFailure, prove
from sim.stream import StallProfile

from tests.dota.harness import PROFILES, StreamHarness, stalls

POINTS = ["no bit", "all bits", "first bit only", "last bit only", "reset in mid-work"]
coverage = Coverage("set_bits", POINTS)


class Harness(StreamHarness):
    """Sends vectors and expects their indices."""

    source, sink = "i", "o"

    def put(self, bits):
        width, marker = self.ctx.config["width"], self.ctx.config["marker"]
        self.driver.put({"bits": bits})
        found = [index for index in range(width) if bits >> index & 1]
        if self.corrupt and len(found) > 1:
            found.pop()
        none = {"none": 0} if marker else {}
        for index in found:
            self.board.expect({"index": index, "last": int(index == found[-1]), **none})
        if marker and not found:
            self.board.expect({"index": 0, "last": 1, "none": 1})
        for point, reached in zip(POINTS, (not bits, bits == (1 << width) - 1, bits == 1, bits == 1 << width - 1)):
            if reached:
                coverage.hit(point)
        return len(found)

    def random_vector(self):
        rng, width = self.ctx.random, self.ctx.config["width"]
        sparse = rng.getrandbits(width) & rng.getrandbits(width) & rng.getrandbits(width)
        return rng.choice([0, 1, 1 << width - 1, (1 << width) - 1, sparse, sparse, rng.getrandbits(width)])


@cocotb.test()
@cocotb.parametrize(profile=PROFILES)
async def random_vectors(dut, profile):
    """All indices of all vectors in order."""
    h = Harness(dut)
    await h.start(*stalls(profile, h.ctx.random))
    for _ in range(2000 // h.ctx.config["width"] + 10):
        h.put(h.random_vector())
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """An index in every cycle, from vectors that are never empty; latency of a single one."""
    h = Harness(dut)
    await h.start()
    total = sum(h.put(h.random_vector() or 1) for _ in range(30))
    await h.settle()
    times = h.monitor.times
    assert times[0] - h.driver.times[0] == SetBits.latency, "latency"
    assert len(times) == total and times[-1] - times[0] == total - 1, "a bubble"
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset leaves nothing behind."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.5, h.ctx.random))
    for _ in range(10):
        for _ in range(4):
            h.put(h.random_vector())
        await h.bench.cycles(h.ctx.random.randrange(1, 12))
        await h.bench.reset(1)
        h.board.reset()
        coverage.hit("reset in mid-work")
    h.put(h.random_vector())
    await h.finish()
    coverage.check()


def simulate(width, marker, **options):
    simulate_component(SetBits(width, marker=marker, assertions=True), __name__,
                       config={"width": width, "marker": marker}, **options)


@pytest.mark.parametrize("width, marker", [(2, True), (7, False), (64, True), (512, False)])
def test_bit_exact(width, marker):
    simulate(width, marker)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="field (last|index)"):
        simulate(64, True, testcase="full_rate", options={"corrupt": True})


class Contract(wiring.Component):
    """A vector in free surroundings: each set bit comes once, in order, then ``last``; one vector after another."""

    def __init__(self, block):
        self.block = block
        super().__init__({"i": In(stream.Signature(data.StructLayout({"bits": block.width}))), "ready": In(1),
                          "o": Out(block.o.payload.shape())})

    def elaborate(self, platform):
        m = Module()
        m.submodules.block = block = self.block
        wiring.connect(m, wiring.flipped(self.i), block.i)
        m.d.comb += [block.o.ready.eq(self.ready), self.o.eq(block.o.p)]
        assume_hold(m, block.i)
        put, take = block.i.valid & block.i.ready, block.o.valid & block.o.ready
        # At most two vectors are inside: the one whose indices leave, and the next.
        todo, following = Signal(block.width), Signal(block.width)
        todo_valid, following_valid = Signal(), Signal()
        index = Signal(block.width)
        m.d.comb += index.eq(1 << block.o.p.index)
        left = Signal(block.width)
        m.d.comb += left.eq(todo & ~index)
        counts = block.i.p.bits.any() | block.marker
        ends = Signal()
        m.d.comb += ends.eq(take & block.o.p.last)
        with m.If(take):
            m.d.comb += [Assert(todo_valid, "an index from nowhere"), Assert(block.o.p.last == (left == 0), "last")]
            if block.marker:
                m.d.comb += Assert(block.o.p.none == (todo == 0), "none")
                with m.If(block.o.p.none):
                    m.d.comb += Assert(block.o.p.index == 0)
            with m.If(todo.any()):
                m.d.comb += [Assert((todo & index).any(), "a bit that is not set"),
                             Assert((todo & (index - 1)) == 0, "out of order")]
            m.d.sync += todo.eq(left)
        with m.If(ends | ~todo_valid):
            m.d.sync += [todo_valid.eq(following_valid), todo.eq(following), following_valid.eq(0)]
            with m.If(put & counts & ~following_valid):
                m.d.sync += [todo_valid.eq(1), todo.eq(block.i.p.bits)]
            with m.Elif(put & counts):
                m.d.sync += [following_valid.eq(1), following.eq(block.i.p.bits)]
        with m.Elif(put & counts):
            m.d.comb += Assert(~following_valid, "more vectors inside than fit")
            m.d.sync += [following_valid.eq(1), following.eq(block.i.p.bits)]
        # Nothing is kept back.
        idle = Signal(2)
        m.d.sync += idle.eq(0)
        with m.If(todo_valid & ~block.o.valid):
            m.d.sync += idle.eq(idle + 1)
        m.d.comb += [Assert(idle < 2, "an index is late"), Cover(ends & following_valid & put)]
        return m


@pytest.mark.parametrize("width, marker", [(4, True), (6, False)])
def test_small_vectors_are_proven(width, marker):
    """For 12 cycles from reset, whatever comes in: more than a vector of all bits and the next need."""
    prove(Contract(SetBits(width, marker=marker)), depth=12, mode="bmc", name="set_bits")
    prove(Contract(SetBits(width, marker=marker)), depth=12, mode="cover", name="set_bits")


class Forgetful(SetBits):
    """Loses the rest of a vector when the next one waits."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.i.ready.eq(1)
        return m


def test_proof_sees_a_lost_bit(tmp_path):
    with pytest.raises(ProofFailure, match="Assert failed"):
        prove(Contract(Forgetful(4)), depth=8, mode="bmc", name="set_bits_forgetful", keep=tmp_path)


@pytest.mark.parametrize("width", [1, "8"])
def test_width_is_checked(width):
    with pytest.raises(ValueError, match="width must be an integer, at least 2"):
        SetBits(width)
