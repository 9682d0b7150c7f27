"""Programs of the engine, one output tile each, and their words in the program memory.

A word has Gmax slots. With groups of G rows, schedule cycle n uses word n div (Gmax/G), slots s G .. s G + G - 1 with
s = n mod (Gmax/G); slot s G + g has the entries of row g. A slot, low bits first: advance (1), exchange (log2 Gmax,
left out where Gmax <= alpha + 1), then an entry for each column. An entry of the FiGS array: use (1), select, the
weights (lane 0 low); of the dense array: the weights; of the mux array: index and weight of lane 0, of lane 1, ...
"""

import dataclasses

import numpy as np

from golden.arith.fixed import as_flags, check_range

__all__ = ["Program", "check_words", "pack", "program_words", "unpack"]


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """What an array does in each of ``cycles`` schedule cycles, for groups of ``group`` rows.

    ``advance`` bool (cycles,): the cycle feeds the next beat. ``exchange`` (cycles,): rows are exchanged in the group
    by exclusive or with it. ``weights`` (cycles, group, columns, beta). FiGS array: ``use`` bool and ``select``
    (cycles, group, columns). Mux array: ``index`` (cycles, 1, columns, beta). Where the array is not FiGS, ``group`` is
    1. What an array does not have is None.
    """

    group: int
    advance: np.ndarray
    weights: np.ndarray
    exchange: np.ndarray | None = None
    use: np.ndarray | None = None
    select: np.ndarray | None = None
    index: np.ndarray | None = None

    @property
    def cycles(self):
        return len(self.advance)


def program_words(sizes, cycles, group):
    """Words that ``cycles`` schedule cycles take."""
    return -(-cycles * group // sizes.slots)


def check_words(sizes, words):
    """``words`` as a list of Python integers: a ``TypeError`` for another type, a ``ValueError`` outside
    ``word_bits``."""
    found = []
    for place, word in enumerate(words):
        if isinstance(word, bool) or not isinstance(word, (int, np.integer)):
            raise TypeError(f"word {place} must be of an integer type, not {type(word).__name__}")
        if not 0 <= word < 1 << sizes.word_bits:
            raise ValueError(f"word {place} = {int(word):#x} is not allowed: it must be from 0 to "
                             f"2^{sizes.word_bits} - 1")
        found.append(int(word))
    return found


def _check_shapes(sizes, program):
    """Refuse arrays of wrong shape, and those that the array has no use for."""
    sizes.check_group(program.group)
    elements = (program.cycles, program.group, sizes.columns)
    lanes = (*elements, sizes.beta)
    shapes = {"advance": (program.cycles,), "weights": lanes}
    if sizes.array == "figs":
        shapes.update(exchange=(program.cycles,), use=elements, select=elements)
    if sizes.array == "mux":
        shapes.update(index=lanes)
    for name in ("advance", "weights", "exchange", "use", "select", "index"):
        value = getattr(program, name)
        if name not in shapes:
            if value is not None:
                raise ValueError(f"{name} is not allowed: a program of array {sizes.array} has none")
        elif np.shape(value) != shapes[name]:
            raise ValueError(f"{name} of shape {np.shape(value)} is not allowed: it must be {shapes[name]}")


def _bits(values, width):
    """Low ``width`` bits of integers, least first, on a new last axis."""
    return (np.asarray(values, np.int64)[..., None] >> np.arange(width) & 1).astype(np.uint8)


def pack(sizes, program):
    """The words, Python integers, of a :class:`Program`; the address of the first is the base of its command.

    Raises a ``ValueError`` for a group, a shape or a number that the words cannot hold (``TypeError`` for numbers that
    are no integers).
    """
    _check_shapes(sizes, program)
    n, group = program.cycles, program.group
    weights = _bits(check_range("weights", program.weights, sizes.weight_bits), sizes.weight_bits)
    head = _bits(as_flags("advance", program.advance), 1)
    if sizes.array == "figs":
        exchange = check_range("exchange", program.exchange, sizes.exchange_bits, signed=False)
        head = np.concatenate([head, _bits(exchange, sizes.exchange_bits)], -1)
        select = check_range("select", program.select, sizes.select_bits, signed=False)
        entries = np.concatenate([_bits(as_flags("use", program.use), 1), _bits(select, sizes.select_bits),
                                  weights.reshape(n, group, sizes.columns, -1)], -1)
    elif sizes.array == "mux":
        index = check_range("index", program.index, sizes.index_bits, signed=False)
        entries = np.concatenate([_bits(index, sizes.index_bits), weights], -1)
    else:
        entries = weights
    slots = np.zeros((program_words(sizes, n, group) * sizes.slots // group, group, sizes.slot_bits), np.uint8)
    slots[:n, 0, :head.shape[-1]] = head
    slots[:n, :, head.shape[-1]:] = entries.reshape(n, group, -1)
    packed = np.packbits(slots.reshape(-1, sizes.word_bits), axis=1, bitorder="little")
    return [int.from_bytes(word.tobytes(), "little") for word in packed]


def _numbers(bits, signed=False):
    """Integers of the bits on the last axis, least first."""
    width = bits.shape[-1]
    values = (bits.astype(np.int64) << np.arange(width)).sum(-1)
    return values - (bits[..., -1].astype(np.int64) << width) if signed else values


def unpack(sizes, words, cycles, group):
    """The :class:`Program` that ``words``, integers, hold; what it says is not checked."""
    sizes.check_group(group)
    octets = -(-sizes.word_bits // 8)
    data = np.frombuffer(b"".join(word.to_bytes(octets, "little") for word in check_words(sizes, words)), np.uint8)
    bits = np.unpackbits(data.reshape(-1, octets), axis=1, count=sizes.word_bits, bitorder="little")
    slots = bits.reshape(-1, group, sizes.slot_bits)[:cycles]
    if len(slots) < cycles:
        raise ValueError(f"words = {len(words)} words are not allowed: {cycles} cycles take "
                         f"{program_words(sizes, cycles, group)}")
    advance, exchange = slots[:, 0, 0].astype(bool), sizes.exchange_bits if sizes.array == "figs" else 0
    entries = slots[:, :, 1 + exchange:].reshape(cycles, group, sizes.columns, sizes.entry_bits)
    lanes = (cycles, group, sizes.columns, sizes.beta, -1)
    if sizes.array == "figs":
        select = 1 + sizes.select_bits
        return Program(group, advance, _numbers(entries[..., select:].reshape(lanes), signed=True),
                       exchange=_numbers(slots[:, 0, 1:1 + exchange]), use=entries[..., 0].astype(bool),
                       select=_numbers(entries[..., 1:select]))
    if sizes.array == "mux":
        entries = entries.reshape(lanes)
        return Program(group, advance, _numbers(entries[..., sizes.index_bits:], signed=True),
                       index=_numbers(entries[..., :sizes.index_bits]))
    return Program(group, advance, _numbers(entries.reshape(lanes), signed=True))
