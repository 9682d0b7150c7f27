"""What the DramController's tests share: the harness with chips that check every rule, traffic, cover points."""

import dataclasses

import numpy as np

from golden.enmc import dram_controller as golden
from golden.enmc.dram_timing import Cycle, DramTiming, Pin
from golden.enmc.timing import DdrTiming
from hw.enmc.dram_controller import DramControllerConfig
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage
from sim.dram import ChipModel, DramRank
from sim.dram_rules import decode
from sim.scoreboard import Scoreboard
from sim.stream import _reader as reader, unpack
from sim.timed import TimedDriver, TimedMonitor

POINTS = [
    "read", "write", "masked write", "write of nothing", "read after write", "write after read", "same row",
    "other row of the bank", "other bank group", "first burst", "last burst", "refresh in mid-work",
    "reset in mid-work", "queue full", "handover in mid-work", "write waits for data", "data before its write",
    "host refresh", "host left banks open", "host left at once", "sent at once",
    "ACTIVATE and PRECHARGE in one cycle",
    *(f"{command} at phase {phase}" for command in ("ACTIVATE", "PRECHARGE") for phase in (1, 2, 3)),
]
coverage = Coverage("dram_controller", POINTS)
BURST = golden.BURST


def timing_of(config):
    """The golden model's timing of a configuration."""
    return DdrTiming(**{spec.name: getattr(config, spec.name) for spec in dataclasses.fields(DdrTiming)})


def place(address):
    """(bank, row) of a burst address."""
    return address & 3 | address >> 7 & 12, address >> 11


class Lockstep:
    """Every cycle: handshakes, responses, ``idle`` and commands must be the cycle model's.

    ``shift``: the model's tREFI is that many clocks off, for the test that the comparison fails.
    """

    name = "lockstep"

    def __init__(self, harness, shift=0):
        self.h, dut = harness, harness.dut
        config = harness.config
        self._timing = dataclasses.replace(timing_of(config), trefi=config.trefi + shift)
        names = ("enable", "host_refresh", "idle", "requests__valid", "requests__ready", "requests__payload",
                 "write_data__valid", "write_data__ready", "responses__valid", "responses__payload",
                 *(f"chips__command__{phase}" for phase in range(4)))
        self._read = {name: reader(getattr(dut, name)) for name in names}
        self._layout = harness.ctx.layout("requests")
        self._tags = (1 << config.tag_bits) - 1
        self.reset()
        harness.bench.add(self)

    def reset(self):
        config = self.h.config
        self.model = DramTiming(self._timing, row_bits=config.row_bits, queue=config.queue,
                                lookahead=config.lookahead)

    async def drain(self):
        """Nothing to wait for."""

    def finish(self):
        """The counters."""
        got = unpack(self.h.ctx.layout("counters"), int(self.h.dut.counters.value))
        expected = self.model.counters
        assert {name: got[name] for name in expected} == expected, f"counters {got}, expected {expected}"
        assert got["busy"] == expected["reads"] + expected["writes"], f"busy = {got['busy']}"

    def status(self):
        return "lockstep"

    def tick(self, cycle):
        read, request = self._read, None
        if read["requests__valid"]():
            item = unpack(self._layout, read["requests__payload"]())
            request = bool(item["write"]), item["address"], item["tag"]
        host_refresh = bool(read["host_refresh"]())
        expected = self.model.step(request, bool(read["write_data__valid"]()), enable=bool(read["enable"]()),
                                   host_refresh=host_refresh)
        pins = tuple(Pin(phase, command.kind, *where(command)) for phase in range(4)
                     if (command := decode(read[f"chips__command__{phase}"]())) is not None)
        response = read["responses__payload"]() & self._tags if read["responses__valid"]() else None
        got = Cycle(bool(read["requests__ready"]()), bool(read["write_data__ready"]()), response, bool(read["idle"]()),
                    pins)
        assert got == expected, f"cycle {self.model.cycle - 1} since reset: {got}, expected {expected}"
        for point, reached in {
                "refresh in mid-work": pins and pins[0].kind == "REF" and self.h.board.pending(),
                "queue full": request and not got.ready and not got.idle, "host refresh": host_refresh,
                "ACTIVATE and PRECHARGE in one cycle": {"ACT", "PRE"} <= {pin.kind for pin in pins},
                **{f"ACTIVATE at phase {pin.phase}": True for pin in pins if pin.kind == "ACT"},
                **{f"PRECHARGE at phase {pin.phase}": True for pin in pins if pin.kind == "PRE"}}.items():
            if reached:
                coverage.hit(point)
        return bool(pins)


def where(command):
    """(bank, row or column / 8) of a :class:`sim.dram_rules.Command`, as the cycle model has it."""
    bank = command.bg | command.ba << 2
    return {"ACT": (bank, command.address), "RD": (bank, command.address >> 3),
            "WR": (bank, command.address >> 3), "PRE": (bank,)}.get(command.kind, ())


class Harness:
    """Drives requests and write data, compares responses, with a rank of chips on the port."""

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng, self.random = self.ctx.rng, self.ctx.random
        self.config = DramControllerConfig.from_dict(self.ctx.config)
        self.corrupt = self.ctx.options.get("corrupt", False)
        self.last, self.order = None, []

    async def start(self, drive=None, data=None, enable=True, **options):
        """Clock, reset, chips with ``options``, drivers; ``drive``, ``data``: stall profiles."""
        self.bench = await start(self.dut, timeout=4 * self.config.trefi)
        self.rank = DramRank(timing_of(self.config), row_bits=self.config.row_bits, **options)
        self.memory = golden.DramController(self.config.row_bits)
        self.chips = ChipModel(self.bench, self.dut, self.rank)
        self.board = Scoreboard("responses", lanes={"data": 8}, bench=self.bench)
        self.requests = TimedDriver(self.dut, "requests", stall=drive, layout=self.ctx.layout("requests"))
        self.data = TimedDriver(self.dut, "write_data", stall=data, layout=self.ctx.layout("write_data"))
        self.monitor = TimedMonitor(self.dut, "responses", layout=self.ctx.layout("responses"),
                                    callback=self.board.check)
        self.lockstep = Lockstep(self, self.ctx.options.get("shift", 0))
        self.dut.enable.value = int(enable)

    def preload(self, addresses):
        """Random bytes at burst addresses, by the back door."""
        for address in addresses:
            data = self.rng.integers(256, size=BURST, dtype=np.uint8)
            self.rank.load(BURST * int(address), data)
            self.memory.write(int(address), data)

    def read(self, address, tag=None):
        """Queue a read."""
        address = int(address)
        tag = self.random.randrange(1 << self.config.tag_bits) if tag is None else tag
        self.requests.put({"write": 0, "address": address, "tag": tag})
        self.order.append("read")
        data = int.from_bytes(self.memory.read(address).tobytes(), "little")
        self.board.expect({"tag": tag, "data": data ^ int(self.corrupt)})
        self.cover(False, address)

    def write(self, address, mask=None, send=True):
        """Queue a write of random data, and its data unless not ``send``; gives the data's item."""
        address = int(address)
        data = self.rng.integers(256, size=BURST, dtype=np.uint8)
        mask = np.ones(BURST, dtype=bool) if mask is None else mask
        self.requests.put({"write": 1, "address": address, "tag": self.random.randrange(1 << self.config.tag_bits)})
        self.order.append("write")
        item = {"data": int.from_bytes(data.tobytes(), "little"),
                "mask": int.from_bytes(np.packbits(mask, bitorder="little").tobytes(), "little")}
        if send:
            self.data.put(item)
        self.memory.write(address, data, mask)
        self.cover(True, address)
        self.hit("masked write", not mask.all() and mask.any())
        self.hit("write of nothing", not mask.any())
        return item

    def cover(self, write, address):
        """Cover points of a request beside the one before it."""
        self.hit("write" if write else "read")
        self.hit("first burst", address == 0)
        self.hit("last burst", address == self.memory.bursts - 1)
        if self.last is not None:
            before, other = self.last
            self.hit("read after write", before and not write)
            self.hit("write after read", write and not before)
            (bank, row), (last_bank, last_row) = place(address), place(other)
            self.hit("same row", bank == last_bank and row == last_row)
            self.hit("other row of the bank", bank == last_bank and row != last_row)
            self.hit("other bank group", bank % 4 != last_bank % 4)
        self.last = write, address

    def restart(self):
        """After a reset: nothing is expected, and what is in the memory is what the chips have."""
        self.board.reset()
        self.memory = golden.DramController(self.config.row_bits)
        self.order.clear()

    def random_mask(self):
        """No byte, all bytes (``None``), or some."""
        kind = self.random.randrange(4)
        return None if kind == 0 else np.zeros(BURST, dtype=bool) if kind == 1 else self.rng.random(BURST) < 0.5

    def traffic(self, count, addresses, write=0.5):
        """Queue random reads and writes of addresses that were preloaded."""
        for address in self.rng.choice(addresses, count):
            if self.random.random() < write:
                self.write(address, self.random_mask())
            else:
                self.read(address)

    def pool(self, kind):
        """Burst addresses that provoke something."""
        last = self.memory.bursts - 1
        rng = self.rng
        if kind == "stream":
            first = int(rng.integers(max(1, last - 600)))
            return np.arange(first, first + 300)
        if kind == "random":
            return np.unique([0, last, *rng.integers(last + 1, size=300)])
        if kind == "one bank":
            row_bits, bank = self.config.row_bits, int(rng.integers(16))
            base = bank & 3 | bank >> 2 << 9
            return np.unique([base | int(row) << 11 | int(column) << 2
                              for row, column in zip(rng.integers(1 << row_bits, size=40), rng.integers(128, size=40))])
        if kind == "few rows":
            return np.unique(rng.integers(2, size=200) << 11 | rng.integers(1 << 11, size=200))
        raise ValueError(kind)

    async def settle(self):
        """Wait until everything was sent and every response came."""
        while self.board.pending() or not self.requests.idle() or not self.data.idle():
            await self.bench.cycles(1)

    async def give_back(self):
        """Have the chips given back: everything taken is done then, and all banks are precharged."""
        self.dut.enable.value = 0
        await self.bench.cycles(2)
        while not int(self.dut.idle.value):
            await self.bench.cycles(1)
        assert all(self.rank.rules.open_row(bg, ba) is None for bg in range(4) for ba in range(4)), "open banks"

    async def finish(self):
        """Everything answered, chips given back, memory as the golden model has it."""
        await self.settle()
        await self.give_back()
        await self.bench.finish()
        for address, data, known in self.memory.contents():
            got = self.rank.dump(BURST * address, BURST)
            np.testing.assert_array_equal(got[known], data[known], err_msg=f"burst {address:#x}")

    @staticmethod
    def hit(point, reached=True):
        if reached:
            coverage.hit(point)


def in_order_bound(addresses, timing):
    """Clocks that no controller beats that sends these reads in order, from the first READ to the last.

    From tCCD, and of each bank, when its row changes, tRC, tRAS, tRTP, tRP, tRCD; neither phases nor tFAW, tRRD.
    """
    rows, activated, read = {}, {}, {}
    clock, group = -timing.tccd_l, None
    for address in map(int, addresses):
        bank, row = place(address)
        clock += timing.tccd_l if bank % 4 == group else timing.tccd_s
        if bank in rows and rows[bank] != row:
            precharge = max(activated[bank] + timing.tras, read[bank] + timing.trtp)
            activated[bank] = max(precharge + timing.trp, activated[bank] + timing.trc)
            clock = max(clock, activated[bank] + timing.trcd)
        elif bank not in rows:
            activated[bank] = -timing.trcd
        rows[bank], read[bank], group = row, clock, bank % 4
    return clock


class Host:
    """Somebody else who uses the chips while the controller is at rest, and leaves them as they are."""

    def __init__(self, harness):
        self.h = harness
        harness.chips.host = self

    def __call__(self):
        """What is on the pins in the cycle that ends, for :class:`sim.dram.ChipModel`."""
        clocks = range(self.h.rank.clock, self.h.rank.clock + 4)
        words = [self._commands.get(clock, 1) for clock in clocks]
        enable = sum((clock in self._driven) << phase for phase, clock in enumerate(clocks))
        # The host masks all bytes of what it writes.
        return (words, 0, enable, (1 << BURST) - 1) if enable or any(word != 1 for word in words) else None

    _commands, _driven = {}, set()

    def leave(self):
        """No commands any more."""
        self.h.chips.host = None

    async def visit(self):
        """Some commands: a REFRESH, ACTIVATEs, a READ or WRITE. Returns in the cycle of the last one."""
        h, random, timing = self.h, self.h.random, self.h.rank.timing
        self._commands, self._driven = {}, set()
        clock = h.rank.clock + 4 + random.randrange(8)
        refresh = None
        if random.random() < 0.5:
            refresh = clock
            self._commands[clock] = _pins(0b001)
            clock += timing.trfc + random.randrange(3)
        if refresh is None or random.random() < 0.5:
            for bank in random.sample(range(16), random.randrange(1, 5)):
                self._commands[clock] = bank % 4 << 2 | bank // 4 << 4 | random.randrange(1 << h.config.row_bits) << 6
                clock += max(timing.trrd_l, -(-timing.tfaw // 4))
                h.hit("host left banks open")
            if random.random() < 0.7:
                clock += timing.trcd
                write = random.random() < 0.5
                self._commands[clock] = _pins(0b100 if write else 0b101, bank)
                if write:
                    self._driven = set(range(clock + timing.cwl, clock + timing.cwl + 4))
        if refresh is not None:
            await self._until(refresh)
            h.dut.host_refresh.value = 1
            await h.bench.cycles(1)
            h.dut.host_refresh.value = 0
        last = max(self._commands)
        if h.rank.clock <= last:
            await self._until(last)
            await h.bench.cycles(1)

    async def _until(self, clock):
        """Wait for the start of the cycle of this clock."""
        while self.h.rank.clock + 4 <= clock:
            await self.h.bench.cycles(1)


def _pins(operation, bank=0):
    """Pins of a command with ``operation`` on RAS_n, CAS_n, WE_n, and burst 0 of the row."""
    return 2 | bank % 4 << 2 | bank // 4 << 4 | (operation << 14 | 1 << 12) << 6
