"""The GlobalBuffer's golden model: worked examples and refusals."""

import numpy as np
import pytest

from golden.duet.global_buffer import GlobalBuffer, LineWrite, ReadRequest, SegmentWrite, grants


def buffer():
    return GlobalBuffer(cols=2, segment=4, lines=3, map_lines=2)


def segment(column=1, mask=(1, 0, 0, 1), data=(1, 2, 3, -4), map=(1, 1, 0, 0), **places):
    return SegmentWrite(column=column, mask=np.array(mask), data=np.array(data), map=np.array(map), **places)


def test_priorities():
    both, words, bits = (ReadRequest(data_address=0, map_address=0), ReadRequest(data_address=1),
                         ReadRequest(map_address=1))
    assert grants([both, words, bits]) == [True, False, False]
    assert grants([words, both, bits]) == [True, False, True]  # who is passed by keeps nobody from being served
    assert grants([None, bits, words]) == [False, True, True]
    assert grants([ReadRequest(), both]) == [True, True]


def test_writes_and_reads():
    model = buffer()
    model.write(LineWrite(data_address=2, map_address=None, data=np.arange(8), map=np.zeros(8, dtype=bool)))
    model.write(segment(data_address=2, map_address=1))
    words, bits = model.read(ReadRequest(data_address=2, map_address=1))
    assert words.tolist() == [0, 1, 2, 3, 1, 5, 6, -4] and bits.tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    assert model.read(ReadRequest()) == (None, None)


def test_reads_see_the_old_contents():
    model = buffer()
    writes = [segment(data_address=0), segment(data_address=1)]
    answers, served = model.step([None, ReadRequest(data_address=0)], writes)
    assert answers[0] is None and not answers[1][0].any() and served == [True, False]
    assert model.data[0].any() and not model.data[1].any()


@pytest.mark.parametrize("error, request_, message", [
    (IndexError, segment(data_address=3), "address = 3"), (IndexError, segment(map_address=2), "address = 2"),
    (IndexError, segment(column=2), "column = 2"),
    (ValueError, segment(data_address=0, data=[1 << 15] * 4), "data holds"),
    (ValueError, segment(data_address=0, data=[0] * 3), "data has shape"),
    (ValueError, segment(mask=[1, 2, 0, 0]), "mask"), (ValueError, segment(map_address=0, map=[1]), "map"),
])
def test_refuses(error, request_, message):
    with pytest.raises(error, match=message):
        buffer().write(request_)
