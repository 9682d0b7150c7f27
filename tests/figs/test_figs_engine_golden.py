"""The engine's model against plain shift registers: random words and commands, every error, all three arrays."""

import numpy as np
import pytest

from golden.figs import figs_engine
from golden.figs.errors import Error
from golden.figs.figs_engine import Command
from golden.figs.program import Program, pack
from golden.figs.sizes import Sizes
from tests.figs.matrices import random_sizes
from tests.figs.plain_engine import replay

ARRAYS = (dict(), dict(array="dense"), dict(array="mux", window=4), dict(array="mux", window=16))


def random_job(rng, sizes, commands=4):
    """Words of random bits, commands of which some are bad, enough beats."""
    memory = [int.from_bytes(rng.bytes(-(-sizes.word_bits // 8)), "little") & (1 << sizes.word_bits) - 1
              for _ in range(sizes.words)]
    found = []
    for _ in range(commands):
        group = int(rng.integers(0, sizes.slots.bit_length() + (rng.random() < 0.1)))
        found.append(Command(int(rng.integers(0, sizes.words)), int(rng.integers(0, 12)), group))
    beats = rng.integers(-128, 128, (sum(command.cycles for command in found) + 1, sizes.beat_values))
    return memory, found, beats


@pytest.mark.parametrize("changes", ARRAYS, ids=lambda changes: "-".join(map(str, changes.values())) or "figs")
def test_against_shift_registers(changes):
    """Sums, errors and beats of random jobs; every error must come up, alone too."""
    rng, seen = np.random.default_rng(1), set()
    for step in range(60):
        sizes = random_sizes(rng, depths=range(1, 5), words=int(rng.integers(4, 17)), **changes)
        if step % 3 == 0:  # few selects: passes without an error
            sizes = random_sizes(rng, alphas=(0, 1), depths=(1,), largest=2, words=16, **changes)
        memory, commands, beats = random_job(rng, sizes, commands=1 + step % 4)
        result = figs_engine.run(sizes, memory, commands, beats)
        passes, errors = replay(sizes, memory, commands, beats.tolist())
        assert result.errors == errors
        expected = [[sum(operand * weight for operand, weight in found.products[r, c, j] if operand is not None)
                     for c in range(sizes.columns) for j in range(sizes.beta)]
                    for found in passes for r in reversed(range(sizes.rows))]
        np.testing.assert_array_equal(result.y, np.array(expected).reshape(result.y.shape))
        # A pass takes a beat at least, a dropped command none.
        assert [len(span) for span in result.consumed if span] == [found.beats for found in passes]
        assert all(span.start == last for span, last in
                   zip(result.consumed, np.cumsum([0] + [len(span) for span in result.consumed])))
        seen |= {int(result.errors)} | {bit for bit in Error if bit in result.errors}
    wanted = {0, Error.COMMAND, Error.START}
    if not changes:
        wanted |= set(Error)
    assert wanted <= seen, seen


def test_a_command_that_is_dropped():
    """No cycles, too large a group, words beyond the memory; the next command goes on with the same beat."""
    sizes = Sizes.preset("small", words=4)
    program = Program(4, np.array([True]), np.ones((1, 4, 2, 2), int), exchange=np.zeros(1, int),
                      use=np.ones((1, 4, 2), bool), select=np.zeros((1, 4, 2), int))
    memory = [0, 0, 0, *pack(sizes, program)]
    good, beats = Command(3, 1, 2), np.array([[1, 2, 3, 4]])
    for bad in (Command(0, 0, 0), Command(0, 1, 3), Command(3, 2, 2), Command(2, 9, 0), Command(4, 1, 0)):
        result = figs_engine.run(sizes, memory, [bad, good], beats)
        assert result.errors == Error.COMMAND
        assert result.consumed == [range(0), range(0, 1)]
        assert result.y.tolist() == [[4] * 4, [3] * 4, [2] * 4, [1] * 4]  # the last row first
    for last in (Command(2, 8, 0), Command(3, 2, 1), Command(0, 4, 2)):  # up to the last word
        result = figs_engine.run(sizes, memory, [last], np.zeros((8, 4), int))
        assert Error.COMMAND not in result.errors and result.consumed[0] and len(result.y) == 4


def test_exchange_and_start():
    """Rows exchanged in the group by exclusive or; a bad exchange is 0; a first cycle always advances."""
    sizes = Sizes.preset("small")
    beats = np.array([[1, 2, 3, 4]])
    for exchange, advance, rows, error in ((2, 1, [3, 4, 1, 2], 0), (1, 1, [1, 2, 3, 4], Error.EXCHANGE),
                                           (3, 1, [1, 2, 3, 4], Error.EXCHANGE), (2, 0, [3, 4, 1, 2], Error.START),
                                           (1, 0, [1, 2, 3, 4], Error.START | Error.EXCHANGE)):
        program = Program(4, np.array([advance]), np.ones((1, 4, 2, 2), int), exchange=np.array([exchange]),
                          use=np.ones((1, 4, 2), bool), select=np.zeros((1, 4, 2), int))
        result = figs_engine.run(sizes, pack(sizes, program), [Command(0, 1, 2)], beats)
        assert result.y[::-1, 0].tolist() == rows and result.errors == error
    program = Program(2, np.array([1]), np.ones((1, 2, 2, 2), int), exchange=np.array([2]),
                      use=np.ones((1, 2, 2), bool), select=np.zeros((1, 2, 2), int))
    result = figs_engine.run(sizes, pack(sizes, program), [Command(0, 1, 1)], beats)  # 2 is out of a group of two
    assert result.y[::-1, 0].tolist() == [1, 2, 3, 4] and result.errors == Error.EXCHANGE


def test_refuses():
    sizes = Sizes.preset("small", array="dense", sum_bits=16)
    memory = pack(sizes, Program(1, np.ones(3, bool), np.full((3, 1, 2, 2), 127)))
    command, beats = Command(0, 3, 0), np.full((3, 4), 127)
    with pytest.raises(ValueError, match="sum_bits = 16 .* 48387"):
        figs_engine.run(sizes, memory, [command], beats)
    figs_engine.run(sizes, memory, [command], beats // 2)
    with pytest.raises(ValueError, match="beats = 2 are not allowed: the commands take at least 3"):
        figs_engine.run(sizes, memory, [command], beats[:2] // 2)
    with pytest.raises(ValueError, match="memory = 2 words .* words 0 to 2"):
        figs_engine.run(sizes, memory[:2], [command], beats)
    with pytest.raises(ValueError, match=r"must be \(beats, 4\)"):
        figs_engine.run(sizes, memory, [command], beats[:, :3])
    with pytest.raises(ValueError, match="beats holds 128"):
        figs_engine.run(sizes, memory, [command], beats + 1)


@pytest.mark.parametrize("values, name", [((-4, 1, 0), "base = -4"), ((0, -1, 0), "cycles = -1"),
                                          ((0, 1, -1), "group = -1"), ((0.0, 1, 0), "base = 0.0"),
                                          ((0, 1, True), "group = True")])
def test_refuses_commands_that_no_port_carries(values, name):
    """Not even with a memory of which a negative slice would give a program."""
    sizes = Sizes.preset("small", array="dense", words=4)
    memory = pack(sizes, Program(1, np.ones(4, bool), np.ones((4, 1, 2, 2), int)))
    with pytest.raises(ValueError, match=f"{name} is not allowed: .* of a command must be an integer, at least 0"):
        figs_engine.run(sizes, memory, [values], np.ones((4, 4), int))
    assert not figs_engine.run(sizes, memory, np.array([(0, 1, 0)]), np.ones((4, 4), int)).errors


def test_refuses_words_that_the_memory_cannot_hold():
    """Words of 33 bits, in five octets: a bit above them is no spare one."""
    sizes = Sizes.preset("small", array="dense", words=4)
    assert sizes.word_bits == 33
    memory, beats = pack(sizes, Program(1, np.ones(4, bool), np.ones((4, 1, 2, 2), int))), np.ones((1, 4), int)
    for word, error, message in ((1 << 33, ValueError, r"word 3 = 0x200000000 .* from 0 to 2\^33 - 1"),
                                 (1 << 40, ValueError, "word 3"), (-1, ValueError, "word 3 = -0x1"),
                                 (1.5, TypeError, "word 3 must be of an integer type, not float")):
        with pytest.raises(error, match=message):
            figs_engine.run(sizes, [*memory[:3], word], [Command(0, 1, 0)], beats)
    with pytest.raises(ValueError, match="memory = 5 words is not allowed: the engine has 4"):
        figs_engine.run(sizes, [*memory, 0], [Command(0, 1, 0)], beats)
    figs_engine.run(sizes, [*memory[:3], (1 << 33) - 1], [Command(0, 1, 0)], beats)
