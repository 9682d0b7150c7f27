"""Golden model of the engine: programs and commands in, x in, y out, errors; one frame for the three arrays."""

import dataclasses
import typing

import numpy as np

from golden.arith.fixed import check_range, signed_range
from golden.figs import dense_array, figs_array, mux_array
from golden.figs.errors import Error
from golden.figs.program import check_words, program_words, unpack

__all__ = ["Command", "Result", "run"]

_ARRAYS = {"figs": figs_array, "dense": dense_array, "mux": mux_array}


class Command(typing.NamedTuple):
    """One pass: the program of ``cycles`` schedule cycles from the memory's word ``base`` on; ``group`` log2 G.

    Integers of at least 0.
    """

    base: int
    cycles: int
    group: int


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What the engine did.

    ``y`` int64 (words, columns * beta) as sent: for each pass the rows, the last first; column c, lane j is sum
    c beta + j. ``errors`` the sticky bits at the end. ``consumed``: for each command the range of beats it took, empty
    where it was dropped.
    """

    y: np.ndarray
    errors: Error
    consumed: list


def _checked(command):
    """The :class:`Command`; one that no port can carry is a ``ValueError``."""
    command = Command._make(command)
    for name, value in command._asdict().items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
            raise ValueError(f"{name} = {value!r} is not allowed: {name} of a command must be an integer, at least 0")
    return Command(*map(int, command))


def _valid(sizes, command):
    return (command.cycles > 0 and command.group < sizes.slots.bit_length()
            and command.base + program_words(sizes, command.cycles, 1 << command.group) <= sizes.words)


def _program(sizes, memory, command):
    """The program as the engine obeys it, and the error bits of its words: EXCHANGE, START."""
    group, errors = 1 << command.group, Error(0)
    stop = command.base + program_words(sizes, command.cycles, group)
    if stop > len(memory):
        raise ValueError(f"memory = {len(memory)} words is not allowed: a command reads words {command.base} to "
                         f"{stop - 1}")
    program = unpack(sizes, memory[command.base:stop], command.cycles, group)
    if not program.advance[0]:
        errors |= Error.START
        program.advance[0] = True
    if program.exchange is not None:
        wrong = (program.exchange >= group) | (program.exchange % sizes.reach != 0)
        errors |= Error.EXCHANGE * bool(wrong.any())
        program.exchange[wrong] = 0
    return program, errors


def _fed(sizes, program, beats):
    """What the array is fed in every cycle, (cycles, values of a beat)."""
    fed = beats[np.cumsum(program.advance) - 1]
    if program.exchange is None:
        return fed
    return np.take_along_axis(fed, np.arange(sizes.rows) ^ program.exchange[:, None], 1)


def run(sizes, memory, commands, beats):
    """The :class:`Result` of ``commands``, one after the other.

    Parameters: ``memory`` words of the program memory from address 0 on, at most ``words`` integers of ``word_bits``
    (see golden/figs/program.py); ``commands`` of (base, cycles, log2 G), dropped where they are not legal; ``beats``
    integers (beats, :attr:`~golden.figs.sizes.Sizes.beat_values`) of ``activation_bits``, value 0 (row 0) first.
    Raises ``ValueError`` (``TypeError`` for words and beats that are no integers) for values outside these, when beats
    run out, a word was never given, or a sum leaves ``sum_bits``.
    """
    memory = check_words(sizes, memory)
    if len(memory) > sizes.words:
        raise ValueError(f"memory = {len(memory)} words is not allowed: the engine has {sizes.words}")
    beats = check_range("beats", beats, sizes.activation_bits)
    if beats.ndim != 2 or beats.shape[1] != sizes.beat_values:
        raise ValueError(f"beats of shape {beats.shape} are not allowed: they must be (beats, {sizes.beat_values})")
    array, programs = _ARRAYS[sizes.array], {}
    y, errors, consumed, first = [np.zeros((0, sizes.columns * sizes.beta), np.int64)], Error(0), [], 0
    low, high = signed_range(sizes.sum_bits)
    for command in map(_checked, commands):
        if not _valid(sizes, command):
            errors |= Error.COMMAND
            consumed.append(range(first, first))
            continue
        if command not in programs:
            programs[command] = _program(sizes, memory, command)
        program, wrong = programs[command]
        taken = range(first, first + int(program.advance.sum()))
        if taken.stop > len(beats):
            raise ValueError(f"beats = {len(beats)} are not allowed: the commands take at least {taken.stop}")
        sums, bad = array.run(sizes, _fed(sizes, program, beats[first:taken.stop]), program)
        if sums.min() < low or sums.max() > high:
            raise ValueError(f"sum_bits = {sizes.sum_bits} is not allowed: sums go from {sums.min()} to {sums.max()}")
        errors |= wrong | bad
        y.append(sums[::-1].reshape(sizes.rows, -1))
        consumed.append(taken)
        first = taken.stop
    return Result(np.concatenate(y), errors, consumed)
