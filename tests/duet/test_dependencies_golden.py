"""Tokens follow from what commands come after."""

import pytest

from golden.duet.command import CellOp, Command, CopyOp, Engine, WorkOp
from golden.duet.dependencies import Dependencies


def load(line):
    return Command(Engine.DMA, CopyOp.LOAD, b=line, c=1)


def tile(line):
    return Command(Engine.EXEC, WorkOp.TILE, b=line)


def streams(given):
    """{engine: [(b, wait, signal)]}"""
    commands = given.queues().merge()
    return {engine: [(c.b, c.wait, c.signal) for c in commands if c.engine == engine] for engine in Engine}


def test_a_token_for_each():
    given = Dependencies()
    first, second = given.add(load(0)), given.add([load(1), load(2)])
    given.add(tile(0), after=[first])
    given.add(tile(1), after=[second])
    assert streams(given)[Engine.DMA] == [(0, 0, 4), (1, 0, 0), (2, 0, 4)]
    assert streams(given)[Engine.EXEC] == [(0, 1, 0), (1, 1, 0)]


def test_what_was_waited_for_needs_no_token():
    """A later command of the giver has been waited for, or the same one, or the engine is the own one."""
    given = Dependencies()
    first, second = given.add(load(0)), given.add(load(1))
    own = given.add(tile(0), after=[first, second])
    given.add(tile(1), after=[first])
    given.add(tile(2), after=[second, own])
    assert streams(given)[Engine.DMA] == [(0, 0, 0), (1, 0, 4)]
    assert [wait for _, wait, _ in streams(given)[Engine.EXEC]] == [1, 0, 0]


def test_one_token_for_several_takers():
    given = Dependencies()
    first = given.add(load(0))
    given.add(tile(0), after=[first])
    given.add(Command(Engine.CELL, CellOp.CONFIG), after=[first])
    assert streams(given)[Engine.DMA] == [(0, 0, 1 << Engine.EXEC | 1 << Engine.CELL)]


def test_only_the_first_of_several_waits():
    given = Dependencies()
    given.add([tile(0), tile(1)], after=[given.add(load(0))])
    assert [wait for _, wait, _ in streams(given)[Engine.EXEC]] == [1, 0]


def test_circles_are_refused():
    given = Dependencies()
    given.add(load(0), after=[(Engine.EXEC, 0)])
    given.add(tile(0), after=[(Engine.DMA, 0)])
    with pytest.raises(ValueError, match="never come"):
        given.queues().merge()
