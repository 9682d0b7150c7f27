"""The RMMU against its golden model: bit-exact results at the exact latency, and the model against plain sums."""

import itertools

import cocotb
import numpy as np
import pytest
from cocotb.triggers import FallingEdge

from golden.arith.precision import Precision
from golden.dota.rmmu import LoadKind, PeOp, Rmmu, chunk_elements, join_segments, split_segments
from sim.context import context

# ---- in the simulation ------------------------------------------------------------------------------------------


class Bench:
    """Drives the RMMU cycle by cycle and compares every result, at the exact cycle, with the golden model.

    Ports are driven and sampled at the falling edge: what is sampled is what the last rising edge produced.
    """

    def __init__(self, dut, ctx, coverage=None, corrupt=0):
        from hw.dota.rmmu import RmmuConfig

        self.dut, self.config, self.coverage, self.corrupt = dut, ctx.config, coverage, corrupt
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
        from sim.bench import start

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

    def __init__(self, bench, random):
        self.bench, self.random = bench, random
        self.open = {}
        self.used = []
        self.narrow = True

    def load(self):
        bench, random = self.bench, self.random
        # 16-bit loads make a tile unfit for the integer modes until its next WORD load, so they are rarer.
        kind = random.choices(list(LoadKind), [12, 1, 1, 0.5])[0] if self.narrow else LoadKind.WORD
        row = random.randrange(bench.rows)
        return dict(data=word(random, bench.cols), kind=kind, row=row & ~1 if kind is LoadKind.PAIR else row,
                    lane=random.randrange(4) if random.random() < 0.6 else 0, half=random.randrange(2),
                    col=random.randrange(bench.cols))

    def beat(self):
        bench, random, model = self.bench, self.random, self.bench.model
        recent = self.used[-3:]
        free = [index for index in self.open if index not in recent]
        if free and random.random() < 0.7:
            index, first = random.choice(free), False
            modes, left = self.open[index]
        else:
            again = self.used and self.used[-1] is not None and random.random() < 0.1
            index = self.used[-1] if again else random.randrange(bench.depth)
            first, left = True, random.choice((1, 1, 2, 3, 5, 9))
            if random.random() < 0.3:
                modes = [random.choice(list(Precision))] * bench.rows
            else:
                modes = [random.choice([*Precision, None]) for _ in range(bench.rows)]
        control = []
        for row in range(bench.rows):
            swap = random.random() < 0.2
            entry = dict(op=PeOp.NOP, mode=random.choice(list(Precision)), first=False, swap=swap,
                         half=random.randrange(2), select=random.randrange(bench.streams))
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
        rows = [random.choice((-32768, 32767, -1, 0, random.randrange(-32768, 32768))) for _ in range(bench.rows)]
        return dict(cols=[word(random, bench.cols) for _ in range(bench.streams)], control=control, rows=rows,
                    index=index, first=first, last=left == 1)

    async def run(self, cycles, gap=0.0, load=0.7, narrow=True):
        """``narrow``: with 16-bit loads and MACs, after which a row's tile serves FX16 only."""
        self.narrow = narrow
        for _ in range(cycles):
            beat = None if self.random.random() < gap else self.beat()
            if beat is None:
                self.used = [*self.used[-3:], None]
            await self.bench.step(self.load() if self.random.random() < load else None, beat)


def row_control(bench, **fields):
    """The same control for all rows."""
    return [dict(op=PeOp.DOT, mode=Precision.FX16, first=False, swap=False, half=0, select=0) | fields
            for _ in range(bench.rows)]


@cocotb.test()
async def random_traffic(dut):
    """Everything at once: at full rate, then with gaps of several densities, then with long pauses."""
    from sim.coverage import Coverage

    ctx = context()
    coverage = Coverage("rmmu", points(ctx.config))
    bench = Bench(dut, ctx, coverage, corrupt=ctx.options.get("corrupt", 0))
    await bench.start()
    await bench.fill(ctx.random)
    cycles = ctx.options.get("cycles", 400)
    traffic = Traffic(bench, ctx.random)
    for gap, load, narrow in ((0, 0.8, False), (0, 0.8, True), (0.5, 0.9, True), (0.9, 0.5, True), (0, 1, True)):
        await traffic.run(cycles, gap, load, narrow)
        await bench.flush()
        traffic.used = []
        await bench.drain([row for row in range(bench.rows) if bench.model.started(row)])
    assert bench.results > cycles // 4
    coverage.check()


@cocotb.test()
async def reset_in_mid_work(dut):
    """A reset at any moment leaves nothing behind: no result of before, and correct work after."""
    ctx = context()
    bench = Bench(dut, ctx)
    await bench.start()
    for cycles in (3, bench.latency, 40):
        await bench.fill(ctx.random)
        await Traffic(bench, ctx.random).run(cycles)
        await bench.reset()
        await bench.flush()
    await bench.fill(ctx.random)
    await Traffic(bench, ctx.random).run(100)
    await bench.flush()


@cocotb.test()
async def tiles_double_buffered(dut):
    """A stationary tile is loaded while the one before is in use; a swap costs no cycle, in every mode."""
    ctx = context()
    bench, random = Bench(dut, ctx), ctx.random
    await bench.start()
    for mode in Precision:
        lanes = mode.tile[1]
        loads = [dict(kind=LoadKind.HALF if mode is Precision.FX16 else LoadKind.WORD, row=row, lane=lane, half=row % 2)
                 for row in range(bench.rows) for lane in range(lanes)]
        await bench.flush()
        for load in loads:
            await bench.step(load=dict(data=word(random, bench.cols), **load))
        for tile in range(3):
            for beat in range(max(bench.depth, len(loads))):
                control = row_control(bench, mode=mode, swap=beat == 0, half=beat % 2, select=beat % bench.streams)
                load = dict(data=word(random, bench.cols), **loads[beat]) if beat < len(loads) else None
                await bench.step(load, dict(cols=[word(random, bench.cols) for _ in range(bench.streams)],
                                            control=control, rows=[0] * bench.rows, index=beat % bench.depth,
                                            first=tile == 0 or beat >= bench.depth, last=True))
    await bench.flush()


@cocotb.test()
async def long_sums(dut):
    """K = 4096 of the operands with the greatest products: no partial sum and no accumulator overflows."""
    ctx = context()
    bench = Bench(dut, ctx)
    await bench.start()
    low = {mode: int.from_bytes({16: b"\x00\x80", 8: b"\x80", 4: b"\x88", 2: b"\xaa"}[mode.bits] *
                                (4 * bench.cols * 8 // max(mode.bits, 8)), "little") for mode in Precision}
    high = {mode: int.from_bytes({16: b"\xff\x7f", 8: b"\x7f", 4: b"\x77", 2: b"\x55"}[mode.bits] *
                                 (4 * bench.cols * 8 // max(mode.bits, 8)), "little") for mode in Precision}
    for mode, streamed in itertools.product(Precision, (low, high)):
        for row, lane in itertools.product(range(bench.rows), range(mode.tile[1])):
            await bench.step(load=dict(data=low[mode], kind=LoadKind.WORD, row=row, lane=lane))
        chunks = 4096 // chunk_elements(mode, bench.cols)
        # Four sums take turns, because the same one must not recur within four cycles.
        for chunk, index in itertools.product(range(chunks), range(4)):
            await bench.step(beat=dict(cols=[streamed[mode]] * bench.streams,
                                       control=row_control(bench, mode=mode, swap=chunk == 0 and index == 0),
                                       rows=[0] * bench.rows, index=index, first=chunk == 0, last=chunk == chunks - 1))
    for streamed, operand in ((low, -32768), (high, -32768)):
        for beat in range(4096):
            control = row_control(bench, op=PeOp.MAC, first=beat == 0)
            await bench.step(beat=dict(cols=[streamed[Precision.FX16]] * bench.streams, control=control,
                                       rows=[operand] * bench.rows, index=0, first=True, last=False))
        await bench.flush()
        await bench.drain(range(bench.rows))


# ---- under pytest -----------------------------------------------------------------------------------------------


def run(**arguments):
    from resilin.simulate import simulate

    return simulate("rmmu", **arguments)


def test_small():
    run(preset="small", seed=1)


@pytest.mark.parametrize("seed, overrides", [
    (2, dict(rows=2, cols=2, streams=1, psum_depth=8)),
    (3, dict(rows=6, cols=8, streams=4, psum_depth=16)),
])
def test_other_sizes(seed, overrides):
    run(preset="small", overrides=overrides, seed=seed)


def test_paper_size():
    run(preset="paper", seed=4, testcase="random_traffic", options={"cycles": 120})


def test_checker_sees_a_wrong_result():
    """One flipped bit in one expected result fails the run."""
    with pytest.raises(AssertionError, match="expected"):
        run(preset="small", seed=5, testcase="random_traffic", options={"corrupt": 37})


# ---- the golden model -------------------------------------------------------------------------------------------


def pack_elements(values, bits):
    """Plain Python packing, independent of the model's: element 0 in the low bits."""
    return sum((int(value) & ((1 << bits) - 1)) << bits * i for i, value in enumerate(values))


@pytest.mark.parametrize("mode", list(Precision))
def test_model_matrix_product(mode):
    """Tiles of a matrix product, element by element, against Python's own integers."""
    rng = np.random.default_rng(7)
    rows, cols, chunks = 4, 4, 3
    length, lanes = mode.tile
    chunk, low = chunk_elements(mode, cols), -(1 << mode.bits - 1)
    stationary = rng.integers(low, -low, (rows * lanes, chunks * chunk))
    streamed = rng.integers(low, -low, (5, chunks * chunk))
    stationary[0], streamed[0] = low, low
    model = Rmmu(rows, cols, 1, 8)
    found = np.zeros((5, rows * lanes), np.int64)
    for c in range(chunks):
        part = slice(c * chunk, (c + 1) * chunk)
        for row in range(rows):
            for lane in range(lanes):
                values = stationary[row * lanes + lane, part]
                if mode is Precision.FX16:
                    model.load(pack_elements(values, 16), LoadKind.HALF, row)
                else:
                    model.load(pack_elements(values, mode.bits), LoadKind.WORD, row, lane)
        for i in range(5):
            half = c % 2 if mode is Precision.FX16 else 0
            data = pack_elements(streamed[i, part], mode.bits) << (16 * cols * half)
            result = model.beat([data], [dict(op=PeOp.DOT, mode=mode, swap=i == 0, half=half)] * rows, index=i,
                                first=c == 0, last=c == chunks - 1)
            assert (result is None) == (c < chunks - 1)
            if result is not None:
                found[i] = split_segments(result, mode).reshape(-1)
    assert found.tolist() == [[sum(int(a) * int(b) for a, b in zip(row, weights)) for weights in stationary]
                              for row in streamed]


def test_model_loads_and_accumulators():
    """COLUMN and PAIR place elements as documented; MAC forms outer products."""
    rng = np.random.default_rng(8)
    model = Rmmu(4, 2, 1, 4)
    elements = rng.integers(-32768, 32768, (2, 4))
    for col in range(2):
        model.load(pack_elements(elements[col], 16), LoadKind.COLUMN, col=col)
    dot = [dict(op=PeOp.DOT, mode=Precision.FX16, swap=1, half=1)] * 4
    streamed = rng.integers(-32768, 32768, 4)
    result = split_segments(model.beat([pack_elements(streamed, 16)], dot), Precision.FX16)[:, 0]
    assert result.tolist() == [sum(int(streamed[2 + c]) * int(elements[c, r]) for c in range(2)) for r in range(4)]
    for row in (0, 2):
        model.load(pack_elements(elements[row // 2], 16), LoadKind.PAIR, row=row)
    result = split_segments(model.beat([pack_elements(streamed, 16)], dot), Precision.FX16)[:, 0]
    assert result.tolist() == [sum(int(streamed[2 + c]) * int(elements[r // 2, 2 * (r % 2) + c]) for c in range(2))
                               for r in range(4)]
    operands = rng.integers(-32768, 32768, (3, 4))
    columns = rng.integers(-32768, 32768, (3, 4))
    for step in range(3):
        mac = [dict(op=PeOp.MAC, first=step == 0)] * 4
        model.beat([pack_elements(columns[step], 16)], mac, rows=operands[step])
    for row in range(4):
        assert model.drain(row).tolist() == [sum(int(operands[s, row]) * int(columns[s, c]) for s in range(3))
                                             for c in range(2)]


@pytest.mark.parametrize("mode", list(Precision))
def test_model_holds_4096_products(mode):
    """The greatest sum over K = 4096 fits; the field's first overflow is refused, not wrapped."""
    largest = 4096 << 2 * (mode.bits - 1)
    lanes = mode.tile[1]
    assert split_segments(join_segments(np.full((1, lanes), largest), mode), mode).tolist() == [[largest] * lanes]
    if lanes > 1:
        with pytest.raises(ValueError, match="field"):
            join_segments(np.full((1, lanes), 1 << 64 // lanes - 1), mode)


def test_model_refuses():
    """What the hardware leaves unspecified or cannot hold is an error that names the field."""
    model = Rmmu(4, 2, 1, 4)
    dot = [dict(op=PeOp.DOT, mode=Precision.INT8)] * 4
    with pytest.raises(ValueError, match="mode = INT8"):
        model.beat([0], dot)
    for row in range(4):
        model.load(0, LoadKind.WORD, row)
    swapped = [entry | dict(swap=1) for entry in dot]
    model.beat([0], swapped, index=1)
    with pytest.raises(ValueError, match="first = 0"):
        model.beat([0], dot, index=2, first=False)
    model.load(0, LoadKind.HALF, 3)
    with pytest.raises(ValueError, match="mode = INT8"):
        model.beat([0], swapped)
    for name, wrong in (("row", dict(row=4)), ("lane", dict(lane=4)), ("row", dict(kind=LoadKind.PAIR, row=1)),
                        ("half", dict(kind=LoadKind.HALF, half=2)), ("col", dict(kind=LoadKind.COLUMN, col=2)),
                        ("data", dict(data=1 << 64))):
        with pytest.raises(ValueError, match=name):
            model.load(**(dict(data=0) | wrong))
    for name, wrong in (("index", dict(index=4)), ("cols", dict(cols=[1 << 64])), ("cols", dict(cols=[0, 0])),
                        ("control", dict(control=dot[:3])), ("op", dict(control=[dict(op=3)] * 4))):
        with pytest.raises(ValueError, match=name):
            model.beat(**(dict(cols=[0], control=[dict(op=PeOp.NOP)] * 4) | wrong))
    with pytest.raises(ValueError, match="row = 0"):
        model.drain(0)
    with pytest.raises(ValueError, match="rows"):
        model.beat([0], [dict(op=PeOp.MAC, first=1)] * 4)
    with pytest.raises(ValueError, match="psum_depth"):
        Rmmu(4, 2, 1, 0)
