# amaranth: UnusedElaboratable=no
"""The checked connect refuses what differs in shape, and connects the rest."""

import pytest
from amaranth.hdl import Module, signed
from amaranth.lib import data, enum, stream, wiring

from hw.stream.connect import connect


class Mode(enum.Enum, shape=2):
    A = 0
    B = 1


class OtherMode(enum.Enum, shape=2):
    C = 0


AB = data.StructLayout({"a": 4, "b": 4})
BA = data.StructLayout({"b": 4, "a": 4})


def pair(one, other):
    return wiring.flipped(stream.Signature(one).create()), stream.Signature(other).create()


@pytest.mark.parametrize("one, other", [(8, signed(8)), (AB, BA), (AB, 8), (Mode, OtherMode), (Mode, 2), (7, 8)])
def test_different_shapes_are_refused(one, other):
    with pytest.raises(wiring.ConnectionError, match="payload"):
        connect(Module(), *pair(one, other))
    with pytest.raises(wiring.ConnectionError, match="payload"):
        connect(Module(), *pair(other, one))


@pytest.mark.parametrize("one, other", [(8, 8), (AB, data.StructLayout({"a": 4, "b": 4})), (Mode, Mode),
                                        (signed(3), signed(3))])
def test_equal_shapes_are_connected(one, other):
    connect(Module(), *pair(one, other))


def test_keyword_arguments_are_named():
    source, sink = pair(8, signed(8))
    with pytest.raises(wiring.ConnectionError, match="'source'.*'sink'"):
        connect(Module(), source=source, sink=sink)
