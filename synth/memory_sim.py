"""What a memory macro puts out, from what its other pins were in every clock cycle."""

import numpy as np

__all__ = ["read_data"]


def _integers(rows, cycles):
    """The bits of uint64 rows (bits, words) in each cycle, as an integer."""
    bits = np.unpackbits(np.ascontiguousarray(rows).view(np.uint8), axis=1, count=cycles, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in np.packbits(bits.T, axis=1, bitorder="little")]


def _rows(integers, width, words):
    """The opposite of :func:`_integers`."""
    size = -(-width // 8)
    data = np.frombuffer(b"".join(value.to_bytes(size, "little") for value in integers), np.uint8).reshape(-1, size)
    bits = np.packbits(np.unpackbits(data, axis=1, count=width, bitorder="little").T, axis=1, bitorder="little")
    rows = np.zeros((width, 8 * words), np.uint8)
    rows[:, :bits.shape[1]] = bits
    return rows.view(np.uint64)


def read_data(memory, pins, cycles):
    """The pin ``RD_DATA`` of a macro: uint64 (bits, words), one bit a clock cycle.

    Parameters: ``memory`` a :class:`synth.design.Memory`, ``pins`` name -> rows of that form of ``RD_EN``, ``RD_ADDR``,
    ``WR_EN`` (one for each bit), ``WR_ADDR`` and ``WR_DATA``, ports one above the other. Reads are registered and give
    what a word was before a write in the same cycle; the memory and its outputs begin with 0.
    """
    width, every = memory.width, (1 << memory.width) - 1
    values = {name: _integers(rows, cycles) for name, rows in pins.items()}
    sizes = {name: len(pins[name]) // ports for name, ports in (("RD_ADDR", memory.reads), ("WR_ADDR", memory.writes))}
    words, out, history = {}, 0, []

    def address(name, cycle, port):
        return values[name][cycle] >> port * sizes[name] & (1 << sizes[name]) - 1

    for cycle in range(cycles):
        history.append(out)
        for port in range(memory.reads):
            if values["RD_EN"][cycle] >> port & 1:
                word = words.get(address("RD_ADDR", cycle, port), 0)
                out = out & ~(every << port * width) | word << port * width
        for port in range(memory.writes):
            if enabled := values["WR_EN"][cycle] >> port * width & every:
                place = address("WR_ADDR", cycle, port)
                data = values["WR_DATA"][cycle] >> port * width
                words[place] = words.get(place, 0) & ~enabled | data & enabled
    return _rows(history, memory.reads * width, next(iter(pins.values())).shape[1])
