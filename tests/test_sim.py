"""The checkers themselves: each is fed something wrong and must fail, in a real simulation."""

import cocotb
import pytest
from amaranth.hdl import Assert, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge

from resilin.simulate import describe_layout, simulate, simulate_component
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage, NotCovered, merge
from sim.runner import SimulationError, build
from sim.scoreboard import Mismatch, Scoreboard
from sim.stream import StallProfile, StreamDriver, StreamMonitor, pack, unpack

ITEM = data.StructLayout({"tag": 4, "values": data.ArrayLayout(signed(20), 2)})
DEFECTS = ("none", "drops valid", "changes payload", "stalls for ever", "repeats an item", "wrong lane", "asserts")
coverage = Coverage("probe", ["item", "never"])


class Probe(wiring.Component):
    """One register stage for a stream, with a defect of choice that shows at the item with tag 5."""

    i: In(stream.Signature(ITEM))
    o: Out(stream.Signature(ITEM))
    count: Out(16)
    defect: In(range(len(DEFECTS)))

    def elaborate(self, platform):
        m = Module()
        payload, full, again, held = Signal(ITEM), Signal(), Signal(), Signal()
        special = {name: (self.defect == index) & full & (payload.tag == 5) for index, name in enumerate(DEFECTS)}
        m.d.comb += [self.o.payload.eq(payload), self.o.valid.eq(full), self.i.ready.eq(~full | self.o.ready)]
        m.d.sync += held.eq(full & ~self.o.ready)
        with m.If(self.i.ready):
            m.d.sync += [full.eq(self.i.valid), payload.eq(self.i.payload), again.eq(0)]
        with m.If(self.i.ready & self.i.valid):
            m.d.sync += self.count.eq(self.count + 1)

        with m.If(special["drops valid"] & held & ~self.o.ready):
            m.d.comb += self.o.valid.eq(0)
        with m.If(special["changes payload"] & held):
            m.d.comb += self.o.payload.values[1].eq(~payload.values[1])
        with m.If(special["stalls for ever"]):
            m.d.comb += [self.o.valid.eq(0), self.i.ready.eq(0)]
        with m.If(special["repeats an item"] & ~again):
            m.d.comb += self.i.ready.eq(0)
            with m.If(self.o.ready):
                m.d.sync += again.eq(1)
        with m.If(special["wrong lane"]):
            m.d.comb += self.o.payload.values[1].eq(payload.values[1] + 1)
        m.d.sync += Assert(~special["asserts"], "tag 5 is here")
        return m


def items(count=8):
    return [{"tag": n, "values.0": -n, "values.1": 100 * n} for n in range(count)]


@cocotb.test()
async def through(dut):
    """Everything that goes in comes out, under stalls."""
    bench = await start(dut, timeout=300)
    ctx = context()
    layout = ctx.layout("i")
    dut.defect.value = DEFECTS.index(ctx.options["defect"])
    board = Scoreboard("o", bench=bench)
    driver = StreamDriver(dut, "i", layout=layout, stall=StallProfile.random(0.3, ctx.rng))
    StreamMonitor(dut, "o", layout=layout, stall=StallProfile.after_offer(2), callback=board.check)
    for job in range(3):
        board.expect_many(items(), job)
        await driver.send_many(items())
        coverage.hit("item", len(items()))
    await bench.finish()
    assert int(dut.count.value) == 24


@cocotb.test()
async def surplus(dut):
    """Asks for one item fewer than it sends."""
    bench = await start(dut)
    driver, monitor = StreamDriver(dut, "i"), StreamMonitor(dut, "o")
    driver.put_many([1, 2, 3])
    assert await monitor.recv_many(2) == [1, 2]
    await bench.finish()


@cocotb.test()
async def missing(dut):
    """Expects one item more than it sends."""
    bench = await start(dut)
    board = Scoreboard("o", bench=bench)
    driver = StreamDriver(dut, "i")
    StreamMonitor(dut, "o", callback=board.check)
    board.expect_many([1, 2, 3], "short one")
    await driver.send_many([1, 2])
    await bench.finish()


@cocotb.test()
async def uncovered(dut):
    coverage.check()


@cocotb.test()
async def crash(dut):
    import os
    os._exit(0)


@cocotb.test()
async def endless(dut):
    await start(dut, timeout=None)
    while True:
        await RisingEdge(dut.clk)


@cocotb.test()
async def reset_in_mid_work(dut):
    """A reset drops everything queued and in flight, and work goes on as after the first one."""
    bench = await start(dut)
    driver, monitor = StreamDriver(dut, "i"), StreamMonitor(dut, "o", stall=StallProfile.bursts(context().random))
    driver.put_many(range(1, 100))
    await bench.cycles(50)
    assert 0 < monitor.count and not driver.idle()
    await bench.reset()
    assert driver.idle() and int(dut.count.value) == 0
    driver.put_many([7, 8])
    assert await monitor.recv_many(2) == [7, 8]
    await bench.finish()


@cocotb.test()
@cocotb.parametrize(part=["one", "two"])
async def draws(dut, part):
    ctx = context()
    dut._log.info("drawn %d %d", ctx.rng.integers(2**60), ctx.random.getrandbits(60))


def probe(testcase, defect="none", **options):
    return simulate_component(Probe(), __name__, testcase=testcase, options={"defect": defect}, **options)


@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
def test_good_probe_passes(simulator, need):
    need(simulator)
    result = probe(["through", "reset_in_mid_work"], simulator=simulator)
    assert sorted(name.rsplit(".")[-1] for name in result.tests) == ["reset_in_mid_work", "through"]
    assert result.coverage == {"probe": {"item": 24, "never": 0}}
    with pytest.raises(NotCovered, match="1 of 2 points never reached: never"):
        merge("probe", ["item", "never"], [result]).check()


@pytest.mark.parametrize("simulator, defect, message", [
    ("verilator", "drops valid", "o: valid fell before the transfer, at cycle"),
    ("verilator", "changes payload", "o: payload changed before the transfer"),
    ("verilator", "stalls for ever", "no stream moved for 300 cycles.*i: driver, valid without ready since cycle.*"
                                     "o: monitor, ready without valid|"
                                     "no stream moved for 300 cycles.*o: monitor, ready without valid since"),
    ("verilator", "repeats an item", "o: job 0, item 6, field tag: expected 6 .*got 5"),
    ("verilator", "wrong lane", "o: job 0, item 5, field values.1: expected 500 .*got 501"),
    ("verilator", "asserts", "an assertion in the design failed"),
    ("icarus", "asserts", "an assertion in the design failed"),
    ("icarus", "wrong lane", "o: job 0, item 5, field values.1: expected 500 .*got 501"),
])
def test_defect_is_seen(simulator, defect, message, need):
    need(simulator)
    with pytest.raises(SimulationError, match=f"(?s){message}"):
        probe("through", defect, simulator=simulator)


@pytest.mark.parametrize("testcase, message", [
    ("surplus", "o: 1 more items came than expected, first 3"),
    ("missing", "o: 1 expected items did not come, the first is item 2 of job short one: 3"),
    ("uncovered", "probe: 2 of 2 points never reached: item, never"),
    ("crash", "no test ran: the results file is missing or empty"),
    ("there is no such test", "no test ran"),
])
def test_wrong_run_is_seen(testcase, message):
    with pytest.raises(SimulationError, match=message):
        probe(testcase)


def test_endless_simulation_is_stopped():
    with pytest.raises(SimulationError, match="did not end within 5 s and was stopped"):
        probe("endless", timeout=5)


def test_seed_replays(monkeypatch):
    def drawn(**options):
        return [line.split("drawn")[1] for line in probe("draws", **options).log.splitlines() if "drawn" in line]
    first = drawn(seed=7)
    assert drawn(seed=7) == first != drawn(seed=8)
    assert len(first) == 2  # the name ran the test with both of its parameters
    monkeypatch.setenv("RESILIN_SEED", "7")
    assert drawn(seed=9) == first
    monkeypatch.setenv("RESILIN_SEED", "x7")
    with pytest.raises(ValueError, match="RESILIN_SEED = 'x7' is not allowed"):
        simulate("scheduler")
    monkeypatch.delenv("RESILIN_SEED")
    with pytest.raises(ValueError, match="seed = -1 is not allowed"):
        simulate("scheduler", seed=-1)


@pytest.mark.parametrize("simulator, waves", [("verilator", "vcd"), ("icarus", "vcd"), ("icarus", "fst")])
def test_waves_are_written(simulator, waves, need, tmp_path, monkeypatch):
    need(simulator)
    monkeypatch.chdir(tmp_path)
    result = probe("through", simulator=simulator, waves=waves)
    assert result.waves == tmp_path / "build" / "waves" / f"probe-1.{waves}"
    assert result.waves.stat().st_size > 1000


def test_build_is_cached():
    assert probe("draws").build_seconds < 30
    assert probe("draws").build_seconds < 0.5


def test_broken_verilog_leaves_no_entry(tmp_path, monkeypatch):
    monkeypatch.setenv("RESILIN_CACHE", str(tmp_path))
    with pytest.raises(SimulationError, match="syntax error"):
        build("module broken(; endmodule", "broken")
    assert [path.suffix for path in (tmp_path / "simulators").iterdir()] == [".lock"]


@pytest.mark.parametrize("choice", [{"simulator": "modelsim"}, {"waves": "lxt"}])
def test_choices_are_checked(choice):
    with pytest.raises(ValueError, match="must be one of"):
        build("module top; endmodule", "top", **choice)


def test_layout_packs_and_unpacks():
    layout = {name: tuple(place) for name, place in describe_layout(ITEM).items()}
    assert layout == {"tag": (0, 4, False), "values.0": (4, 20, True), "values.1": (24, 20, True)}
    item = {"tag": 9, "values.0": -(1 << 19), "values.1": (1 << 19) - 1}
    word = pack(layout, item)
    assert word == 9 | 1 << 23 | ((1 << 19) - 1) << 24
    assert unpack(layout, word) == item
    assert describe_layout(signed(5)) == {}


@pytest.mark.parametrize("item, message", [
    ({"a": 16, "b": 0}, "a = 16 is not allowed: a must be from 0 to 15"),
    ({"a": -1, "b": 0}, "a = -1 is not allowed"),
    ({"a": 1, "b": 8}, "b = 8 is not allowed: b must be from -8 to 7"),
    ({"a": 1}, "exactly the fields a, b"),
    ({"a": 1, "b": 1, "c": 1}, "exactly the fields a, b"),
])
def test_pack_refuses(item, message):
    with pytest.raises(ValueError, match=message):
        pack({"a": (0, 4, False), "b": (4, 4, True)}, item)


def test_scoreboard_names_the_lane():
    board = Scoreboard("words", lanes={"data": 16})
    board.expect({"data": 0x0003_0002_0001, "last": 1}, job="row 3")
    with pytest.raises(Mismatch, match="words: job row 3, item 0, field data, lane 1: expected 0x2, got 0x7"):
        board.check({"data": 0x0003_0007_0001, "last": 1})
    with pytest.raises(Mismatch, match="item 0 came and nothing more was expected"):
        board.check({"data": 0, "last": 0})


def test_coverage_refuses_a_name_taken_in_the_same_run(monkeypatch):
    monkeypatch.setenv("RESILIN_COVERAGE", "counts.json")
    monkeypatch.setattr("sim.coverage._all", {})
    Coverage("points", ["a"])
    with pytest.raises(ValueError, match="name = 'points' is not allowed: another Coverage of this run has it"):
        Coverage("points", ["b"])


def test_coverage_refuses_unknown_points():
    points = Coverage("points", ["a", "b"])
    with pytest.raises(ValueError, match="the points of points are a, b"):
        points.hit("c")
    with pytest.raises(ValueError, match="listed once"):
        Coverage("twice", ["a", "a"])
    with pytest.raises(ValueError, match="must be a string"):
        Coverage("numbers", [1, 2])
    points.hit("a")
    points.hit("b", 2)
    points.check()


@pytest.mark.parametrize("profile, expected", [
    (StallProfile.none, [0] * 8), (StallProfile.toggle, [0, 1] * 4),
])
def test_stall_patterns(profile, expected):
    stalls = profile()
    assert [int(stalls.step(True)) for _ in range(8)] == expected


def test_after_offer_waits():
    stalls = StallProfile.after_offer(2)
    offers = [0, 0, 1, 1, 1, 1, 0, 1, 1, 1]
    assert [int(stalls.step(bool(offer))) for offer in offers] == [1, 1, 1, 1, 0, 1, 1, 1, 1, 0]
    with pytest.raises(ValueError, match="duty must be from 0"):
        StallProfile.random(1.0, None)
