"""What the RMMU's tests share: the harness that drives and compares it cycle by cycle, random work, cover points."""

import itertools

from cocotb.triggers import FallingEdge

from golden.arith.precision import Precision
from golden.dota.rmmu import LoadKind, PeOp, Rmmu
from hw.dota.rmmu import RmmuConfig
from sim.bench import start
from sim.context import context


class Harness:
    """Drives the RMMU cycle by cycle and compares every result, at the exact cycle, with the golden model.

    Ports are driven and sampled at the falling edge: what is sampled is what the last rising edge produced.
    """

    def __init__(self, dut, coverage=None):
        self.dut, self.ctx, self.coverage = dut, context(), coverage
        ctx = self.ctx
        self.corrupt = ctx.options.get("corrupt", 0)
        self.latency = RmmuConfig.from_dict(ctx.config).result_latency
        self.rows, self.cols, self.streams = (ctx.config[name] for name in ("rows", "cols", "streams"))
        self.depth = ctx.config["psum_depth"]
        self.model = Rmmu(self.rows, self.cols, self.streams, self.depth)
        self.layouts = {name: ctx.layout(name) for name in ("load", "beat", "result")}
        self.cycle = 0
        self.due = {}
        self.results = 0
        self.before = None

    def payload(self, name, fields):
        """Pack dotted field names into a payload; what is left out is 0."""
        layout, value = self.layouts[name], 0
        for key, number in fields.items():
            offset, width, _ = layout[key]
            value |= (int(number) & ((1 << width) - 1)) << offset
        return value

    async def start(self):
        self.idle()
        self.dut.drain_row.value = 0
        await start(self.dut, timeout=None)
        await FallingEdge(self.dut.clk)

    def idle(self):
        for name in ("load", "beat"):
            getattr(self.dut, f"{name}__valid").value = 0
            getattr(self.dut, f"{name}__payload").value = 0

    async def step(self, load=None, beat=None):
        """One cycle with an optional load (keywords of ``Rmmu.load``) and beat (of ``Rmmu.beat``)."""
        dut, model = self.dut, self.model
        dut.load__valid.value = load is not None
        dut.beat__valid.value = beat is not None
        if beat is not None:
            fields = {f"cols.{i}": word for i, word in enumerate(beat["cols"])}
            fields |= {f"rows.{i}": value for i, value in enumerate(beat.get("rows", ()))}
            for row, entry in enumerate(beat["control"]):
                fields |= {f"control.{row}.{key}": value for key, value in entry.items()}
            tag = self.cycle & 0xffffff
            fields |= dict(index=beat.get("index", 0), first=beat["first"], last=beat["last"], tag=tag)
            dut.beat__payload.value = self.payload("beat", fields)
            self.cover(load, beat)
            result = model.beat(**beat)
            if result is not None:
                self.due[self.cycle + self.latency] = [int(value) for value in result], tag
        if load is not None:
            dut.load__payload.value = self.payload("load", load)
            self.hit(f"load {LoadKind(load['kind']).name}")
            model.load(**load)
        self.before = beat
        await FallingEdge(dut.clk)
        self.cycle += 1
        self.check()

    def check(self):
        """The result stream in this cycle: valid exactly when one is due, and equal."""
        wanted = self.due.pop(self.cycle, None)
        valid = int(self.dut.result__valid.value)
        assert valid == (wanted is not None), (
            f"cycle {self.cycle}: result valid is {valid}, expected {wanted is not None} (latency {self.latency})")
        if wanted is None:
            return
        self.results += 1
        rows, tag = wanted
        if self.corrupt and self.results == self.corrupt:
            rows = [rows[0] ^ 1, *rows[1:]]
        payload, layout = int(self.dut.result__payload.value), self.layouts["result"]
        for key, value in [*((f"rows.{i}", value) for i, value in enumerate(rows)), ("tag", tag)]:
            offset, width, _ = layout[key]
            found = payload >> offset & ((1 << width) - 1)
            assert found == value, f"cycle {self.cycle}: result {key} is {found:#x}, expected {value:#x}"

    async def flush(self):
        """Idle until nothing is in flight, and some cycles more: no surplus result may come."""
        for _ in range(self.latency + 4):
            await self.step()

    async def drain(self, rows):
        """Compare the accumulators of ``rows``; the array must be flushed."""
        for row in rows:
            self.dut.drain_row.value = row
            await self.step()
            offset = 0
            found = int(self.dut.drain.value)
            for col, value in enumerate(self.model.drain(row)):
                lane = found >> offset & ((1 << 44) - 1)
                assert lane == int(value) & ((1 << 44) - 1), (
                    f"accumulator {row},{col} is {lane:#x}, expected {int(value) & ((1 << 44) - 1):#x}")
                offset += 44

    async def reset(self):
        """Reset for two cycles in the midst of whatever is in flight; nothing of it may come out."""
        self.idle()
        self.dut.rst.value = 1
        self.due.clear()
        self.model.reset()
        for _ in range(2):
            await FallingEdge(self.dut.clk)
            self.cycle += 1
            self.check()
        self.dut.rst.value = 0

    async def fill(self, random, kind=LoadKind.WORD):
        """Load every row completely."""
        for row, lane in itertools.product(range(self.rows), range(4)):
            await self.step(load=dict(data=word(random, self.cols), kind=LoadKind.WORD, row=row, lane=lane))

    def hit(self, point):
        if self.coverage is not None:
            self.coverage.hit(point)

    def cover(self, load, beat):
        if self.coverage is None:
            return
        control = beat["control"]
        modes = [entry["mode"] if entry["op"] == PeOp.DOT else None for entry in control]
        present = {mode for mode in modes if mode is not None}
        for one, two in itertools.combinations(sorted(present), 2):
            self.hit(f"{Precision(one).name} beside {Precision(two).name}")
        for mode in present:
            if modes.count(mode) == self.rows:
                self.hit(f"all rows {Precision(mode).name}")
        ops = {entry["op"] for entry in control}
        if {PeOp.DOT, PeOp.MAC} <= ops:
            self.hit("DOT beside MAC")
        for entry in control:
            if entry["op"] != PeOp.NOP:
                self.hit(f"select {entry['select']}")
                self.hit(f"half {entry['half']}")
        if load is not None:
            self.hit("load with beat")
            for row, entry in enumerate(control):
                hit = load["kind"] == LoadKind.COLUMN or load.get("row", 0) == row
                if hit and entry["swap"] and entry["op"] != PeOp.NOP:
                    self.hit("load into the row that swaps")
        if self.before is not None:
            self.hit("beat after beat")
            if self.before["index"] == beat["index"] and beat["first"]:
                self.hit("same index again at once")
            for old, new in zip(self.before["control"], control):
                if old["op"] == new["op"] == PeOp.DOT and old["mode"] != new["mode"]:
                    self.hit("mode change from beat to beat")
        self.hit(f"first {int(beat['first'])} last {int(beat['last'])}")


def points(config):
    """The cover points of the random tests."""
    names = [f"{one.name} beside {two.name}" for one, two in itertools.combinations(Precision, 2)]
    names += [f"all rows {mode.name}" for mode in Precision] + [f"load {kind.name}" for kind in LoadKind]
    names += [f"select {i}" for i in range(config["streams"])] + ["half 0", "half 1", "DOT beside MAC"]
    names += ["load with beat", "load into the row that swaps", "beat after beat", "same index again at once"]
    return names + ["mode change from beat to beat", *(f"first {a} last {b}" for a in (0, 1) for b in (0, 1))]


#: Corner patterns of 32 bits: 0, -1, and the least and greatest operand of each width.
CORNERS = (0, 0xffffffff, 0x80008000, 0x7fff7fff, 0x80808080, 0x7f7f7f7f, 0x88888888, 0x77777777, 0xaaaaaaaa,
           0x55555555, 1, 0x80000000)


def word(random, cols):
    """A random word: mostly uniform, now and then made of corner patterns."""
    if random.random() < 0.7:
        return random.getrandbits(32 * cols)
    same = random.choice(CORNERS) if random.random() < 0.5 else None
    return sum((random.choice(CORNERS) if same is None else same) << 32 * col for col in range(cols))


class Traffic:
    """Random legal work: several partial sums open at once, every row with a mode, operation and tile of its own."""

    def __init__(self, h, random):
        self.h, self.random = h, random
        self.open = {}
        self.used = []
        self.narrow = True

    def load(self):
        h, random = self.h, self.random
        # 16-bit loads make a tile unfit for the integer modes until its next WORD load, so they are rarer.
        kind = random.choices(list(LoadKind), [12, 1, 1, 0.5])[0] if self.narrow else LoadKind.WORD
        row = random.randrange(h.rows)
        return dict(data=word(random, h.cols), kind=kind, row=row & ~1 if kind is LoadKind.PAIR else row,
                    lane=random.randrange(4) if random.random() < 0.6 else 0, half=random.randrange(2),
                    col=random.randrange(h.cols))

    def beat(self):
        h, random, model = self.h, self.random, self.h.model
        recent = self.used[-3:]
        free = [index for index in self.open if index not in recent]
        if free and random.random() < 0.7:
            index, first = random.choice(free), False
            modes, left = self.open[index]
        else:
            again = self.used and self.used[-1] is not None and random.random() < 0.1
            index = self.used[-1] if again else random.randrange(h.depth)
            first, left = True, random.choice((1, 1, 2, 3, 5, 9))
            if random.random() < 0.3:
                modes = [random.choice(list(Precision))] * h.rows
            else:
                modes = [random.choice([*Precision, None]) for _ in range(h.rows)]
        control = []
        for row in range(h.rows):
            swap = random.random() < 0.2
            entry = dict(op=PeOp.NOP, mode=random.choice(list(Precision)), first=False, swap=swap,
                         half=random.randrange(2), select=random.randrange(h.streams))
            if modes[row] in model.ready_modes(row, swap):
                entry |= dict(op=PeOp.DOT, mode=modes[row])
            elif modes[row] in model.ready_modes(row, not swap):
                entry |= dict(op=PeOp.DOT, mode=modes[row], swap=not swap)
            elif self.narrow and random.random() < 0.5:
                entry |= dict(op=PeOp.MAC, mode=Precision.FX16,
                              first=random.random() < 0.1 or not model.started(row))
            control.append(entry)
        if first:
            modes = [mode if entry["op"] == PeOp.DOT else None for mode, entry in zip(modes, control)]
        if left == 1:
            self.open.pop(index, None)
        else:
            self.open[index] = modes, left - 1
        self.used = [*recent, index]
        rows = [random.choice((-32768, 32767, -1, 0, random.randrange(-32768, 32768))) for _ in range(h.rows)]
        return dict(cols=[word(random, h.cols) for _ in range(h.streams)], control=control, rows=rows,
                    index=index, first=first, last=left == 1)

    async def run(self, cycles, gap=0.0, load=0.7, narrow=True):
        """``narrow``: with 16-bit loads and MACs, after which a row's tile serves FX16 only."""
        self.narrow = narrow
        for _ in range(cycles):
            beat = None if self.random.random() < gap else self.beat()
            if beat is None:
                self.used = [*self.used[-3:], None]
            await self.h.step(self.load() if self.random.random() < load else None, beat)


def row_control(h, **fields):
    """The same control for all rows."""
    return [dict(op=PeOp.DOT, mode=Precision.FX16, first=False, swap=False, half=0, select=0) | fields
            for _ in range(h.rows)]
