"""The golden rank: buffers, memory, order, errors; whole layers are in test_compiler_golden.py."""

import numpy as np
import pytest

from golden.arith.float_fma import add, fma
from golden.enmc.enmc_executor import accurate
from golden.enmc.enmc_rank import TIMING_REGISTERS, EnmcRank
from golden.enmc.isa import Instruction, assemble
from golden.enmc.isa_table import REGISTERS, Error

LOW, HIGH = 0x8000, 0xA000


def patterns(rng, count):
    return rng.normal(size=count).astype(np.float32).view(np.uint32)


def rank(text="", **options):
    """A rank that may write to LOW..HIGH, after a program."""
    made = EnmcRank(4, **options)
    made.run(assemble(f"INIT WRITE_LOW, {LOW}\nINIT WRITE_HIGH, {HIGH}\nCLR\n" + text))
    return made


def error(made):
    """(code, number, later) of the register ERROR."""
    value = made.query("ERROR")
    return Error(value & 255), value >> 32, value >> 24 & 255


def test_load_compute_store():
    rng, made = np.random.default_rng(1), rank()
    a, b = patterns(rng, 64), patterns(rng, 64)
    made.store(0, a.view(np.uint8))
    made.store(256, b.view(np.uint8))
    made.run(assemble("""
        LDR FEATURE_FP32, address=0, count=4
        LDR WEIGHT_FP32, address=256, count=4
        ADD_FP32 FEATURE_FP32, WEIGHT_FP32
        MUL_ADD_FP32 FEATURE_FP32, WEIGHT_FP32
        STR PSUM_FP32, address=0x8000, count=4, width=2, stride=10
        BARRIER"""))
    expected = fma(a, b, add(a, b)).astype("<u4").view(np.uint8)
    assert np.array_equal(made.fetch(LOW, 128), expected[:128])
    assert np.array_equal(made.fetch(LOW + 640, 128), expected[128:])
    assert made.query("STATUS") == 0 and made.query("BURSTS") == 8 | 4 << 32


def test_moves_between_all_buffers():
    rng, made = np.random.default_rng(2), rank()
    content = rng.integers(0, 256, 256).astype(np.uint8)
    made.store(0, content)
    names = ["FEATURE_INT4", "WEIGHT_INT4", "FEATURE_FP32", "WEIGHT_FP32", "PSUM_INT4", "PSUM_FP32", "OUTPUT"]
    lines = [f"LDR {names[0]}, address=0, count=4"]
    for before, after in zip(names, names[1:]):
        lines.append(f"MOVE {before}, {after}")
    made.run(assemble("\n".join([*lines, "STR OUTPUT, address=0x8000, count=4, width=4, stride=0"])))
    assert np.array_equal(made.fetch(LOW, 256), content)
    words = made.run(assemble("RETURN\n" + "QUERY OUTPUT\n" * 5))
    data = b"".join(word.to_bytes(64, "little") for word in words)
    assert data == content.tobytes() + content[:64].tobytes()
    assert made.query("STATUS") == 1 << 3
    made.run(assemble("NOP"))
    assert made.query("STATUS") == 0


def test_writes_outside_the_limits_are_dropped_alone():
    made = rank("STR PSUM_FP32, address=0x7FC0, count=4, width=1, stride=1")
    assert error(made) == (Error.RANGE, 0, 0)  # CLR began the count anew
    assert made.query("BURSTS") >> 32 == 3
    made.run(assemble("STR PSUM_FP32, address=0x9FC0, count=4, width=4, stride=0"))
    assert error(made) == (Error.RANGE, 0, 3) and made.query("BURSTS") >> 32 == 4
    made.run(assemble("INIT WRITE_LOW, 0"))  # locked
    assert made.query("WRITE_LOW") == LOW and error(made)[2] == 4
    made.run(assemble("INIT ERROR, 0"))
    assert made.query("ERROR") == 0 and made.query("STATUS") == 0


@pytest.mark.parametrize("instruction, code", [
    (Instruction(0x1F00), Error.OPCODE), (Instruction(0x0001), Error.OPCODE),
    (Instruction(0x0A70, 1 << 36), Error.BUFFER),
    (Instruction(0x0900 | 1 << 7 | 2 << 2, 1), Error.REGISTER), (Instruction(0x0900 | 1 << 7 | 4 << 2, 5), Error.VALUE),
    (Instruction(0x0A00, 5 << 36), Error.OPERAND), (Instruction(0x0A00, 1 << 36 | 1), Error.UNALIGNED),
    (Instruction(0x0A00, 1 << 36 | 1 << 35), Error.RANGE),
    (Instruction(0x0223, 1 << 63 | 1 << 32), Error.SETTING)])
def test_errors_drop_the_instruction(instruction, code):
    made = rank()
    made.run([instruction])
    assert made.query("ERROR") & 255 == code and made.query("ERROR") >> 8 & 0x1FFF == instruction.command
    assert made.query("INSTRUCTIONS") == 1 and made.reads == 0


def test_candidates_of_a_range_are_computed_in_groups_and_leave_zeros():
    rng, made = np.random.default_rng(3), rank()
    rows, features = patterns(rng, 6 * 32).reshape(6, 32), patterns(rng, 32)
    made.store(0, rows.view(np.uint8).ravel())
    made.store(0x1000, features.view(np.uint8))
    made.run(assemble("""
        INIT CLASSES, 6
        INIT ROW_BURSTS, 2
        INIT FEATURE_BASE, 0x1000
        INIT RESULT_BASE, 0x8000
        INIT LOG_BASE, 0x9000
        LDR FEATURE_FP32, address=0, count=4
        MUL_ADD_FP32 FEATURE_FP32, WEIGHT_FP32, class=0, count=6, item=0"""))
    assert made.query("CANDIDATES01") == 4  # two wait for company
    made.run(assemble("MOVE FEATURE_FP32, OUTPUT"))  # waits for them, and finds zeros
    assert made.query("CANDIDATES01") == 6 and not made.run(assemble("RETURN\nQUERY OUTPUT"))[0]
    expected = accurate(rows, features).astype(np.uint32)
    assert np.array_equal(made.fetch(LOW, 24).view("<u4"), expected)
    log = made.fetch(0x9000, 48).view("<u4").reshape(6, 2)
    assert np.array_equal(log[:, 0], np.arange(6)) and np.array_equal(log[:, 1], expected)
    assert made.query("MAX0") == expected[np.argmax(expected.view(np.float32))]


def test_results_of_candidates_outside_the_limits_are_a_weak_error():
    made = rank("""
        INIT CLASSES, 1
        INIT RESULT_BASE, 0x4000
        MUL_ADD_FP32 FEATURE_FP32, WEIGHT_FP32, class=0, count=1, item=0
        BARRIER""")
    assert error(made) == (Error.RANGE, 0, 0) and made.query("BURSTS") >> 32 == 0
    made.run([Instruction(0x1F00)])
    assert error(made)[0] == Error.OPCODE and error(made)[2] == 1


def test_clear_keeps_the_limits_and_nothing_else():
    made = rank("INIT CLASSES, 9\nINIT SUM, 5\nINIT MAX1, 7\nSTR OUTPUT, address=0, count=1, width=1, stride=0\nCLR")
    assert made.query("WRITE_HIGH") == HIGH
    for name, register in REGISTERS.items():
        if name not in TIMING_REGISTERS and not register.lock and register.access == "write" and not register.clears:
            assert made.query(name) == register.reset, name
    assert made.query("ERROR") == 0 and made.query("INSTRUCTIONS") == 0 and made.query("CYCLES") is None


def test_unwritten_memory_is_refused_where_asked_for():
    with pytest.raises(ValueError, match="bytes of this burst were never written"):
        rank("LDR FEATURE_INT4, address=0, count=1", fill=None)
    with pytest.raises(ValueError, match="content is int64"):
        rank().store(0, np.zeros(3, np.int64))


def test_what_waits_at_a_clear_is_computed_with_the_registers_before_it():
    rng, made = np.random.default_rng(4), rank()
    row, feature = patterns(rng, 16), patterns(rng, 16)
    made.store(0, row.view(np.uint8))
    made.store(0x1000, feature.view(np.uint8))
    made.run(assemble("""
        INIT CLASSES, 1
        INIT FEATURE_BASE, 0x1000
        INIT RESULT_BASE, 0x8000
        MUL_ADD_FP32 FEATURE_FP32, WEIGHT_FP32, class=0, count=1, item=0
        CLR"""))
    assert np.array_equal(made.fetch(LOW, 4).view("<u4"), accurate(row[None], feature))
    assert made.query("ERROR") == 0 and made.query("CANDIDATES01") == 0
