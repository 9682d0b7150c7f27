"""The EnmcController against its golden model: every job, register, error and answer, with units of random speed."""

import cocotb
import pytest

from golden.enmc.isa import Instruction, assemble, make
from golden.enmc.isa_table import REGISTERS, Error
from hw.config import ConfigError
from hw.enmc.enmc_controller import EnmcControllerConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import unpack

from .bench_enmc_controller import POINTS, Harness, mutated, random_init, random_instruction, stall_profile
from .ddr_host import NOP, command_pins


def program(harness, length, mutations=0.0):
    rng, rank = harness.rng, harness.config.rank_bytes
    result = [random_init(rng, rank) for _ in range(6)]
    for _ in range(length):
        instruction = random_instruction(rng, rank)
        result.append(mutated(rng, instruction) if rng.random() < mutations else instruction)
    return result


@cocotb.test()
@cocotb.parametrize(profile=["none", "random", "bursts", "adversarial"])
async def random_programs(dut, profile):
    """Programs of all instructions, back to back; then with a third of them changed in some bits."""
    h = Harness(dut)
    await h.start(stall_profile(profile))
    await h.run(program(h, h.ctx.options.get("length", 120)))
    await h.run(program(h, h.ctx.options.get("length", 120), mutations=0.35))
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any cycle leaves nothing behind: not in the FIFO, in a unit's job, in registers, in an answer."""
    h = Harness(dut)
    await h.start(stall_profile("random"))
    for _ in range(h.ctx.options.get("resets", 12)):
        for instruction in program(h, h.config.depth - 6):
            h.put(instruction)
        h.host.query(make("QUERY", "STATUS"), lambda word: None)
        await h.bench.cycles(h.rng.randrange(1, 60))
        await h.reset()
        h.hit("reset in mid-work")
    await h.run(program(h, 20))
    await h.finish()


@cocotb.test()
async def every_error(dut):
    """Every error that an instruction can have, alone: the register ERROR, and nothing else happens."""
    h = Harness(dut)
    await h.start()
    end = h.config.rank_bytes
    screen, load = make("MUL_ADD_INT4", "FEATURE_INT4", "WEIGHT_INT4", address=0, groups=1), make(
        "LDR", "OUTPUT", address=0, count=2)
    setup = [make("INIT", "CLASSES", 40), make("INIT", "ITEMS", 2), make("INIT", "CHUNKS", 16)]
    listed = make("MUL_ADD_FP32", "FEATURE_FP32", "WEIGHT_FP32", class_=30, count=5, item=1)
    await h.run([*setup, screen, load, listed, make("BARRIER")])
    for error, instruction in (
            (Error.OPCODE, Instruction(0x0F00)), (Error.OPCODE, Instruction(0x0001)),
            (Error.BUFFER, Instruction(0x0A70, load.operand)), (Error.BUFFER, Instruction(0x0C07)),
            (Error.REGISTER, Instruction(9 << 8 | 1 << 7)), (Error.REGISTER, Instruction(9 << 8 | 1 << 7 | 19 << 2)),
            (Error.REGISTER, make("INIT", "WRITE_LOW", 0)),
            (Error.VALUE, Instruction(make("INIT", "SHIFT", 1).command, 48)),
            (Error.OPERAND, Instruction(make("NOP").command, 1 << 63)),
            (Error.OPERAND, Instruction(screen.command, screen.operand + (4 << 36))),
            (Error.UNALIGNED, Instruction(load.command, load.operand | 4)),
            (Error.RANGE, Instruction(load.command, load.operand + end - 64)),
            (Error.RANGE, Instruction(screen.command, screen.operand + end - 16 * 64)),
            (Error.SETTING, Instruction(listed.command, listed.operand + 6)),
            (Error.SETTING, Instruction(listed.command, listed.operand + (1 << 57)))):
        await h.run([make("INIT", "ERROR", 0), instruction])
        assert h.golden.error[:2] == (error, instruction.command)
    await h.run([make("INIT", "ERROR", 0), make("INIT", "CHUNKS", 17), screen])
    assert h.golden.error[0] == Error.SETTING
    # An unused bit of the operand, for every instruction that has one.
    for text in ("BARRIER", "NOP", "RETURN", "CLR", "ADD_INT4 FEATURE_INT4, WEIGHT_INT4", "SIGMOID PSUM_FP32",
                 "MUL_INT4 FEATURE_INT4, WEIGHT_INT4", "ADD_FP32 PSUM_FP32, PSUM_FP32", "MOVE OUTPUT, OUTPUT",
                 "MUL_FP32 PSUM_FP32, PSUM_FP32", "FILTER PSUM_INT4, class=0",
                 "SOFTMAX PSUM_FP32, phase=0, item=0, count=0"):
        instruction, = assemble(text)
        await h.run([make("INIT", "ERROR", 0), Instruction(instruction.command, instruction.operand | 1 << 40)])
        assert h.golden.error[0] == Error.OPERAND
    # What fits exactly is done.
    await h.run([make("INIT", "ERROR", 0), make("INIT", "CHUNKS", 16),
                 Instruction(load.command, load.operand + end - 128),
                 Instruction(screen.command, screen.operand + end - 17 * 64),
                 Instruction(listed.command, listed.operand + 5)])
    assert h.golden.error is None
    await h.finish()


@cocotb.test()
async def latency_and_rate(dut):
    """From the pins to a job in ``latency`` cycles; an instruction every four DRAM clocks without end."""
    h = Harness(dut)
    await h.start()
    await h.wait()
    clocks = []
    for gap in (40, 43):
        h.golden.take(instruction := make("ADD_INT4", "FEATURE_INT4", "WEIGHT_INT4"))
        h.golden.executed -= 1  # `put` takes it
        h.put(instruction, gap)
        h.host.queue[-1] = (*h.host.queue[-1][:3], clocks.append, None)
        sent = h.host.count
        while h.host.count == sent:
            await h.bench.cycles(1)
        driven = h.bench.cycle
        seen = len(h.monitors["screener_jobs"].times)
        while len(h.monitors["screener_jobs"].times) == seen:
            await h.bench.cycles(1)
        # Pins that are driven at an edge are there in the cycle after it; a transfer is seen at the end of its cycle.
        assert h.monitors["screener_jobs"].times[-1] - driven - 1 == h.config.latency
    assert len({clock % 4 for clock in clocks}) == 2
    await h.wait()
    for instruction in assemble("NOP\n" * 60 * h.config.depth):
        h.put(instruction)
    await h.host.drain()
    assert await h.wait() >> 2 & 1 == 0, "an instruction of a steady stream was refused"
    assert await h.query("INSTRUCTIONS") == h.golden.executed
    h.hit("back to back")
    await h.finish()


@cocotb.test()
async def answers(dut):
    """QUERY at every phase, of every register, of OUTPUT since RETURN and CLR; refused ones read zeros."""
    h = Harness(dut)
    await h.start()
    await h.run(program(h, 8))
    for gap in (16, 17, 18, 19) * 2:
        assert await h.query("ITEMS", gap) == h.golden.registers["ITEMS"]
        h.hit("answer across cycles", gap % 4 > 0)
    # Back to back: the bus is never free between them.
    words = []
    for name in ("ROW_BASE", "LOG_BASE", "SCALE", "SHIFT", "THRESHOLD"):
        h.host.query(make("QUERY", name), words.append, 4 if words else 19)
    await h.host.drain()
    assert words == [h.golden.registers[name] for name in ("ROW_BASE", "LOG_BASE", "SCALE", "SHIFT", "THRESHOLD")]
    for restart in ("RETURN", "CLR", "NOP"):
        h.put(make(restart))
        status = await h.wait()
        assert status >> 3 & 1 == (restart == "RETURN")
        first = {"NOP": 1}.get(restart, 0)
        got = [await h.query("OUTPUT", 16 + h.rng.randrange(8)) for _ in range(5)]
        assert got == [h.units.words[(first + index) % 4] for index in range(5)]
    for command in (9 << 8 | 19 << 2, 9 << 8 | 31 << 2 | 1, 9 << 8 | 3 << 2 | 2):
        words.clear()
        h.host.query(Instruction(command), words.append, 20)
        await h.host.drain()
        assert words == [0]
        h.golden.report(Error.REGISTER if command >> 2 & 31 == 19 else Error.OPERAND, command)
    h.hit("QUERY refused")
    assert await h.query("OUTPUT") == h.units.words[2], "a refused QUERY took a word of OUTPUT"
    await h.compare()
    for name in REGISTERS:
        await h.query(name)
    await h.finish()


@cocotb.test()
async def registers_elsewhere(dut):
    """MAX and SUM: INIT goes to their units, QUERY reads from there; counters of cycles and bursts."""
    h = Harness(dut)
    await h.start()
    seen = []

    class Watch:
        """Notes INIT of MAX and SUM."""

        name = "watch"

        def tick(self, cycle):
            for port in ("maximum_write", "sum_write"):
                item = unpack(h.ctx.layout(port), int(getattr(dut, port).value))
                if item.pop("enable"):
                    seen.append((port, *item.values()))

        async def drain(self):
            pass

        def finish(self):
            pass
    h.bench.add(Watch())
    values = [h.rng.getrandbits(32) for _ in range(5)]
    for name, value in zip(("MAX0", "MAX1", "MAX2", "MAX3", "SUM"), values):
        h.put(make("INIT", name, value))
    await h.wait()
    *maxima, total = values
    assert seen == [*(("maximum_write", item, value) for item, value in enumerate(maxima)), ("sum_write", total)]
    dut.maxima.value = sum(value << 32 * (3 - item) for item, value in enumerate(values[:4]))
    dut.sum.value = 0xDEADBEEF
    assert [await h.query(f"MAX{item}") for item in range(4)] == values[3::-1]
    assert await h.query("SUM") == 0xDEADBEEF
    h.put(make("CLR"))
    h.put(make("INIT", "CLASSES", 100))
    h.put(make("MUL_ADD_FP32", "FEATURE_FP32", "WEIGHT_FP32", class_=3, count=5, item=0))
    h.put(make("ADD_INT4", "FEATURE_INT4", "WEIGHT_INT4"))
    h.put(make("BARRIER"))
    await h.wait()
    assert await h.query("CANDIDATES01") == 5
    cycles = [await h.query(name) for name in ("SCREENER_CYCLES", "EXECUTOR_CYCLES", "OVERLAP_CYCLES", "CYCLES")]
    assert 0 < cycles[0] < cycles[3] and 5 < cycles[1] < cycles[3] and cycles[2] <= min(cycles[:2])
    dut.burst_read.value = dut.burst_written.value = 1
    await h.bench.cycles(5)
    dut.burst_written.value = 0
    await h.bench.cycles(2)
    dut.burst_read.value = 0
    assert await h.query("BURSTS") == 5 << 32 | 7
    await h.finish()


@cocotb.test()
async def full_fifo(dut):
    """What comes while the FIFO is full is refused, all else is done; STATUS counts what waits."""
    h = Harness(dut)
    await h.start()
    await h.wait()
    h.units.hold = True
    h.put(make("ADD_FP32", "FEATURE_FP32", "WEIGHT_FP32"))
    h.put(make("INIT", "CLASSES", 1))
    room = h.config.depth
    for _ in range(room):
        h.put(make("NOP"))
    lost = [make("INIT", "CLASSES", 7), make("NOP"), make("CLR")]
    for instruction in lost:
        h.host.send(instruction)
    await h.host.drain()
    status = await h.query("STATUS")
    assert status >> 8 & 0xFF == room + 1 and status & 1
    h.hit("whole FIFO")
    h.golden.error, h.golden.later = (Error.FULL.value, lost[0].command, 1), len(lost) - 1
    h.hit("error FULL")
    h.units.hold = False
    await h.wait()
    await h.compare()
    await h.finish()


@cocotb.test()
async def spacing(dut):
    """The second of two instructions that are less than four clocks apart is refused, whatever their phases."""
    h = Harness(dut)
    await h.start()
    phases, lost = set(), make("CLR")
    for gap in (1, 2, 3):
        for phase in range(4):
            h.put(make("INIT", "ERROR", 0))
            await h.wait()
            h.put(make("NOP"))  # at phase 0, for the gap to count from; done before the next one comes
            number = h.golden.executed
            h.put(make("NOP"), 64 + phase)
            h.host.send(lost, gap, lambda clock, gap=gap: phases.add((gap, clock % 4)))
            h.golden.report(Error.SPACING, lost.command, number)
            h.hit("error SPACING")
            await h.wait()
            assert await h.query("ERROR") == h.golden.query("ERROR")
    assert len(phases) == 12, phases
    # Four of one cycle: three are refused.
    h.put(make("NOP"), 16)
    for _ in range(3):
        h.host.send(make("RETURN"), 1)
        h.golden.report(Error.SPACING, make("RETURN").command)
    await h.wait()
    await h.compare()
    await h.finish()


@cocotb.test()
async def ordinary_traffic(dut):
    """All commands but instructions pass while the host has the chips; then they are errors, but DES and NOP."""
    h = Harness(dut)
    await h.start()
    for _ in range(200):
        h.host.pins(command_pins(h.rng) if h.rng.random() < 0.8 else NOP, h.rng.choice((1, 1, 2, 5)))
    await h.host.drain()
    h.hit("host's commands pass")
    assert await h.query("STATUS") == 0
    h.units.hold = True
    h.put(make("LDR", "PSUM_FP32", address=64, count=1))
    h.put(make("ADD_FP32", "FEATURE_FP32", "WEIGHT_FP32"))
    await h.bench.cycles(60)
    assert await h.query("STATUS") & 3 == 3
    h.hit("owner changes")
    for _ in range(30):
        h.host.pins(command_pins(h.rng), 1)
        h.host.pins(NOP, 1)
        h.golden.report(Error.HOST_COMMAND, number=2)
    await h.host.drain()
    h.hit("host's commands held back")
    h.hit("error HOST_COMMAND")
    assert await h.query("ERROR") == h.golden.query("ERROR")
    h.units.hold = False
    await h.wait()
    for _ in range(20):
        h.host.pins(command_pins(h.rng), 1)
    await h.host.drain()
    await h.compare()
    await h.finish()


@cocotb.test()
async def locked_range(dut):
    """WRITE_LOW and WRITE_HIGH: written before the first other instruction alone; reset unlocks, CLR keeps them."""
    h = Harness(dut)
    await h.start()
    top = h.config.rank_bytes
    for first in ("NOP", "CLR"):
        await h.run([make("INIT", "WRITE_LOW", 64), make("INIT", "WRITE_HIGH", top), make("INIT", "WRITE_LOW", 128),
                     make(first), make("INIT", "WRITE_LOW", 0), make("INIT", "WRITE_HIGH", 0), make("CLR"),
                     make("INIT", "WRITE_HIGH", 64)])
        settings, value = h.ctx.layout("result_settings"), int(dut.result_settings.value)
        for name, expected in (("write_low", 128), ("write_high", top)):
            offset, width, _ = settings[name]
            assert value >> offset & (1 << width) - 1 == expected >> 6
        h.hit("WRITE_LOW locked")
        await h.reset()
    await h.finish()


@cocotb.test()
async def weak_errors(dut):
    """A result that is not written is an error of no instruction; any other takes its place; later ones saturate."""
    h = Harness(dut)
    await h.start()

    async def drop(cycles):
        dut.result_dropped.value = 1
        await h.bench.cycles(cycles)
        dut.result_dropped.value = 0
        for _ in range(cycles):
            h.golden.report_write()
        await h.compare()
    await drop(3)
    h.hit("error of a result")
    await h.run([make("NOP"), Instruction(0x1F00), Instruction(0x1E00)])
    h.hit("error after a weak one")
    await drop(2)
    await h.run([make("INIT", "ERROR", 5)])
    await drop(1)
    for _ in range(4):
        await h.run([Instruction(0x1F00 | index) for index in range(70)])
    await h.run([make("CLR")])
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    runs = [simulate("enmc_controller", preset="small", seed=seed, options={"length": 80}) for seed in (1, 2)]
    merge("enmc_controller", POINTS, runs).check()


@pytest.mark.parametrize("overrides", [{"depth": 3, "cl": 12, "cwl": 8, "row_bits": 1}])
def test_bit_exact(overrides):
    simulate("enmc_controller", preset="small", seed=3, overrides=overrides)


@pytest.mark.slow
def test_long_programs():
    """10,000 instructions, a third of them changed in half of the programs, and 200 resets."""
    simulate("enmc_controller", preset="small", seed=4, options={"length": 1250, "resets": 200},
             testcase=[*(f"random_programs/profile={index}" for index in range(4)), "reset_in_work"], timeout=3000)


@pytest.mark.slow
def test_paper_size():
    simulate("enmc_controller", preset="paper", seed=5)


@pytest.mark.parametrize("stream", ["screener_jobs", "executor_jobs", "ranges", "memory_jobs"])
def test_wrong_expectation_fails(stream):
    with pytest.raises(AssertionError, match=f"{stream}: job 0, item 0, field op|{stream}: job 0, item 0, field first"):
        simulate("enmc_controller", preset="small", options={"corrupt": stream}, testcase="random_programs/profile=0")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="whole FIFO"):
        Coverage("enmc_controller", POINTS).check()


@pytest.mark.parametrize("field, value", [("depth", 2), ("row_bits", 19), ("cl", 14), ("cwl", 4)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        EnmcControllerConfig(**{field: value})
