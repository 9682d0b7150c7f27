"""What the CellUnit's tests share: the harness that drives and compares vectors, cover points."""

import numpy as np

from golden.arith.activation import tanh
from golden.arith.fixed import saturate
from golden.duet import cell_unit as golden
from golden.duet.cell_unit import Cell
from hw.duet.cell_unit import GRU_FIELDS, CellUnitConfig
from sim.coverage import Coverage
from tests.dota.harness import StreamHarness

POINTS = [
    *(f"{cell.name} {what}" for cell in Cell for what in (
        "one element", "ragged last item", "corner values", "tanh saturated", "back to back", "reset in mid-work")),
    *(f"{cell.name} {which} rounding at its edge" for cell in Cell for which in ("first", "second")),
    "LSTM c saturated up", "LSTM c saturated down", "LSTM c beyond tanh's range", "GRU pre-activation saturated",
    "cell changes",
]
coverage = Coverage("cell_unit", POINTS)

#: Distances from half a unit, in the bits that a rounding drops, at which a wrong lowest bit shows.
EDGES = -2, -1, 0, 1

GATES = {Cell.LSTM: "ifo", Cell.GRU: "rz"}
OPERANDS = {Cell.LSTM: ("i", "f", "g", "o", "c"), Cell.GRU: ("r", "z", "nx", "nh", "h")}


def packed(values):
    """The word of 16-bit integers, the first in the low bits."""
    return sum((int(value) & 0xFFFF) << 16 * index for index, value in enumerate(values))


def tanh_of(c, c_fraction):
    """tanh of a cell state, as the unit takes it."""
    return tanh(saturate(c << 11 - c_fraction, 16))


def gate_for(target, other):
    """The gate whose product with ``other``, an odd number, ends in the 15 lowest bits of ``target``."""
    return target * pow(int(other), -1, 1 << 15) % (1 << 15)


class Harness(StreamHarness):
    """Drives vectors of one cell, compares every item with the golden model, collects coverage."""

    source, sink = "i", "o"

    def __init__(self, dut):
        super().__init__(dut)
        self.config = CellUnitConfig.from_dict(self.ctx.config)
        self.cell = None

    def board_lanes(self):
        return {"h": 16, "c": 16}

    async def setting(self, cell):
        """Choose the cell, once everything inside has come out."""
        await self.settle()
        if self.cell not in (None, cell):
            coverage.hit("cell changes")
        self.cell = cell
        self.dut.kind.value = cell.value

    def random_vector(self, length=None):
        """Operands of a vector: of the full range, near zero, corner values, or at the edges of roundings."""
        rng = self.rng
        length = int(rng.choice([1, self.config.lanes, *rng.integers(1, 40, 3)])) if length is None else length
        kind = rng.integers(4)
        if kind == 3:
            items = [self.edge() for _ in range(length)]
            return {name: np.array([item[name] for item in items]) for name in OPERANDS[self.cell]}

        def operand(name):
            low, high = (0, (1 << 15) - 1) if name in GATES[self.cell] else (-(1 << 15), (1 << 15) - 1)
            if kind == 0:
                return rng.choice([low, low + 1, 0, max(low, -1), 1, high - 1, high], length)
            spread = high if kind == 1 else 2000
            return rng.integers(max(low, -spread), spread + 1, length)

        if kind == 0:
            coverage.hit(f"{self.cell.name} corner values")
        return {name: operand(name) for name in OPERANDS[self.cell]}

    def edge(self):
        """Operands of one element whose two sums of products both end near half a unit of what they are rounded to."""
        rng, fraction = self.rng, self.config.c_fraction
        first, second = (int(edge) for edge in rng.choice(EDGES, 2))
        if self.cell is Cell.GRU:
            h, nx, nh = (int(value) for value in rng.integers(-4000, 4000, 3))
            nh |= 1
            r = gate_for((1 << 14) + first, nh)
            n = int(golden.gru(r, 0, nx, nh, h))
            h += 1 - (h - n) % 2
            return {"r": r, "z": gate_for((1 << 14) + second, h - n), "nx": nx, "nh": nh, "h": h}
        while True:
            g, c = (int(value) | 1 for value in rng.integers(-32767, 32768, 2))
            target = (1 << 29 - fraction) + first
            i = gate_for(target, g)
            f = gate_for(target - i * g >> 15 - fraction, c)
            t = tanh_of(golden.lstm(i, f, g, 0, c, c_fraction=fraction)[1], fraction)
            if t % 2:
                return {"i": i, "f": f, "g": g, "o": gate_for((1 << 14) + second, t), "c": c}

    def put(self, operands):
        """Queue a vector; lanes past the last element carry anything, gates excepted, which are not negative."""
        lanes, length = self.config.lanes, len(next(iter(operands.values())))
        if self.cell is Cell.LSTM:
            h, c = golden.lstm(**operands, c_fraction=self.config.c_fraction)
            fields = operands
        else:
            h, c = golden.gru(**operands), operands["h"]
            fields = {GRU_FIELDS[name]: values for name, values in operands.items()}
        self.cover(operands, h, c)
        missing = -length % lanes
        junk = self.rng.integers(0, 1 << 15, (len(fields), missing))
        rows = np.hstack([np.stack(list(fields.values())), junk])
        results = np.stack([h, c])
        if missing:
            results = np.hstack([results, self.junk_results(dict(zip(fields, junk)))])
        if self.corrupt:
            results[0, length // 2] ^= 1
        for at in range(0, length, lanes):
            last = int(at + lanes >= length)
            item = {name: packed(row[at:at + lanes]) for name, row in zip(fields, rows)}
            self.driver.put({**item, "last": last})
            self.board.expect({"h": packed(results[0, at:at + lanes]), "c": packed(results[1, at:at + lanes]),
                               "last": last})

    def junk_results(self, fields):
        """What comes out for lanes without an element: they compute like the others."""
        if self.cell is Cell.LSTM:
            return np.stack(golden.lstm(**fields, c_fraction=self.config.c_fraction))
        return np.stack([golden.gru(**{name: fields[field] for name, field in GRU_FIELDS.items()}), fields["i"]])

    def cover(self, operands, h, c):
        """Count the cover points that a vector reaches."""
        name, length = self.cell.name, len(h)
        limit = 8 << self.config.c_fraction
        reached = {f"{name} one element": length == 1, f"{name} ragged last item": length % self.config.lanes}
        if self.cell is Cell.LSTM:
            f, i, g, o = (operands[key] for key in "figo")
            sums = ((f * operands["c"] << 15 - self.config.c_fraction) + i * g, 30 - self.config.c_fraction), \
                (o * tanh_of(c, self.config.c_fraction), 15)
            reached |= {"LSTM tanh saturated": (abs(c) > limit).any(), "LSTM c saturated up": (c == 32767).any(),
                        "LSTM c saturated down": (c == -32768).any(),
                        "LSTM c beyond tanh's range": (abs(c) > 2 * limit).any()}
        else:
            total = operands["nx"] + (operands["r"] * operands["nh"] >> 15)
            r, z, nh, old = (operands[key] for key in ("r", "z", "nh", "h"))
            sums = (r * nh, 15), (z * (old - golden.gru(r, 0 * z, operands["nx"], nh, old)), 15)
            reached |= {"GRU tanh saturated": (abs(total) > 8 << 11).any(),
                        "GRU pre-activation saturated": (abs(total) > 32768).any()}
        for which, (total, shift) in zip(("first", "second"), sums):
            reached[f"{name} {which} rounding at its edge"] = {
                *((total - (1 << shift - 1)) % (1 << shift)).tolist()} & {0, (1 << shift) - 1}
        for point, yes in reached.items():
            if yes:
                coverage.hit(point)
