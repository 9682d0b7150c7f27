"""The decoder against the golden model: every command, random and mutated operands; a million of them when slow."""

import itertools

import cocotb
import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden.enmc.isa import Instruction, decode, make
from golden.enmc.isa_table import KINDS
from hw.enmc.instruction_decoder import InstructionDecoder, Meaning
from hw.enmc.isa_table import COMMAND_BITS, OPERAND_BITS, jobs
from resilin.simulate import simulate_component
from sim.bench import start
from sim.context import context

ROW_BITS = 10
PER_RUN = 1 << 13


class RegisteredDecoder(wiring.Component):
    """The decoder with a register behind it."""

    def __init__(self):
        super().__init__({"command": In(COMMAND_BITS), "operand": In(OPERAND_BITS), "meaning": Out(Meaning)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.decoder = decoder = InstructionDecoder(ROW_BITS)
        m.d.comb += [decoder.command.eq(self.command), decoder.operand.eq(self.operand)]
        m.d.sync += self.meaning.eq(decoder.meaning)
        return m


def operands(rng, count):
    """Operands: zero, all bits random, a few bits, or a legal one with few bits changed."""
    words = rng.integers(1 << 64, size=count, dtype=np.uint64)
    few = np.uint64(1) << rng.integers(64, size=(2, count), dtype=np.uint64)
    legal = np.array([make("LDR", "OUTPUT", address=64, count=2).operand, make(
        "MUL_ADD_INT4", "FEATURE_INT4", "WEIGHT_INT4", address=128, groups=3).operand, 5, 64, make(
        "MUL_ADD_FP32", "FEATURE_FP32", "WEIGHT_FP32", class_=3, count=5, item=1).operand], np.uint64)
    kind = rng.integers(5, size=count)
    legal = legal[rng.integers(len(legal), size=count)]
    return np.select([kind == 0, kind == 1, kind == 2, kind == 3],
                     [np.zeros_like(words), words, few[0] | few[1], legal], legal ^ few[0])


def expected(command, operand, layout):
    """The word of the meaning, and the bits of it that matter."""
    decoded = decode(Instruction(command, operand), 1 << ROW_BITS + 17)
    flags, offset = sum(1 << error for error in decoded.errors), layout["errors"][0]
    if flags:
        return flags << offset, -1 << offset
    op = jobs(decoded.form.kind)[decoded.form.job] if decoded.form.job else 0
    return KINDS.index(decoded.form.kind) << layout["kind"][0] | op << layout["op"][0], -1


async def compare(dut, pairs):
    """The meaning of each command and operand is that of the golden model."""
    ctx = context()
    layout, wrong = ctx.layout("meaning"), ctx.options.get("corrupt", 0)
    bench = await start(dut, timeout=None)
    before = None
    for command, operand in itertools.chain(pairs, [(0, 0)]):
        dut.command.value, dut.operand.value = command, operand
        await bench.cycles(1)
        got = int(dut.meaning.value)
        if before is not None:
            word, mask = expected(*before, layout)
            assert (got ^ word ^ wrong) & mask == 0, f"{Instruction(*before)} gives {got:#x}, not {word:#x}"
        before = command, operand


@cocotb.test()
async def every_command(dut):
    """Every command, as often as asked for, with another operand each time."""
    rng = context().rng
    await compare(dut, (pair for _ in range(context().options["rounds"]) for pair in
                        zip(map(int, rng.permutation(PER_RUN)), map(int, operands(rng, PER_RUN)))))


@cocotb.test()
async def every_register(dut):
    """INIT of every register, with values of every magnitude, half of them multiples of 64, and with corner values."""
    rng = context().random
    pairs = []
    for register in range(32):
        command = make("INIT", "ERROR", 0).command & ~(31 << 2) | register << 2
        for bits in range(65):
            value = rng.getrandbits(bits) if bits else 0
            pairs += [(command, value), (command, value >> 6 << 6), (command, (1 << bits) - 1)]
    await compare(dut, pairs)


def run(rounds, **options):
    simulate_component(RegisteredDecoder(), __name__, options={"rounds": rounds, **options}, timeout=3000)


def test_every_command():
    run(1)


@pytest.mark.slow
def test_a_million():
    run(128)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="gives"):
        run(1, corrupt=1 << 8)
