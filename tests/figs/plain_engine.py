"""The engine by plain shift registers, clock by clock and with the skew of the columns: the models are held against it.

It reads program words by shifting Python integers, with field offsets of its own, and knows nothing of golden/figs but
the sizes. Values are any Python objects: numbers, or names that show where an operand came from.
"""

import dataclasses

__all__ = ["Pass", "replay"]

SELECT, STALE, COMMAND, EXCHANGE, START = 1, 2, 4, 8, 16


@dataclasses.dataclass
class Pass:
    """Products of a pass: ``products[r, c, j]`` lists (operand, weight) of each cycle, None for the operand 0."""

    products: dict
    beats: int


def _ceil_log2(value):
    return len(bin(value - 1)) - 2 if value > 1 else 0


def _field(word, offset, width):
    return word >> offset & (1 << width) - 1


def _signed(value, width):
    return value - (1 << width) if value >> width - 1 else value


class _Words:
    """Fields of the memory words, offsets as the specification counts them."""

    def __init__(self, sizes, memory):
        self.sizes, self.memory = sizes, memory
        self.slots = sizes.groups if sizes.array == "figs" else 1
        self.exchange = _ceil_log2(self.slots) if sizes.array == "figs" and self.slots > sizes.alpha + 1 else 0
        self.select = _ceil_log2((sizes.alpha + 1) * sizes.depth)
        self.index = _ceil_log2(sizes.window)
        self.entry = sizes.beta * sizes.weight_bits
        if sizes.array == "figs":
            self.entry += 1 + self.select
        if sizes.array == "mux":
            self.entry += sizes.beta * self.index
        self.slot = 1 + self.exchange + sizes.columns * self.entry

    def place(self, base, group, cycle, row):
        """Word and bit offset of the slot of ``row`` of the group."""
        share = self.slots // group
        return self.memory[base + cycle // share], ((cycle % share) * group + row) * self.slot

    def head(self, base, group, cycle):
        word, offset = self.place(base, group, cycle, 0)
        return _field(word, offset, 1), _field(word, offset + 1, self.exchange)

    def lanes(self, base, group, cycle, row, column):
        """(use, select, [(index, weight)])."""
        word, offset = self.place(base, group, cycle, row)
        offset += 1 + self.exchange + column * self.entry
        use, select, index = 1, 0, 0
        if self.sizes.array == "figs":
            use, select = _field(word, offset, 1), _field(word, offset + 1, self.select)
            offset += 1 + self.select
        lanes = []
        for _ in range(self.sizes.beta):
            if self.sizes.array == "mux":
                index = _field(word, offset, self.index)
                offset += self.index
            lanes.append((index, _signed(_field(word, offset, self.sizes.weight_bits), self.sizes.weight_bits)))
            offset += self.sizes.weight_bits
        return use, select, lanes


def _controls(sizes, words, commands):
    """(pass number, base, group, cycle, advance, exchange) of every schedule cycle, and the error bits."""
    cycles, errors, number = [], 0, 0
    for base, count, group in commands:
        span = 1 << group
        if not count or span > words.slots or base + -(-count * span // words.slots) > sizes.words:
            errors |= COMMAND
            continue
        for cycle in range(count):
            advance, exchange = words.head(base, span, cycle)
            if cycle == 0 and not advance:
                errors, advance = errors | START, 1
            if exchange >= span or exchange % (sizes.alpha + 1):
                if words.exchange:
                    errors |= EXCHANGE
                exchange = 0
            cycles.append((number, base, span, cycle, advance, exchange))
        number += 1
    return cycles, errors, number


def replay(sizes, memory, commands, beats):
    """(passes, error bits) of ``commands`` back to back; ``beats`` lists of values, one a row (mux: window a row)."""
    words = _Words(sizes, memory)
    cycles, errors, count = _controls(sizes, words, commands)
    mux, figs = sizes.array == "mux", sizes.array == "figs"
    passes = [Pass({(r, c, j): [] for r in range(sizes.rows) for c in range(sizes.columns)
                    for j in range(sizes.beta)}, 0) for _ in range(count)]
    # chain[r][j]: the j-th register from the east of row r; None before anything came
    chain = [[None] * (sizes.columns + (sizes.depth if figs else 1) - 1) for _ in range(sizes.rows)]
    at, exchange = -1, 0
    for clock in range(len(cycles) + sizes.columns - 1):
        if clock < len(cycles):
            number, _, _, _, advance, exchange = cycles[clock]
            at += advance
            passes[number].beats += advance
        beat = beats[at]
        for r in range(sizes.rows):
            fed = beat[r * sizes.window:(r + 1) * sizes.window] if mux else beat[r ^ exchange]
            chain[r] = [fed] + chain[r][:-1]
        for c in range(sizes.columns):
            if not 0 <= clock - c < len(cycles):
                continue
            number, base, group, cycle, _, _ = cycles[clock - c]
            for r in range(sizes.rows):
                use, select, lanes = words.lanes(base, group, cycle, r % group, c)
                age, beside = divmod(select, sizes.alpha + 1)
                if use and figs and age >= sizes.depth:
                    errors, use = errors | SELECT, 0
                elif use and figs and age > cycle:
                    errors, use = errors | STALE, 0
                for j, (index, weight) in enumerate(lanes):
                    operand = None
                    if use:
                        operand = chain[r][c][index] if mux else chain[r ^ beside][c + age] if figs else chain[r][c]
                    passes[number].products[r, c, j].append((operand, weight))
    return passes, errors
