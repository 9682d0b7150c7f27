"""What the arrays of FiGS and its rivals share: the control of a column, and how the sums leave."""

import dataclasses

from amaranth.hdl import Assert, Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import field
from hw.figs.mac_lane import LaneConfig
from hw.stream.hold import assert_hold

__all__ = ["ColumnControl", "GridConfig", "NmArray"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridConfig(LaneConfig):
    """Sizes of an array of elements with ``beta`` multiply-accumulate units each."""

    rows: int = field(16, "rows of elements", min=2, max=64, power_of_two=True)
    columns: int = field(4, "columns of elements", min=1, max=64)

    @property
    def macs(self):
        """Multiply-accumulate units."""
        return self.rows * self.columns * self.beta

    @property
    def row_bits(self):
        """Width of a row's sums."""
        return self.columns * self.beta * self.sum_bits


class ColumnControl(data.StructLayout):
    """A schedule cycle of a column: ``active`` (0: there is none), ``first`` and ``last`` of a pass, ``age``: cycles
    since the pass began, at most ``depth`` - 1; ``entries``: what the elements do."""

    def __init__(self, entry_bits, depth=1):
        super().__init__({"active": 1, "first": 1, "last": 1, "age": range(depth), "entries": entry_bits})


class NmArray(wiring.Component):
    """Base of the arrays: output stationary, activations from the east, sums down the rows.

    A derived class makes the elements of a column in :meth:`make_column`.

    Latency: from a column's ``last`` 3 cycles until its sums are in the registers they leave from; the last row is on
    ``results`` from then on, counted from the last column.
    Throughput: a schedule cycle a cycle, passes back to back when they have at least rows + columns cycles and
    ``results`` are taken at once.
    Back-pressure: by the user, who waits for ``drained`` before the next ``last``; ``go`` for everything else.

    Members
    -------
    go: In(1); 0: everything but the sums that leave stays, nothing is added
    load: In(1); 1: the registers of column 0 take ``feed``, 0: they keep their values
    feed: In(rows * feed_bits), row 0 low
    control: In, :class:`ColumnControl` of each column. Column c's schedule cycle is c cycles after column 0's, and that
        of column 0 is ``entry_lag`` cycles after its feed; cycles with ``go`` count.
    results: Out(stream of columns * beta sums): a pass' sums, the last row first, column c's unit j at bit
        (c * beta + j) * sum_bits
    drained: Out(1), with the transfer of a pass' last word
    """

    #: Cycles from a schedule cycle's ``load`` and ``feed`` to its control in column 0.
    entry_lag = 1

    def __init__(self, config, *, feed_bits, entry_bits, depth=1, assertions=False, **members):
        self.config = config
        self.assertions = assertions
        self.feed_bits = feed_bits
        self.entry_bits = entry_bits
        super().__init__({
            "go": In(1), "load": In(1), "feed": In(config.rows * feed_bits),
            "control": In(data.ArrayLayout(ColumnControl(entry_bits, depth), config.columns)),
            "results": Out(stream.Signature(config.row_bits)), "drained": Out(1), **members,
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        draining, left, shift = Signal(), Signal(range(config.rows)), Signal()
        m.d.comb += [shift.eq(draining & self.results.ready), self.drained.eq(shift & (left == 0))]
        captures, sums = [], []
        for column in range(config.columns):
            control = self.control[column]
            active, first, last, capture = (Signal(name=f"{name}_{column}")
                                            for name in ("active", "first", "last", "capture"))
            m.d.comb += active.eq(control.active & self.go)
            m.d.sync += [first.eq(active & control.first), last.eq(active & control.last), capture.eq(last)]
            sums.append(self.make_column(m, column, active, first, capture, shift))
            captures.append(capture)
        self.finish_columns(m)
        m.d.sync += left.eq(left - shift)
        with m.If(self.drained):
            m.d.sync += draining.eq(0)
        with m.If(captures[-1]):
            m.d.sync += [draining.eq(1), left.eq(config.rows - 1)]
        m.d.comb += [self.results.valid.eq(draining), self.results.payload.eq(Cat(sums))]
        if self.assertions:
            with m.If(Cat(captures).any()):
                m.d.sync += Assert(~draining, "sums come before those of the pass before have left")
            assert_hold(m, self.results)
        return m

    def make_column(self, m, column, active, first, capture, shift):
        """Make the elements of a column; gives the sums of its last row.

        ``active``: the column has a schedule cycle now; ``first``, ``capture`` and ``shift`` as of
        :class:`hw.figs.mac_lane.MacLane`.
        """
        raise NotImplementedError

    def finish_columns(self, m):
        """What is made when all columns are there."""
