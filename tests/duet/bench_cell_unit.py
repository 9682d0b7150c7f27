"""What the CellUnit's tests share: the harness that drives and compares vectors, cover points."""

import numpy as np

from golden.duet import cell_unit as golden
from golden.duet.cell_unit import Cell
from hw.duet.cell_unit import GRU_FIELDS, CellUnitConfig
from sim.coverage import Coverage
from tests.dota.harness import StreamHarness

POINTS = [
    *(f"{cell.name} {what}" for cell in Cell for what in (
        "one element", "ragged last item", "corner values", "tanh saturated", "back to back", "reset in mid-work")),
    "LSTM c saturated up", "LSTM c saturated down", "LSTM c beyond tanh's range", "GRU pre-activation saturated",
    "cell changes",
]
coverage = Coverage("cell_unit", POINTS)

GATES = {Cell.LSTM: "ifo", Cell.GRU: "rz"}
OPERANDS = {Cell.LSTM: ("i", "f", "g", "o", "c"), Cell.GRU: ("r", "z", "nx", "nh", "h")}


def packed(values):
    """The word of 16-bit integers, the first in the low bits."""
    return sum((int(value) & 0xFFFF) << 16 * index for index, value in enumerate(values))


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
        """Operands of a vector: of the full range, near zero, or corner values."""
        rng = self.rng
        length = int(rng.choice([1, self.config.lanes, *rng.integers(1, 40, 3)])) if length is None else length
        kind = rng.integers(3)

        def operand(name):
            low, high = (0, (1 << 15) - 1) if name in GATES[self.cell] else (-(1 << 15), (1 << 15) - 1)
            if kind == 0:
                return rng.choice([low, low + 1, 0, max(low, -1), 1, high - 1, high], length)
            spread = high if kind == 1 else 2000
            return rng.integers(max(low, -spread), spread + 1, length)

        if kind == 0:
            coverage.hit(f"{self.cell.name} corner values")
        return {name: operand(name) for name in OPERANDS[self.cell]}

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
            reached |= {"LSTM tanh saturated": (abs(c) > limit).any(), "LSTM c saturated up": (c == 32767).any(),
                        "LSTM c saturated down": (c == -32768).any(),
                        "LSTM c beyond tanh's range": (abs(c) > 2 * limit).any()}
        else:
            total = operands["nx"] + (operands["r"] * operands["nh"] >> 15)
            reached |= {"GRU tanh saturated": (abs(total) > 8 << 11).any(),
                        "GRU pre-activation saturated": (abs(total) > 32768).any()}
        for point, yes in reached.items():
            if yes:
                coverage.hit(point)
