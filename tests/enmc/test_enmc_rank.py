"""The EnmcRank: whole programs from the host's pins to the chips' cells, against the golden rank, byte for byte."""

import cocotb
import numpy as np
import pytest

from golden.enmc.compiler import Classifier
from golden.enmc.isa import assemble, decode, make
from golden.enmc.screener_training import calibrated_threshold, train
from resilin.simulate import simulate
from sim.coverage import merge
from sim.runner import SimulationError

from .bench_enmc_rank import POINTS, Harness, coverage
from .random_instructions import HIGH, LOW, STORES, any_instruction, random_instruction, random_settings
from .rank_offences import OFFENCES, Offender


def classifier(rng, classes, hidden, k, candidates):
    """A random layer with a screener, and hidden vectors."""
    weight, bias = rng.normal(size=(classes, hidden)).astype(np.float32), rng.normal(size=classes).astype(np.float32)
    vectors = rng.normal(size=(60, hidden)).astype(np.float32)
    screener = train(weight, bias, vectors, k)
    layer = Classifier(weight, bias)
    layer.screener(screener, calibrated_threshold(screener, vectors, candidates))
    return layer, vectors


async def classify(h, layer, vectors, **options):
    """Programs of vectors on both ranks."""
    for program in layer.compile(vectors, **options):
        for address, content in program.writes:
            h.load(address, content)
        layout = program.layout
        h.load(layout.result_base, np.zeros(layout.end - layout.result_base, np.uint8))
        await h.run(program.instructions)
        if (await h.host.query("OVERLAP_CYCLES")):
            coverage.hit("Screener and Executor at once")


@cocotb.test()
async def layers(dut):
    """Screening of 1 to 3 items, candidates, logs, probabilities; full classification; one after the other."""
    h = Harness(dut)
    await h.begin()
    layer, vectors = classifier(h.rng, 130, 40, 33, 9)
    h.load(0, layer.image())
    await h.run(layer.setup(3))
    for items, options in ((1, {}), (3, {"probabilities": True}), (2, {}), (1, {"accurate": True})):
        await classify(h, layer, vectors[:items], **options)
        coverage.hit("probabilities", options.get("probabilities", False))
        coverage.hit("several items", items > 1)
        coverage.hit("range", options.get("accurate", False))
        found = 0 if options.get("accurate") else h.golden.writer.counts[0]
        coverage.hit("candidates left over", found % 4)
        coverage.hit("candidates in groups", found >= 4)
    await h.finish()


@cocotb.test()
async def rates(dut):
    """Cycles from the first instruction to the last one's end; prints them. Screening reads a part of the bytes of full
    classification, and takes fewer cycles."""
    h = Harness(dut)
    await h.begin()
    classes, hidden, k = (2048, 576, 144) if h.size >= 1 << 24 else (256, 160, 48)
    layer, vectors = classifier(h.rng, classes, hidden, k, classes // 32)
    h.load(0, layer.image())
    await h.run(layer.setup(1))
    taken = {}
    for name, options in (("screening", {}), ("full", {"accurate": True})):
        begin = h.bench.cycle
        await classify(h, layer, vectors[:1], **options)
        bursts = h.golden.query("BURSTS")
        taken[name] = h.bench.cycle - begin
        values = {register: await h.host.query(register) for register in (
            "CANDIDATES01", "SCREENER_CYCLES", "EXECUTOR_CYCLES", "OVERLAP_CYCLES")}
        dut._log.info("%d classes, d = %d, k = %d, %s: %d cycles, %d bursts read, %d written, %s", classes, hidden, k,
                      name, taken[name], bursts & 0xFFFF_FFFF, bursts >> 32, values)
    assert taken["screening"] < taken["full"]
    await h.finish()


@cocotb.test()
async def host_traffic(dut):
    """Ordinary reads and writes reach the chips before and after a program; the chips' rules hold all the time."""
    h = Harness(dut)
    await h.begin()
    content = h.rng.integers(0, 256, 64).astype(np.uint8)
    h.golden.store(0x4000, content)
    await h.host.write(0x4000, content)
    assert np.array_equal(await h.host.read(0x4000), content)
    coverage.hit("host traffic before")
    await h.run(assemble("""
        INIT WRITE_LOW, 0x8000
        INIT WRITE_HIGH, 0x9000
        LDR OUTPUT, address=0x4000, count=1
        STR OUTPUT, address=0x8040, count=1, width=1, stride=0
        RETURN
        QUERY OUTPUT"""))
    assert np.array_equal(await h.host.read(0x8040), content)
    await h.host.write(0x8080, content)
    h.golden.store(0x8080, content)
    coverage.hit("host traffic after")
    h.compare()
    await h.finish()


@cocotb.test()
async def random_programs(dut):
    """Instructions of every kind in any order, one in ten with an error: never a hang, all as in the golden rank."""
    h = Harness(dut)
    await h.begin()
    h.load(0, h.rng.integers(0, 256, LOW).astype(np.uint8))
    await h.run([make("INIT", "WRITE_LOW", STORES), make("INIT", "WRITE_HIGH", HIGH)])
    for _ in range(h.ctx.options.get("programs", 4)):
        await h.run([make("CLR"), *random_settings(h.rng)])
        await h.run([random_instruction(h.rng) for _ in range(40)] + [make("BARRIER"), make("QUERY", "ERROR")])
        coverage.hit("error", h.golden.query("ERROR") != 0)
    await h.finish()


@cocotb.test()
async def mutated_instructions(dut):
    """Instructions with changed bits, or of any bits at all: each is refused or done as by the golden rank, and nothing
    outside of WRITE_LOW to WRITE_HIGH changes."""
    h = Harness(dut)
    await h.begin()
    h.load(0, h.rng.integers(0, 256, h.size).astype(np.uint8))
    await h.run([make("INIT", "WRITE_LOW", STORES), make("INIT", "WRITE_HIGH", HIGH)])
    left = h.ctx.options.get("instructions", 1000)
    while left > 0:
        program = [any_instruction(h.rng, h.size) for _ in range(min(left, 1000))]
        coverage.hit("illegal instruction", any(decode(one, h.size).errors for one in program))
        await h.run([make("CLR"), *random_settings(h.rng), *program, make("BARRIER"), make("QUERY", "ERROR")])
        left -= len(program)
    await h.finish()


@cocotb.test()
async def errors_of_the_host(dut):
    """FULL, SPACING and HOST_COMMAND, each first and then all of them at random: the report, and nothing else happens;
    the rank works on: a whole program, and the host's own traffic."""
    h = Harness(dut)
    await h.begin()
    h.load(0, h.rng.integers(0, 256, LOW).astype(np.uint8))
    layer, vectors = classifier(h.rng, 70, 24, 12, 9)
    await h.run([make("INIT", "WRITE_LOW", STORES), make("INIT", "WRITE_HIGH", h.size)])
    for first in OFFENCES:
        await h.run([make("CLR"), *random_settings(h.rng)])
        offender = Offender(h)
        await offender.begin()
        await offender.offend(first)
        await h.host.drain()
        await h.bench.cycles(10)  # FULL is found only when the operand has come
        for _ in range(20):
            await offender.offend(h.ctx.random.choice(OFFENCES))
        await offender.end()
        assert h.golden.controller.error[0] == first and h.golden.controller.later >= 20
    content = h.rng.integers(0, 256, 64).astype(np.uint8)
    await h.host.write(STORES, content)
    h.golden.store(STORES, content)
    assert np.array_equal(await h.host.read(STORES), content)
    h.load(0, layer.image())
    await classify(h, layer, vectors[:2])
    await h.finish()


@cocotb.test()
async def reset_at_any_time(dut):
    """After each reset in mid-work a whole program gives what it should; what the rank may not write is as it was."""
    h = Harness(dut)
    await h.begin()
    layer, vectors = classifier(h.rng, 70, 24, 12, 9)
    h.load(0, layer.image())
    (program,) = layer.compile(vectors[:2], probabilities=True)
    for address, content in program.writes:
        h.load(address, content)
    setup = layer.setup(2)
    low, high = (instruction.operand for instruction in setup)
    await h.run(setup)
    first = h.bench.cycle
    await h.run(program.instructions)
    length = h.bench.cycle - first
    for _ in range(h.ctx.options.get("resets", 3)):
        before = h.chips.dump(0, h.size)
        work = cocotb.start_soon(h.host.run(program.instructions))
        await h.bench.cycles(int(h.rng.integers(1, length)))
        coverage.hit("reset in mid-work", not work.done())
        work.cancel()
        await h.reset()
        after = h.chips.dump(0, h.size)
        assert np.array_equal(after[:low], before[:low]) and np.array_equal(after[high:], before[high:])
        await h.host.refresh()
        await h.run(setup)
        await h.run(program.instructions)
    await h.finish()


def run(testcase, **options):
    return simulate("enmc_rank", testcase=testcase, timeout=3600, **options)


def test_programs():
    merge("enmc_rank", POINTS, [run(None)]).check()


@pytest.mark.slow
def test_many_programs():
    run(["random_programs", "reset_at_any_time"], seed=2, options={"programs": 200, "resets": 100}, flat=True)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_million_mutated_instructions(seed):
    run(["mutated_instructions"], overrides={"depth": 64}, seed=seed, options={"instructions": 100_000}, flat=True)


def test_a_wrong_bit_is_seen():
    with pytest.raises(SimulationError, match="host_traffic failed: burst"):
        run(["host_traffic"], options={"corrupt": 1})
