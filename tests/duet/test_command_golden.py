"""Commands of the DUET accelerator: their word, refusals, their text."""

import dataclasses

import pytest

from golden.duet.command import CellOp, Command, CopyOp, Engine, WorkOp

WIDTHS = {"engine": 2, "op": 2, "wait": 4, "signal": 4, "flags": 8, "a": 32, "b": 16, "c": 16, "d": 16}


def test_word():
    """Fields from the low bits on, in the order of the page's table."""
    assert Command(Engine.DMA, CopyOp.LOAD).word() == 0
    shift = 0
    for name, bits in WIDTHS.items():
        ones = (1 << bits) - 1
        assert Command(**{"engine": 0, "op": 0, name: ones}).word() == ones << shift, name
        shift += bits
    assert shift == 100
    command = Command(Engine.EXEC, WorkOp.GATE, wait=1, signal=8, flags=1, a=0x50002, b=3, c=4, d=5)
    assert command.word() == 2 | 3 << 2 | 1 << 4 | 8 << 8 | 1 << 12 | 0x50002 << 20 | 3 << 52 | 4 << 68 | 5 << 84


@pytest.mark.parametrize("field", WIDTHS)
def test_refuses(field):
    for value in (-1, 1 << WIDTHS[field]):
        with pytest.raises(ValueError, match=f"{field} = {value} is not allowed"):
            Command(**{"engine": 0, "op": 0, field: value})
    with pytest.raises(TypeError):
        Command(**{"engine": 0, "op": 0, field: 0.5})


def test_engines():
    command = Command(Engine.SPEC, WorkOp.TILE, wait=0b0111, signal=0b1000)
    assert command.waits_for() == [Engine.DMA, Engine.EXEC]  # its own bit is not used
    assert command.signals_to() == [Engine.CELL]
    with pytest.raises(dataclasses.FrozenInstanceError):
        command.wait = 0


def test_order_of_an_engine():
    for command in (Command(Engine.CELL, CellOp.UPDATE), Command(Engine.DMA, CopyOp.LOAD),
                    Command(Engine.SPEC, WorkOp.CONFIG), Command(Engine.EXEC, WorkOp.CONFIG)):
        assert command.waits_for_own()
    for op in (WorkOp.FILL, WorkOp.TILE, WorkOp.GATE):
        assert not Command(Engine.EXEC, op).waits_for_own() and not Command(Engine.SPEC, op).waits_for_own()


def test_text():
    assert str(Command(Engine.DMA, CopyOp.STORE, a=16, c=2, signal=4)) == "DMA STORE signal=0x4 a=0x10 c=0x2"
    assert str(Command(Engine.CELL, 3)) == "CELL 3"
