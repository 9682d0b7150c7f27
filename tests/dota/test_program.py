"""Lane programs and the golden lane: packing, checks, commands against plain loops, whole heads against float."""

import dataclasses
import itertools

import numpy as np
import pytest

from golden.arith.precision import Precision
from golden.dota import mfu, scheduler
from golden.dota.detector import Mode
from golden.dota.dsa import integer_head
from golden.dota.head import MODES, plan_head
from golden.dota.lane import Lane
from golden.dota.program import Command, LaneOp, LaneSize, Phase, Region, pack, regions, unpack
from golden.workloads.head_job import synthetic_head_job

SMALL = LaneSize(rows=8, cols=4, vectors_per_cycle=2, banks=10, bank_words=128, psum_depth=16, tokens=2, max_keys=32)
ONE_STREAM = dataclasses.replace(SMALL, vectors_per_cycle=1)
LEAST = dataclasses.replace(SMALL, rows=4, cols=2)
PAPER = LaneSize()


def requantized(value, shift, bits):
    """The definition of requantize on Python integers."""
    value = (value + ((1 << shift) >> 1)) >> shift
    return max(-(1 << bits - 1), min((1 << bits - 1) - 1, value))


def put(lane, region, values, precision):
    """Store rows of numbers at a region's place, word by word through the host port."""
    data = pack(values, precision, lane.size.word_bytes)
    for row, words in enumerate(data):
        lane.write(region.base + row * region.stride, words)


# ---- packing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", list(Precision))
def test_pack_is_little_endian(precision):
    rng = np.random.default_rng(1)
    bits = precision.bits
    values = rng.integers(-(1 << bits - 1), 1 << bits - 1, (3, 37))
    words = pack(values, precision, 16)
    for row in range(3):
        number = int.from_bytes(words[row].tobytes(), "little")
        assert number == sum((int(v) & (1 << bits) - 1) << bits * i for i, v in enumerate(values[row]))
    assert (unpack(words, precision, 37) == values).all()


@pytest.mark.parametrize("precision", list(Precision))
def test_pack_refuses_what_does_not_fit(precision):
    with pytest.raises(ValueError, match="weights holds"):
        pack(np.array([1 << precision.bits - 1]), precision, 16, "weights")


# ---- commands against plain loops -------------------------------------------------------------------------------


@pytest.mark.parametrize("precision, out, transposed", [
    *itertools.product(Precision, Precision, [False]), (Precision.FX16, Precision.FX16, True)])
def test_gemm(precision, out, transposed):
    """Element by element, with strides, ragged rows and copies."""
    size = SMALL
    rng = np.random.default_rng([precision, out, transposed])
    m, tiles, chunks = 5, 2, 3
    inner, columns, bits = chunks * size.chunk(precision), tiles * size.tile(precision), precision.bits
    command = Command(op=LaneOp.GEMM, precision=precision, out=out, transposed=transposed, m=m, n_tiles=tiles,
                      k_chunks=chunks, shift=int(rng.integers(0, 2 * bits)), a_base=3, a_stride=7, b_base=130,
                      b_stride=4, c_base=512, c_stride=11, copies=3, copy_stride=128)
    a = rng.integers(-(1 << bits - 1), 1 << bits - 1, (m, inner))
    b = rng.integers(-(1 << bits - 1), 1 << bits - 1, (columns, inner))
    lane = Lane(size)
    (a_region, b_region), results = regions(command, size)
    lane.memory[:] = 0xa5
    put(lane, a_region, a, precision)
    put(lane, b_region, b.T if transposed else b, precision)
    before = lane.memory.copy()
    assert lane.execute(command).rmmu_beats == m * tiles * chunks
    expected = [[requantized(sum(int(x) * int(y) for x, y in zip(a[i], b[n])), command.shift, out.bits)
                 for n in range(columns)] for i in range(m)]
    assert len(results) == 3
    for result in results:
        assert unpack(lane.memory[result.addresses()], out, columns).tolist() == expected
    # Nothing but the results' own bytes changed.
    changed = (lane.memory != before).reshape(size.words, -1)
    for result in results:
        flat = changed[result.addresses()].reshape(m, -1)
        flat[:, :columns * out.bits // 8] = False
        changed[result.addresses()] = flat.reshape(*result.addresses().shape, -1)
    assert not changed.any()


def test_softmax_fills_the_last_beat_with_zeros():
    size = SMALL
    rng = np.random.default_rng(3)
    scale, shift = mfu.softmax_scale(0.01)
    for keys in (1, 3, 4, 5, 8, 21, 32):
        command = Command(op=LaneOp.SOFTMAX, m=3, keys=keys, a_base=1, a_stride=5, c_base=140, c_stride=6,
                          scale=scale, scale_shift=shift)
        lane = Lane(size)
        (source,), (result,) = regions(command, size)
        scores = rng.integers(-500, 500, (3, keys))
        put(lane, source, scores, Precision.FX16)
        lane.write(140, np.full((20, 16), 0xff, np.uint8))
        lane.execute(command)
        found = unpack(lane.memory[result.addresses()], Precision.FX16)
        exact = np.exp(0.01 * scores)
        exact /= exact.sum(axis=1, keepdims=True)
        assert np.abs(found[:, :keys] / 32768 - exact).max() <= mfu.ERROR_BOUND
        beats = -(-keys // size.cols) * size.cols
        assert (found[:, keys:beats] == 0).all() and (found[:, beats:] == -1).all()


@pytest.mark.parametrize("size", [SMALL, LEAST])
@pytest.mark.parametrize("precision", [Precision.INT8, Precision.INT4, Precision.INT2])
def test_convert(precision, size):
    rng = np.random.default_rng(precision)
    bits = precision.bits
    for beats, shift in itertools.product((1, 3, 8), (0, 5, 16)):
        count = beats * size.cols
        values = rng.integers(-32768, 32768, (4, count))
        lane = Lane(size)
        command = Command(op=LaneOp.CONVERT, out=precision, m=4, k_chunks=beats, shift=shift, a_base=0, a_stride=9,
                          c_base=200, c_stride=10)
        put(lane, regions(command, size)[0][0], values, Precision.FX16)
        lane.execute(command)
        low = unpack(lane.memory[regions(command, size)[1][0].addresses()], precision, count)
        assert low.tolist() == [[requantized(int(v), shift, bits) for v in row] for row in values]
        back = Command(op=LaneOp.CONVERT, precision=precision, m=4, k_chunks=beats, shift=shift, a_base=200,
                       a_stride=10, c_base=300, c_stride=9)
        lane.execute(back)
        wide = unpack(lane.memory[regions(back, size)[1][0].addresses()], Precision.FX16, count)
        assert wide.tolist() == [[max(-32768, min(32767, int(v) << shift)) for v in row] for row in low]


def attend_command(size, rng, m, keys, words, **fields):
    stride = max(1, -(-keys * words // size.bank_words)) * size.bank_words
    base = size.bank_words
    scale, scale_shift = mfu.softmax_scale(float(rng.uniform(0.0001, 0.01)))
    return Command(**dict(
        op=LaneOp.ATTEND, phase=Phase.SPARSE, m=m, keys=keys, words=words, s_base=0, s_stride=size.words_for(1, keys),
        a_base=base, a_stride=words, b_base=2 * base, b_stride=words, v_base=4 * base, v_stride=words,
        copy_stride=stride, c_base=8 * base, c_stride=words, shift=14, out_shift=15, scale=scale,
        scale_shift=scale_shift, count=5) | fields)


def fill_attention(lane, command, rng):
    """Random scores, queries, keys and values where an ATTEND reads them; returns the four matrices."""
    size = lane.size
    columns = command.words * size.per_word(Precision.FX16)
    scores = rng.integers(-128, 128, (command.m, command.keys))
    q, k, v = (rng.integers(-3000, 3000, (rows, columns)) for rows in (command.m, command.keys, command.keys))
    values = {"s": (scores, Precision.INT8), "a": (q, 0), "b": (k, 0), "v": (v, 0)}
    for region in regions(command, size)[0]:
        put(lane, region, *values[region.name[0]])
    return scores, q, k, v


@pytest.mark.parametrize("size", [SMALL, ONE_STREAM])
@pytest.mark.parametrize("mode", list(Mode))
def test_attend(size, mode):
    """Scores and sums element by element; the counts from the Scheduler's own account."""
    rng = np.random.default_rng([size.vectors_per_cycle, mode])
    for m, keys, words, threshold, count in ((7, 21, 2, 40, 5), (4, 32, 1, 127, 32), (1, 3, 1, -128, 1),
                                             (6, 9, 2, 110, 40 % 9)):
        command = attend_command(size, rng, m, keys, words, mode=mode, threshold=threshold, count=count)
        lane = Lane(size)
        scores, q, k, v = fill_attention(lane, command, rng)
        statistics = lane.execute(command)
        columns = q.shape[1]
        found = unpack(lane.memory[regions(command, size)[1][0].addresses()], Precision.FX16, columns)
        for i in range(m):
            if mode is Mode.THRESHOLD:
                chosen = [j for j in range(keys) if scores[i, j] >= threshold]
            else:
                chosen = sorted(range(keys), key=lambda j: (-scores[i, j], j))[:count]
            assert statistics.mask[i].nonzero()[0].tolist() == sorted(chosen)
            if not chosen:
                assert not found[i].any()
                continue
            row = [requantized(sum(int(x) * int(y) for x, y in zip(q[i], k[j])), command.shift, 16) for j in chosen]
            weights = mfu.softmax(np.array([row]), None, command.scale, command.scale_shift)[0]
            assert found[i].tolist() == [
                requantized(sum(int(w) * int(v[j, c]) for w, j in zip(weights, chosen)), command.out_shift, 16)
                for c in range(columns)]
        account = scheduler.loads(statistics.mask, size.tokens)
        assert (statistics.key_reads, statistics.value_reads) == (account.out_of_order,) * 2
        groups = [statistics.mask[i:i + size.tokens] for i in range(0, m, size.tokens)]
        empty = sum(not group.any() for group in groups)
        assert (statistics.rounds, statistics.connections) == (account.rounds - empty, account.row_by_row)


# ---- refusals ---------------------------------------------------------------------------------------------------


GEMM = Command(op=LaneOp.GEMM, m=4, n_tiles=1, k_chunks=2, a_base=0, a_stride=1, b_base=128, b_stride=1, c_base=256,
               c_stride=1)
ATTEND = attend_command(SMALL, np.random.default_rng(0), 4, 8, 1)


@pytest.mark.parametrize("command, field, change", [
    (GEMM, "op", dict(op=4)), (GEMM, "phase", dict(phase=8)), (GEMM, "precision", dict(precision=4)),
    (GEMM, "m", dict(m=0)), (GEMM, "m", dict(m=1281)), (GEMM, "n_tiles", dict(n_tiles=0)),
    (GEMM, "k_chunks", dict(k_chunks=0)), (GEMM, "k_chunks", dict(k_chunks=1025)), (GEMM, "shift", dict(shift=62)),
    (GEMM, "out_shift", dict(out_shift=-1)), (GEMM, "copies", dict(copies=5)),
    (GEMM, "transposed", dict(transposed=True, precision=Precision.INT8)), (GEMM, "a_base", dict(a_base=1280)),
    (GEMM, "a", dict(a_base=1279)), (GEMM, "a", dict(a_base=256)), (GEMM, "b", dict(b_base=64)),
    (GEMM, "c", dict(c_stride=0)), (GEMM, "copy_stride", dict(copies=2, copy_stride=4)),
    (ATTEND, "keys", dict(keys=33)), (ATTEND, "words", dict(words=3)), (ATTEND, "threshold", dict(threshold=128)),
    (ATTEND, "count", dict(mode=Mode.BALANCED, count=0)), (ATTEND, "mode", dict(mode=2)),
    (ATTEND, "scale", dict(scale=65536)), (ATTEND, "scale_shift", dict(scale_shift=32)),
    (ATTEND, "copies", dict(copies=2)), (ATTEND, "a", dict(a_base=20)), (ATTEND, r"b\+1", dict(copy_stride=16)),
    (Command(op=LaneOp.SOFTMAX), "keys", dict(keys=0)),
    (Command(op=LaneOp.CONVERT, k_chunks=1), "out", dict(out=Precision.FX16)),
    (Command(op=LaneOp.CONVERT, k_chunks=1), "out", dict(precision=Precision.INT4, out=Precision.INT8)),
    (Command(op=LaneOp.CONVERT, out=Precision.INT8, c_base=9), "k_chunks", dict(k_chunks=0)),
])
def test_refusals(command, field, change):
    """An illegal command names the field and says what is allowed."""
    with pytest.raises(ValueError, match=f"^{field} .*must be"):
        dataclasses.replace(command, **change).check(SMALL)


def test_legal_commands_pass():
    GEMM.check(SMALL)
    ATTEND.check(SMALL)
    assert Command.from_fields(GEMM.fields()) == GEMM and Command.from_fields(ATTEND.fields()) == ATTEND
    assert GEMM.fields()["copies"] == 0 and set(GEMM.fields()) == {spec.name for spec in dataclasses.fields(Command)}


def test_memory_never_written_is_not_read():
    lane = Lane(SMALL)
    with pytest.raises(ValueError, match="never written, in the row at word 0"):
        lane.execute(GEMM)


def test_copies_must_agree():
    rng = np.random.default_rng(4)
    lane = Lane(SMALL)
    fill_attention(lane, ATTEND, rng)
    lane.memory[ATTEND.b_base + ATTEND.copy_stride, 0] ^= 1
    with pytest.raises(ValueError, match="copy 1"):
        lane.execute(ATTEND)


def test_region_addresses():
    assert Region("a", 5, 10, 2, 3).addresses().tolist() == [[5, 6, 7], [15, 16, 17]]


# ---- whole heads ------------------------------------------------------------------------------------------------


def run_head(job, size, mode):
    """Every stage's result checked; returns the program, the lane and the statistics."""
    program = plan_head(job, size, mode)
    expected = integer_head(job, mode)
    lane = Lane(size)
    for address, words in program.writes:
        lane.write(address, words)
    statistics = []
    for stage in program.stages:
        statistics.append(lane.execute(stage.command))
        assert (stage.result(lane.memory) == expected[stage.name]).all(), stage.name
    assert (program.z.result(lane.memory) == expected["z"]).all()
    return program, lane, statistics


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("precision", [Precision.INT8, Precision.INT4, Precision.INT2])
@pytest.mark.parametrize("size, sizes", [
    (SMALL, dict()), (SMALL, dict(tokens=13, inputs=19, width=6)), (SMALL, dict(tokens=2, inputs=5)),
    (SMALL, dict(tokens=16, kind="svd", rank=5, width=16)), (ONE_STREAM, dict(tokens=7, inputs=40)),
    (PAPER, dict(tokens=50, inputs=99, width=32)), (PAPER, dict(tokens=128, inputs=383, width=64))])
def test_head(size, sizes, precision, mode):
    run_head(synthetic_head_job(precision=precision, **sizes), size, mode)


def test_dense_head_against_float():
    """The lane's Z is plain attention in floating point, up to 16-bit arithmetic."""
    job = synthetic_head_job(tokens=24, inputs=31, width=8)
    program, lane, _ = run_head(job, ONE_STREAM, "dense")
    real = program.z.result(lane.memory) * job.scales["z"]
    assert np.abs(real - job.reference_z).max() < 0.004 * np.abs(job.reference_z).max()


def test_all_connections_equal_dense():
    """ATTEND with every key selected gives the dense result: same arithmetic on another path."""
    job = dataclasses.replace(synthetic_head_job(tokens=20, inputs=15, width=8), count=20)
    _, dense, _ = dense_run = run_head(job, SMALL, "dense")
    balanced_run = run_head(job, SMALL, "balanced")
    assert (dense_run[0].z.result(dense.memory) == balanced_run[0].z.result(balanced_run[1].memory)).all()
    assert balanced_run[2][-1].connections == 400


@pytest.mark.parametrize("mode", MODES)
def test_head_too_long_names_the_greatest(mode):
    job = synthetic_head_job(tokens=33, inputs=31, width=8)
    with pytest.raises(ValueError, match="tokens = 33 is not allowed.*at most (32|[12].)$") as error:
        plan_head(job, SMALL, mode)
    greatest = int(str(error.value).split()[-1])
    plan_head(synthetic_head_job(tokens=greatest, inputs=31, width=8), SMALL, mode)


def test_head_refusals():
    job = synthetic_head_job()
    with pytest.raises(ValueError, match="mode = 'sparse'"):
        plan_head(job, SMALL, "sparse")
    with pytest.raises(ValueError, match="width = 24"):
        plan_head(synthetic_head_job(width=24), SMALL, "balanced")
    with pytest.raises(ValueError, match="p holds"):
        plan_head(dataclasses.replace(job, p=job.p * 100), SMALL, "balanced")


def test_paper_lane_holds_a_minilm_head():
    """256 tokens, 384 inputs, width 32: the main workload fits in 10 x 64 KB, in every mode."""
    job = synthetic_head_job(tokens=256, inputs=383, width=32)
    for mode in MODES:
        program = plan_head(job, PAPER, mode)
        assert program.z.region.rows == 256
