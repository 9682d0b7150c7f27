"""Waveforms in VCD, read as what every signal was in every clock cycle."""

import numpy as np

__all__ = ["Recording", "read"]


class Recording:
    """Signals of a simulation, sampled at the end of each clock cycle.

    Attributes: ``cycles`` how many; ``words`` of 64 cycles that a bit's row has; ``widths`` full name of a signal
    (instances joined with dots) -> bits.
    """

    def __init__(self, cycles, names, changes):
        self.cycles, self.words = cycles, -(-cycles // 64)
        self.widths = {name: width for name, (_, width) in names.items()}
        self._names, self._changes, self._rows = names, changes, {}  # code -> (values, which are known)

    def bits(self, name):
        """The signal's bits, lowest first: uint64 (width, words), cycle c in bit c % 64 of word c // 64.

        Unknown bits are 0. Raises ``KeyError`` for a name that was not recorded.
        """
        return self._both(name)[0]

    def known(self, name):
        """Which of the signal's bits are neither x nor z, in the form of :meth:`bits`."""
        return self._both(name)[1]

    def _both(self, name):
        code, width = self._names[name]
        if code not in self._rows:
            self._rows[code] = self._packed(self._changes.pop(code), width)
        return self._rows[code]

    def unpacked(self, name):
        """The signal's bits, lowest first: uint8 (width, cycles)."""
        return np.unpackbits(self.bits(name).view(np.uint8), axis=1, count=self.cycles, bitorder="little")

    def values(self, name):
        """The signal's value in each cycle, int64; of at most 63 bits."""
        bits = self.unpacked(name).astype(np.int64)
        return (bits << np.arange(len(bits))[:, None]).sum(axis=0)

    def _packed(self, changes, width):
        cycles, texts = changes
        if not cycles or cycles[0] > 0:
            cycles, texts = [0, *cycles], ["x", *texts]
        # Digits that are left out are 0, but x or z where the first one is that.
        text = "".join(value.rjust(width, value[0] if value[0] in "xz" else "0") for value in texts)
        digits = np.frombuffer(text.encode(), np.uint8).reshape(-1, width)[:, ::-1]
        lengths = np.diff(np.array([*cycles, self.cycles]))
        return [self._rows_of(values, lengths) for values in (digits == ord("1"), digits <= ord("1"))]

    def _rows_of(self, values, lengths):
        rows = np.packbits(np.repeat(values, lengths, axis=0).T, axis=1, bitorder="little")
        packed = np.zeros((len(rows), 8 * self.words), np.uint8)
        packed[:, :rows.shape[1]] = rows
        return packed.view(np.uint64)


def _header(lines, wanted):
    """(full name -> (code, width), code of the clock by name) from the declarations."""
    names, scopes = {}, []
    for line in lines:
        words = line.split()
        if not words:
            continue
        if words[0] == "$scope":
            scopes.append(words[2].removeprefix("\\"))
        elif words[0] == "$upscope":
            scopes.pop()
        elif words[0] == "$var":
            name = ".".join([*scopes, words[4].removeprefix("\\")])
            if wanted(name):
                names[name] = words[3], int(words[2])
        elif words[0] == "$enddefinitions":
            return names
    raise ValueError("the waveform file is not allowed: it has no $enddefinitions")


def read(lines, clock, wanted=lambda name: True):
    """The :class:`Recording` of a VCD file.

    Parameters: ``lines`` an open file, ``clock`` the full name of the clock, whose rising edges begin a cycle,
    ``wanted`` tells of a full name whether the signal is needed. Cycle 0 lasts until the first edge; what comes after
    the last edge is left out. A change at the time of an edge belongs to the cycle after it.

    Raises ``ValueError`` for a file without that clock or without values.
    """
    names = _header(lines, lambda name: name == clock or wanted(name))
    if clock not in names:
        raise ValueError(f"clock = {clock!r} is not allowed: the waveform file has no such signal")
    clock_code = names[clock][0]
    changes = {code: ([], []) for code, _ in names.values()}
    cycle, level, block = 0, None, {}

    def close():
        """Take over what changed at one time."""
        nonlocal cycle, level, block
        new = block.get(clock_code, level)
        if level == "0" and new == "1":
            cycle += 1
        level = new
        for code, value in block.items():
            cycles, values = changes[code]
            if cycles and cycles[-1] == cycle:
                values[-1] = value
            else:
                cycles.append(cycle)
                values.append(value)
        block = {}

    for line in lines:
        first = line[0]
        if first == "#":
            close()
        elif first in "01xz":
            if (code := line[1:].rstrip()) in changes:
                block[code] = first
        elif first == "b":
            value, _, code = line[1:].rstrip().partition(" ")
            if code in changes:
                block[code] = value
    close()
    if not cycle:
        raise ValueError(f"the waveform file is not allowed: {clock} has no rising edge")
    for cycles, values in changes.values():
        if cycles and cycles[-1] == cycle:
            cycles.pop(), values.pop()
    return Recording(cycle, names, changes)
