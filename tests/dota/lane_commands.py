"""Random legal commands of the lane, and what its page says of the time a GEMM takes."""

from golden.arith.precision import Precision
from golden.dota.detector import Mode
from golden.dota.program import Command, LaneOp, Phase, regions

LOW = (Precision.INT8, Precision.INT4, Precision.INT2)


def gemm_steps(command, size):
    """Cycles to load a tile, cycles each step streams, words of a result: the page's l, r or r w of each step, w."""
    lanes = command.precision.tile[1]
    loads = size.cols if command.transposed else size.rows * lanes
    words = max(1, lanes * command.out.bits // 16)
    steps = []
    for first in range(0, command.m, size.psum_depth):
        rows = min(size.psum_depth, command.m - first)
        steps += ([rows] * (command.k_chunks - 1) + [rows * words]) * command.n_tiles
    return loads, steps, words


def upto(rng, most, corner=0.2):
    """A random number from 1 to ``most``; the ends are more probable."""
    if rng.random() < corner:
        return 1 if rng.random() < 0.5 else most
    return int(rng.integers(1, most + 1))


def random_command(rng, size, op=None):
    """A legal command with every region somewhere in the memory."""
    op = LaneOp(rng.integers(4)) if op is None else op
    make = {LaneOp.GEMM: _random_gemm, LaneOp.SOFTMAX: _random_softmax, LaneOp.CONVERT: _random_convert,
            LaneOp.ATTEND: _random_attend}[op]
    while True:
        fields = dict(op=op, phase=Phase(rng.integers(8)), **make(rng, size))
        for _ in range(30):
            command = Command(**fields, **_random_places(rng, size, fields))
            try:
                command.check(size)
            except ValueError:
                continue
            return command


def _random_gemm(rng, size):
    precision, out = (Precision(rng.integers(4)) for _ in range(2))
    chunks = upto(rng, 5)
    width = size.chunk(precision) * chunks
    # Around the size of the sums of random operands, so that results are neither all zero nor all saturated.
    middle = 2 * (precision.bits - 1) + width.bit_length() // 2 - out.bits
    return dict(precision=precision, out=out, transposed=precision is Precision.FX16 and rng.random() < 0.4,
                m=upto(rng, min(40, size.psum_depth + 9)), n_tiles=upto(rng, 3), k_chunks=chunks,
                shift=0 if rng.random() < 0.1 else max(0, middle + int(rng.integers(-2, 3))),
                copies=upto(rng, min(4, size.banks - 3)) if rng.random() < 0.3 else 1)


def _random_softmax(rng, size):
    return dict(m=upto(rng, 9), keys=upto(rng, size.max_keys), scale=int(rng.integers(65536)),
                scale_shift=int(rng.integers(32)))


def _random_convert(rng, size):
    low = LOW[rng.integers(3)]
    both = dict(precision=Precision.FX16, out=low) if rng.random() < 0.5 else dict(precision=low, out=Precision.FX16)
    return dict(both, m=upto(rng, 9), k_chunks=upto(rng, 20), shift=int(rng.integers(20)))


def _random_attend(rng, size):
    keys = upto(rng, size.max_keys)
    mode = Mode(rng.integers(2))
    count = upto(rng, size.max_keys) if rng.random() < 0.2 else upto(rng, max(1, keys // 3))
    threshold = rng.choice([-128, 127, *rng.integers(-128, 128, 3), *rng.integers(80, 128, 3)])
    return dict(m=upto(rng, 3 * size.tokens + 1), keys=keys, words=upto(rng, size.max_words, 0.6), mode=mode,
                count=count, threshold=int(threshold),
                shift=int(rng.integers(12, 18)), out_shift=int(rng.integers(13, 18)), scale=int(rng.integers(65536)),
                scale_shift=int(rng.integers(12, 30)))


def _random_places(rng, size, fields):
    """Random strides and bases. Copies are a whole number of banks apart."""
    places = {}
    trial = Command(**fields)
    reads, writes = regions(trial, size)
    for region in {region.name[0]: region for region in reads + writes[:1]}.values():
        stride = region.words + (int(rng.integers(4)) if rng.random() < 0.3 else 0)
        extent = (region.rows - 1) * stride + region.words
        if extent > size.words:
            stride, extent = region.words, region.rows * region.words
        base = int(rng.integers(max(1, size.words - extent)))
        if rng.random() < 0.7:
            base -= base % size.bank_words
        places |= {f"{region.name[0]}_base": base, f"{region.name[0]}_stride": stride}
    if fields["op"] is LaneOp.ATTEND or fields.get("copies", 1) > 1:
        places["copy_stride"] = size.bank_words * upto(rng, 3)
    return places
