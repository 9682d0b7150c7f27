"""Words of programs: bits by hand, and back again for the three arrays."""

import dataclasses

import numpy as np
import pytest

from golden.figs.program import Program, pack, program_words, unpack
from golden.figs.sizes import Sizes


def random_program(rng, sizes, cycles, group):
    shape = (cycles, group, sizes.columns)
    half = 1 << sizes.weight_bits - 1
    program = dict(advance=rng.random(cycles) < 0.5, weights=rng.integers(-half, half, (*shape, sizes.beta)))
    if sizes.array == "figs":
        program.update(exchange=rng.integers(0, 1 << sizes.exchange_bits, cycles), use=rng.random(shape) < 0.5,
                       select=rng.integers(0, 1 << sizes.select_bits, shape))
    if sizes.array == "mux":
        program.update(index=rng.integers(0, sizes.window, (*shape, sizes.beta)))
    return Program(group, **program)


def test_bits_by_hand():
    """Preset small, G = 2: two cycles a word; a slot is 41 bits: advance, exchange (2), two entries of 1 + 2 + 16."""
    sizes = Sizes.preset("small")
    zeros = np.zeros((3, 2, 2), int)
    program = Program(2, np.array([1, 0, 1]), np.zeros((3, 2, 2, 2), int), exchange=np.array([0, 2, 3]),
                      use=zeros.astype(bool), select=zeros.copy())
    program.use[1, 1, 0] = True
    program.select[1, 1, 1] = 2
    program.weights[0, 0, 0] = 1, -1
    program.weights[2, 1, 1] = 0, -128
    first, second = pack(sizes, program)
    assert first == (1 | 1 << 3 + 3 | 0xff << 3 + 3 + 8  # cycle 0, slot 0
                     | 2 << 82 + 1  # cycle 1, slot 2: its exchange
                     | 1 << 123 + 3 | 2 << 123 + 3 + 19 + 1)  # slot 3: use in column 0, select in column 1
    assert second == 1 | 3 << 1 | 0x80 << 41 + 3 + 19 + 3 + 8


def test_bits_by_hand_of_the_rivals():
    mux = Sizes.preset("small", array="mux", window=8)
    program = Program(1, np.array([1]), np.array([[[[1, -1], [2, 3]]]]), index=np.array([[[[7, 0], [5, 6]]]]))
    assert pack(mux, program) == [1 | 7 << 1 | 1 << 4 | 0 << 12 | 0xff << 15 | 5 << 23 | 2 << 26 | 6 << 34 | 3 << 37]
    dense = Sizes.preset("small", array="dense")
    assert pack(dense, Program(1, np.array([0]), np.array([[[[1, -1], [2, 3]]]]))) == [0x0302ff01 << 1]


@pytest.mark.parametrize("changes", [{}, dict(alpha=3, depth=1), dict(array="dense"), dict(array="mux", window=16),
                                     dict(weight_bits=16), dict(alpha=0, depth=1, groups=1)])
def test_words_and_back(changes):
    rng, sizes = np.random.default_rng(1), Sizes.preset("small", **changes)
    for step in range(12):
        group = 1 << int(rng.integers(0, sizes.slots.bit_length()))
        program = random_program(rng, sizes, int(rng.integers(1, 20)), group)
        words = pack(sizes, program)
        assert len(words) == program_words(sizes, program.cycles, group)
        assert all(0 <= word < 1 << sizes.word_bits for word in words)
        again = unpack(sizes, words, program.cycles, group)
        for field in dataclasses.fields(Program):
            np.testing.assert_array_equal(getattr(again, field.name), getattr(program, field.name))


def test_refuses():
    rng, sizes = np.random.default_rng(1), Sizes.preset("small")
    program = random_program(rng, sizes, 5, 2)
    with pytest.raises(ValueError, match="2 words are not allowed: 5 cycles take 3"):
        unpack(sizes, pack(sizes, program)[:2], 5, 2)
    for word in (1 << sizes.word_bits, -1):
        with pytest.raises(ValueError, match=r"word 2 = .* must be from 0 to 2\^164 - 1"):
            unpack(sizes, [*pack(sizes, program)[:2], word], 5, 2)
    with pytest.raises(ValueError, match="group = 3"):
        unpack(sizes, pack(sizes, program), 5, 3)
    program.weights[0, 0, 0, 0] = 128
    with pytest.raises(ValueError, match="weights holds 128"):
        pack(sizes, program)


@pytest.mark.parametrize("changes", [{}, dict(array="dense"), dict(array="mux", window=4)])
def test_refuses_shapes(changes):
    """Arrays with the right number of values in the wrong order, ones that are absent, ones too many, a bad group."""
    rng, sizes = np.random.default_rng(2), Sizes.preset("small", columns=3, **changes)
    group = sizes.slots // 2 or 1
    program = random_program(rng, sizes, 5, group)
    names = [field.name for field in dataclasses.fields(Program) if field.name != "group"]
    present = [name for name in names if getattr(program, name) is not None]
    assert len(present) == {"figs": 5, "dense": 2, "mux": 3}[sizes.array]
    for name in present:
        value = getattr(program, name)
        wrong = [value[None], value[:-1], None] if name != "advance" else [value[None]]
        for other in [*wrong, *([value.swapaxes(0, -1)] if value.ndim > 1 else [])]:
            with pytest.raises(ValueError, match=rf"{name} of shape .* is not allowed: it must be \(\d,"):
                pack(sizes, dataclasses.replace(program, **{name: other}))
    for name in set(names) - set(present):
        with pytest.raises(ValueError, match=f"{name} is not allowed: a program of array {sizes.array} has none"):
            pack(sizes, dataclasses.replace(program, **{name: program.advance}))
    for group in (0, 3, 2 * sizes.slots, True, 1.0):
        with pytest.raises(ValueError, match=f"group = {group} is not allowed"):
            pack(sizes, dataclasses.replace(program, group=group))
