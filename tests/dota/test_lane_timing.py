"""Cycles of the lane's commands are those that its page states."""

import json

import pytest

from golden.arith.precision import Precision
from golden.dota.program import Command, LaneOp, LaneSize
from hw.dota.lane_command import LaneConfig
from resilin.simulate import simulate

from .lane_commands import gemm_steps

CONFIG = LaneConfig.preset("small")
SIZE = LaneSize.from_config(CONFIG.to_dict())
FX16, INT8, INT4, INT2 = Precision


def bank(number):
    return number * SIZE.bank_words


def gemm(precision, out, m, n_tiles, k_chunks, transposed=False):
    """A product with A from bank 0 on, B from bank 3 on, the result from bank 6 on."""
    inner = SIZE.chunk_words(precision, k_chunks)
    return Command(
        op=LaneOp.GEMM, precision=precision, out=out, m=m, n_tiles=n_tiles, k_chunks=k_chunks, transposed=transposed,
        a_stride=inner, b_base=bank(3), b_stride=n_tiles if transposed else inner, c_base=bank(6),
        c_stride=SIZE.words_for(out, n_tiles * SIZE.tile(precision)))


def gemm_cycles(command):
    """The formula of docs/dota/lane.md."""
    loads, steps, words = gemm_steps(command, SIZE)
    return (loads + CONFIG.rmmu.result_latency + 6 + sum(max(step, loads + 1) for step in steps[:-1])
            + steps[-1] - words + (2 if words == 4 else 0))


def rows(op, m, **fields):
    """A command on rows, from bank 0 to bank 6."""
    command = Command(op=op, m=m, c_base=bank(6), a_stride=8, c_stride=8, scale=100, scale_shift=3, **fields)
    if op is LaneOp.SOFTMAX:
        beats = -(-command.keys // SIZE.cols)
        return command, m * beats + 2 * beats + CONFIG.mfu.latency + 3
    return command, m * command.k_chunks + CONFIG.mfu.latency + 5


def measured(commands):
    """Cycles of each command, run alone."""
    for command in commands:
        command.check(SIZE)
    result = simulate("lane", testcase="measure_programs", quiet=True,
                      options={"programs": [[command.fields()] for command in commands]})
    line = next(line for line in result.log.splitlines() if line.startswith("cycles of programs: "))
    return json.loads(line.partition(": ")[2])


def test_products():
    commands = [
        gemm(FX16, FX16, 20, 2, 3), gemm(FX16, INT8, 5, 1, 1), gemm(FX16, FX16, 1, 1, 4), gemm(INT8, INT8, 16, 2, 2),
        gemm(INT8, FX16, 9, 2, 1), gemm(INT4, FX16, 7, 1, 2), gemm(INT4, INT4, 16, 2, 1), gemm(INT2, FX16, 20, 1, 1),
        gemm(INT2, INT8, 16, 1, 2), gemm(INT2, INT2, 12, 2, 1), gemm(FX16, FX16, 20, 2, 3, transposed=True),
        gemm(FX16, INT4, 3, 1, 5, transposed=True)]
    assert measured(commands) == [gemm_cycles(command) for command in commands]


@pytest.mark.parametrize("kind", ["softmax", "convert"])
def test_rows_through_the_mfu(kind):
    if kind == "softmax":
        cases = [rows(LaneOp.SOFTMAX, m, keys=keys) for m, keys in ((1, 1), (1, 32), (9, 13), (16, 32))]
    else:
        cases = [rows(LaneOp.CONVERT, m, k_chunks=chunks, precision=precision, out=out) for m, chunks, precision, out in
                 ((1, 1, FX16, INT8), (9, 3, FX16, INT2), (16, 8, INT4, FX16))]
    assert measured([command for command, _ in cases]) == [cycles for _, cycles in cases]
