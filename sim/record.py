"""Records the ports of a design while its tests run: golden vectors for a test bench in plain Verilog.

The tests compare the design with its golden model, so a recording of a run that passed is what the golden model asks
for. A *vector* is one number, written in hexadecimal: in its low :data:`HOLD_BITS` bits for how many clock cycles it
holds, above them the values of the ports in the order of the list, the first one lowest. Values are those just before
a rising edge of the clock. A payload is recorded as zero in cycles in which its ``valid`` is low: it means nothing.
"""

import atexit
import functools
import pathlib

from .context import context

__all__ = ["HOLD_BITS", "Recorder", "recorder"]

#: Width of the number of cycles that a vector holds for.
HOLD_BITS = 16


class Recorder:
    """Takes one sample of the ports a clock cycle and keeps equal neighbours as one vector.

    Parameters
    ----------
    readers: name of a port -> function that gives its value as an integer
    ports: the ports in the order of the vector, each (name, width in bits, name of the port that makes it valid, or
        ``None`` when it always means something)
    cycles, characters: the recording ends when it has this many cycles or characters of text
    """

    def __init__(self, readers, ports, cycles, characters):
        self.lines = []
        self.cycles = 0
        self._readers, self._ports = readers, ports
        self._limit, self._characters = cycles, characters
        self._last, self._held = None, 0

    def sample(self):
        """Record the cycle that ends now, unless the recording is full."""
        if self.cycles >= self._limit or self._characters <= 0:
            return
        values = {name: read() for name, read in self._readers.items()}
        word, offset = 0, HOLD_BITS
        for name, width, valid in self._ports:
            if valid is None or values[valid]:
                word |= values[name] << offset
            offset += width
        if word == self._last and self._held < (1 << HOLD_BITS) - 1:
            self._held += 1
            self.lines.pop()
        else:
            self._last, self._held = word, 1
            self._characters -= len(f"{word:x}") + 1
        self.lines.append(f"{word | self._held:x}")
        self.cycles += 1


def _reader(dut, name, width):
    handle = getattr(dut, name, None)
    if handle is None:
        return lambda: 0  # the simulator drops an input that nothing in the design reads
    assert len(handle) == width, f"{name} has {len(handle)} bits, and {width} are to be recorded"
    read = handle._handle.get_signal_val_binstr
    return lambda: int(read(), 2)


@functools.cache
def recorder(dut):
    """The recorder that the run's option ``record`` asks for, or ``None``: one for all tests of the run.

    The option is a dict: ``file`` the file to write when the simulator ends, the others as for :class:`Recorder`.
    """
    options = context().options.get("record")
    if options is None:
        return None
    ports = [tuple(port) for port in options["ports"]]
    made = Recorder({name: _reader(dut, name, width) for name, width, _ in ports}, ports, options["cycles"],
                    options["characters"])
    atexit.register(lambda: pathlib.Path(options["file"]).write_text("".join(f"{line}\n" for line in made.lines)))
    return made
