"""A DDR4 rank: eight chips of 8 bits that check every command and keep data (JESD79-4).

:class:`DramRank` is plain Python: it takes the pins of four DRAM clocks a call (DFI 1:4, docs/enmc/machine.md).
:class:`ChipModel` puts one on the chip port of a design in a cocotb test.
"""

import collections

import numpy as np

from .dram_rules import Command, DdrViolation, RuleChecker, decode
from .stream import _reader

__all__ = ["ChipModel", "DramRank", "burst_address"]

PHASES = 4
BURST = 64
_CLOCK = BURST // PHASES  # bytes of a DRAM clock
_PAGE = 1 << 16
_WRITTEN = b"\1" * BURST
#: Pins of four deselected slots.
DESELECTED = (1,) * PHASES


def burst_address(bg, ba, row, column):
    """Number of the burst at a place: bank group (2 bits, lowest), column / 8 (7), bank (2), row."""
    return ((row << 2 | ba) << 7 | column >> 3) << 2 | bg


class _Memory:
    """Bytes by address, in pages that come when they are written; knows which bytes were."""

    def __init__(self, size):
        self.size = size
        self._pages = {}

    def _page(self, address):
        number = address // _PAGE
        if number not in self._pages:
            self._pages[number] = bytearray(_PAGE), bytearray(_PAGE)
        return self._pages[number]

    def pieces(self, address, count):
        """The parts of a range that lie in one page each: page of data, page of flags, slice, place in the range."""
        if address < 0 or count < 0 or address + count > self.size:
            raise ValueError(f"address = {address:#x}, count = {count} are not allowed: the rank has {self.size} bytes")
        done = 0
        while done < count:
            start = (address + done) % _PAGE
            size = min(_PAGE - start, count - done)
            yield *self._page(address + done), slice(start, start + size), slice(done, done + size)
            done += size

    def written_from(self, address):
        """Whether any byte at or after an address was written."""
        return any(1 in flags[max(0, address - number * _PAGE):] for number, (_, flags) in self._pages.items()
                   if (number + 1) * _PAGE > address)

    def burst(self, address):
        """Pages of data and flags, and the slice of a burst."""
        start = address % _PAGE
        return *self._page(address), slice(start, start + BURST)


class DramRank:
    """Eight x8 DDR4 chips: rules, data with CL and CWL, byte masks.

    Parameters
    ----------
    timing, row_bits: as for :class:`sim.dram_rules.RuleChecker`; ``cl`` at least 8
    uninitialised: ``"raise"``: a READ of bytes that were never written is a violation; ``"junk"``: it gives bytes that
        look random, and its address goes to the list ``junk_reads``

    Raises :class:`sim.dram_rules.DdrViolation`: the rules of :class:`~sim.dram_rules.RuleChecker`, and of data: "write
    data missing", "DQ without a WRITE", "data collision" (both sides drive), "uninitialised read".

    Attributes: ``rules``; ``clock``, DRAM clocks over; ``junk_reads``; ``trace``: the commands as (clock, command) when
    set to a list.
    """

    def __init__(self, timing, *, row_bits=16, uninitialised="raise"):
        if uninitialised not in ("raise", "junk"):
            raise ValueError(f"uninitialised = {uninitialised!r} is not allowed: it must be 'raise' or 'junk'")
        self.timing = timing
        self.rules = RuleChecker(timing, row_bits)
        self.forget()
        self.clock = 0
        self.uninitialised = uninitialised
        self.junk_reads = []
        self.trace = None
        # Bursts in flight: [first clock of the data, byte address, command with its clock].
        self._reads, self._writes = collections.deque(), collections.deque()

    def load(self, address, data):
        """Back door: put bytes (``bytes`` or an array of uint8) at a byte address."""
        raw = np.frombuffer(data, dtype=np.uint8) if isinstance(data, (bytes, bytearray)) else np.asarray(data)
        if raw.dtype != np.uint8 or raw.ndim != 1:
            raise ValueError(f"data of dtype {raw.dtype} and shape {raw.shape} is not allowed: it must be bytes")
        for page, flags, place, part in self.memory.pieces(address, len(raw)):
            page[place] = raw[part].tobytes()
            flags[place] = b"\1" * (place.stop - place.start)

    def dump(self, address, count):
        """Back door: ``count`` bytes from a byte address, uint8; never written ones are 0."""
        out = np.empty(count, dtype=np.uint8)
        for page, _, place, part in self.memory.pieces(address, count):
            out[part] = np.frombuffer(page[place], dtype=np.uint8)
        return out

    def forget(self):
        """Back door: no byte was ever written."""
        self.memory = _Memory(BURST << self.rules.row_bits + 11)

    def written_from(self, address):
        """Whether any byte at or after a byte address was ever written, by :meth:`load` too."""
        return self.memory.written_from(address)

    def outputs(self):
        """What the chips drive in the coming four clocks: 64 bytes, or ``None`` when it is nothing.

        Bytes of clocks without data are noise.
        """
        if not self._reads or self._reads[0][0] >= self.clock + PHASES:
            return None
        if self._reads[0][0] == self.clock:
            return self._read(self._reads[0])
        word = bytearray(b"\xa5" * BURST)
        for burst in self._reads:
            data = None
            for phase in range(PHASES):
                place = self.clock + phase - burst[0]
                if 0 <= place < PHASES:
                    data = data or self._read(burst)
                    word[phase * _CLOCK:(phase + 1) * _CLOCK] = data[place * _CLOCK:(place + 1) * _CLOCK]
        return bytes(word)

    def cycle(self, pins, dq=0, enable=0, dm=0):
        """Four DRAM clocks: ``pins`` of the four command slots (:func:`sim.dram_rules.decode`), and the driven data.

        ``dq``: integer of 512 bits, ``enable``: bit p = it is driven in phase p, ``dm``: bit i = byte i is not written.
        """
        start = self.clock
        self.rules.advance(start)
        for phase, word in enumerate(pins):
            if not word & 1:
                try:
                    command = decode(word)
                except ValueError as error:
                    raise DdrViolation("command", (start + phase, Command("?")), detail=str(error)) from None
                if command is not None:
                    self._command(start + phase, command)
        if enable or self._writes:
            self._take(start, dq, enable, dm)
        self.clock += PHASES
        while self._reads and self._reads[0][0] + PHASES <= self.clock:
            self._reads.popleft()

    def lose_writes(self):
        """Forget WRITEs whose data has not come, after a reset of the logic; their bytes count as never written."""
        for burst in self._writes:
            _, flags, place = self.memory.burst(burst[1])
            flags[place] = bytes(BURST)
        self._writes.clear()

    def _command(self, clock, command):
        if self.trace is not None:
            self.trace.append((clock, command))
        row = self.rules.open_row(command.bg, command.ba)
        self.rules.command(clock, command)
        if command.kind in ("RD", "WR"):
            address = BURST * burst_address(command.bg, command.ba, row, command.address)
            if command.kind == "RD":
                self._reads.append([clock + self.timing.cl, address, (clock, command)])
            else:
                self._writes.append([clock + self.timing.cwl, address, (clock, command)])

    def _read(self, burst):
        page, flags, place = self.memory.burst(burst[1])
        data = bytes(page[place])
        if flags[place] != _WRITTEN:
            if self.uninitialised == "raise":
                raise DdrViolation("uninitialised read", burst[2], detail=f"byte address {burst[1]:#x}")
            if not self.junk_reads or self.junk_reads[-1] != burst[1]:
                self.junk_reads.append(burst[1])
            noise = np.random.default_rng(burst[1]).bytes(BURST)
            data = bytes(byte if flag else junk for byte, flag, junk in zip(data, flags[place], noise))
        return data

    def _take(self, start, dq, enable, dm):
        """The data of WRITEs in these four clocks."""
        expected, taken = 0, []
        for burst in self._writes:
            for phase in range(PHASES):
                place = start + phase - burst[0]
                if 0 <= place < PHASES:
                    expected |= 1 << phase
                    taken.append((burst, phase, place))
        if expected & ~enable:
            raise DdrViolation("write data missing", self._writes[0][2], detail=f"clocks {start} to {start + 3}, "
                               f"driven {enable:04b}, needed {expected:04b} (phase 3 first)")
        for read in self._reads:
            for phase in range(PHASES):
                if enable >> phase & 1 and 0 <= start + phase - read[0] < PHASES:
                    raise DdrViolation("data collision", read[2], detail=f"DQ is driven in clock {start + phase}")
        if enable & ~expected:
            raise DdrViolation("DQ without a WRITE", (start, Command("DES")), detail=f"driven {enable:04b}, needed "
                               f"{expected:04b} (phase 3 first)")
        if not expected:
            return
        data = dq.to_bytes(BURST, "little")
        for burst, phase, place in taken:
            page, flags, whole = self.memory.burst(burst[1])
            first = whole.start + place * _CLOCK
            part = slice(phase * _CLOCK, (phase + 1) * _CLOCK)
            if not dm >> part.start & 0xffff:
                page[first:first + _CLOCK] = data[part]
                flags[first:first + _CLOCK] = _WRITTEN[:_CLOCK]
                continue
            for byte in range(part.start, part.stop):
                if not dm >> byte & 1:
                    page[first + byte - part.start] = data[byte]
                    flags[first + byte - part.start] = 1
        while self._writes and self._writes[0][0] <= start:
            self._writes.popleft()


class ChipModel:
    """A :class:`DramRank` on a chip port (``hw.enmc.ddr4.ChipPort``) of a design, in a cocotb test.

    Parameters: ``bench`` (:class:`sim.bench.Bench`), ``dut``, ``rank``, ``port``: the port's name. While the chips
    drive nothing, ``dq_in`` is noise. A reset of the bench loses the WRITEs in flight; the banks stay as they are.

    Attribute ``host``: ``None``, or a function called each cycle that gives what somebody else puts on the chips' pins,
    ``(pins, dq, enable, dm)`` as :meth:`DramRank.cycle` takes them, or ``None`` for nothing. The design must then send
    nothing: "two masters" is a violation.
    """

    name = "chips"

    def __init__(self, bench, dut, rank, port="chips"):
        self.rank = rank
        self._bench = bench
        self._slots = [_reader(getattr(dut, f"{port}__command__{phase}")) for phase in range(PHASES)]
        self._enable, self._dq, self._dm = (_reader(getattr(dut, f"{port}__{name}"))
                                            for name in ("dq_out_enable", "dq_out", "dm"))
        self._in = getattr(dut, f"{port}__dq_in")
        self._driven = None
        self.host = None
        self._in.value = 0
        bench.add(self)

    def reset(self):
        self.rank.lose_writes()

    async def drain(self):
        """Nothing to wait for."""

    def finish(self):
        """Nothing to check at the end."""

    def status(self):
        return f"chips, clock {self.rank.clock}"

    def tick(self, cycle):
        enable = self._enable()
        inputs = [read() for read in self._slots], self._dq() if enable else 0, enable, self._dm() if enable else 0
        other = self.host() if self.host else None
        if other is not None:
            if enable or not all(pins & 1 for pins in inputs[0]):
                raise DdrViolation("two masters", (self.rank.clock, Command("?")))
            inputs = other
        self.rank.cycle(*inputs)
        word = self.rank.outputs()
        if word is not None:
            self._driven = int.from_bytes(word, "little")
            self._in.value = self._driven
        elif self._driven is not None:
            self._in.value = self._driven ^ (1 << 8 * BURST) - 1
            self._driven = None
        return False
