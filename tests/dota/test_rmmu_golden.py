"""The RMMU's golden model against sums of Python's own integers, and its refusals."""

import numpy as np
import pytest

from golden.arith.precision import Precision
from golden.dota.rmmu import LoadKind, PeOp, Rmmu, chunk_elements, join_segments, split_segments


def pack_elements(values, bits):
    """Plain Python packing, independent of the model's: element 0 in the low bits."""
    return sum((int(value) & ((1 << bits) - 1)) << bits * i for i, value in enumerate(values))


@pytest.mark.parametrize("mode", list(Precision))
def test_model_matrix_product(mode):
    """Tiles of a matrix product, element by element, against Python's own integers."""
    rng = np.random.default_rng(7)
    rows, cols, chunks = 4, 4, 3
    length, lanes = mode.tile
    chunk, low = chunk_elements(mode, cols), -(1 << mode.bits - 1)
    stationary = rng.integers(low, -low, (rows * lanes, chunks * chunk))
    streamed = rng.integers(low, -low, (5, chunks * chunk))
    stationary[0], streamed[0] = low, low
    model = Rmmu(rows, cols, 1, 8)
    found = np.zeros((5, rows * lanes), np.int64)
    for c in range(chunks):
        part = slice(c * chunk, (c + 1) * chunk)
        for row in range(rows):
            for lane in range(lanes):
                values = stationary[row * lanes + lane, part]
                if mode is Precision.FX16:
                    model.load(pack_elements(values, 16), LoadKind.HALF, row)
                else:
                    model.load(pack_elements(values, mode.bits), LoadKind.WORD, row, lane)
        for i in range(5):
            half = c % 2 if mode is Precision.FX16 else 0
            data = pack_elements(streamed[i, part], mode.bits) << (16 * cols * half)
            result = model.beat([data], [dict(op=PeOp.DOT, mode=mode, swap=i == 0, half=half)] * rows, index=i,
                                first=c == 0, last=c == chunks - 1)
            assert (result is None) == (c < chunks - 1)
            if result is not None:
                found[i] = split_segments(result, mode).reshape(-1)
    assert found.tolist() == [[sum(int(a) * int(b) for a, b in zip(row, weights)) for weights in stationary]
                              for row in streamed]


def test_model_loads_and_accumulators():
    """COLUMN and PAIR place elements as documented; MAC forms outer products."""
    rng = np.random.default_rng(8)
    model = Rmmu(4, 2, 1, 4)
    elements = rng.integers(-32768, 32768, (2, 4))
    for col in range(2):
        model.load(pack_elements(elements[col], 16), LoadKind.COLUMN, col=col)
    dot = [dict(op=PeOp.DOT, mode=Precision.FX16, swap=1, half=1)] * 4
    streamed = rng.integers(-32768, 32768, 4)
    result = split_segments(model.beat([pack_elements(streamed, 16)], dot), Precision.FX16)[:, 0]
    assert result.tolist() == [sum(int(streamed[2 + c]) * int(elements[c, r]) for c in range(2)) for r in range(4)]
    for row in (0, 2):
        model.load(pack_elements(elements[row // 2], 16), LoadKind.PAIR, row=row)
    result = split_segments(model.beat([pack_elements(streamed, 16)], dot), Precision.FX16)[:, 0]
    assert result.tolist() == [sum(int(streamed[2 + c]) * int(elements[r // 2, 2 * (r % 2) + c]) for c in range(2))
                               for r in range(4)]
    operands = rng.integers(-32768, 32768, (3, 4))
    columns = rng.integers(-32768, 32768, (3, 4))
    for step in range(3):
        mac = [dict(op=PeOp.MAC, first=step == 0)] * 4
        model.beat([pack_elements(columns[step], 16)], mac, rows=operands[step])
    for row in range(4):
        assert model.drain(row).tolist() == [sum(int(operands[s, row]) * int(columns[s, c]) for s in range(3))
                                             for c in range(2)]


@pytest.mark.parametrize("mode", list(Precision))
def test_model_holds_4096_products(mode):
    """The greatest sum over K = 4096 fits; the field's first overflow is refused, not wrapped."""
    largest = 4096 << 2 * (mode.bits - 1)
    lanes = mode.tile[1]
    assert split_segments(join_segments(np.full((1, lanes), largest), mode), mode).tolist() == [[largest] * lanes]
    if lanes > 1:
        with pytest.raises(ValueError, match="field"):
            join_segments(np.full((1, lanes), 1 << 64 // lanes - 1), mode)


def test_model_refuses():
    """What the hardware leaves unspecified or cannot hold is an error that names the field."""
    model = Rmmu(4, 2, 1, 4)
    dot = [dict(op=PeOp.DOT, mode=Precision.INT8)] * 4
    with pytest.raises(ValueError, match="mode = INT8"):
        model.beat([0], dot)
    for row in range(4):
        model.load(0, LoadKind.WORD, row)
    swapped = [entry | dict(swap=1) for entry in dot]
    model.beat([0], swapped, index=1)
    with pytest.raises(ValueError, match="first = 0"):
        model.beat([0], dot, index=2, first=False)
    model.load(0, LoadKind.HALF, 3)
    with pytest.raises(ValueError, match="mode = INT8"):
        model.beat([0], swapped)
    for name, wrong in (("row", dict(row=4)), ("lane", dict(lane=4)), ("row", dict(kind=LoadKind.PAIR, row=1)),
                        ("half", dict(kind=LoadKind.HALF, half=2)), ("col", dict(kind=LoadKind.COLUMN, col=2)),
                        ("data", dict(data=1 << 64))):
        with pytest.raises(ValueError, match=name):
            model.load(**(dict(data=0) | wrong))
    for name, wrong in (("index", dict(index=4)), ("cols", dict(cols=[1 << 64])), ("cols", dict(cols=[0, 0])),
                        ("control", dict(control=dot[:3])), ("op", dict(control=[dict(op=3)] * 4))):
        with pytest.raises(ValueError, match=name):
            model.beat(**(dict(cols=[0], control=[dict(op=PeOp.NOP)] * 4) | wrong))
    with pytest.raises(ValueError, match="row = 0"):
        model.drain(0)
    with pytest.raises(ValueError, match="rows"):
        model.beat([0], [dict(op=PeOp.MAC, first=1)] * 4)
    with pytest.raises(ValueError, match="psum_depth"):
        Rmmu(4, 2, 1, 0)
