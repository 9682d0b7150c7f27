"""Systolic array: the Speculator's INT4 matrix products (thesis 5.1.1, step 3; Figure 5.2)."""

import dataclasses

from amaranth.hdl import Assert, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.pipeline import delay
from hw.config import Config, field
from hw.duet.skew import Skew
from hw.duet.systolic_row import SystolicRow
from hw.memory.sram import SramBank
from hw.stream.hold import assert_hold

__all__ = ["Operands", "Results", "SystolicArray", "SystolicArrayConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SystolicArrayConfig(Config):
    """Sizes of the systolic array."""

    rows: int = field(16, "rows of elements, left operands of a step", min=2, max=128)
    cols: int = field(32, "columns of elements, right operands of a step", min=2, max=128)
    bits: int = field(4, "width of an operand, signed", unit="bits", min=2, max=8)
    max_k: int = field(4096, "products of a sum at most", unit="products", min=1, max=1 << 20)

    PRESETS = {
        "paper": {},
        "small": {"rows": 4, "cols": 8},
        "fpga": {"cols": 8},
    }

    @property
    def acc_bits(self):
        """Width of a sum, signed: the greatest is max_k * 2^(2 bits - 2)."""
        return (self.max_k << 2 * self.bits - 2).bit_length() + 1

    @property
    def latency(self):
        """Cycles from the transfer of a step with ``last`` to its column 0 on ``results``, nothing else in the way."""
        return self.rows + 4

    @property
    def depth(self):
        """Columns that the output buffer holds: those of a tile, and those that leave before the next one's come."""
        return -(-(self.cols + self.latency - 2) // 4) * 4

    @property
    def memory_bits(self):
        """Bits of the output buffer."""
        return self.rows * self.depth * self.acc_bits

    def period(self, k):
        """Cycles between tiles of ``k`` steps when results are taken at once."""
        return max(k, self.cols)


class Operands(data.StructLayout):
    """A step: ``a``, row i at bit ``i * bits``; ``b``, column j at bit ``j * bits``; ``first``, ``last`` of a tile."""

    def __init__(self, rows, cols, bits):
        super().__init__({"a": rows * bits, "b": cols * bits, "first": 1, "last": 1})


class Results(data.StructLayout):
    """The sums of a column, row i at bit ``i * acc_bits``; ``last``: the column is the tile's last."""

    def __init__(self, rows, acc_bits):
        super().__init__({"data": rows * acc_bits, "last": 1})


class SystolicArray(wiring.Component):
    """sum[i][j] += a[i] * b[j] a step, for all rows i and columns j: a matrix product, a step for each k.

    Output stationary: element (i, j) keeps sum[i][j], the operands pass from element to element through registers, a to
    the right, b downwards, and meet there i + j cycles after they met in element (0, 0). A step with ``first`` begins
    new sums; one without goes on with those in the array, so that a sum can be made in several parts. After a step with
    ``last`` the sums leave, column 0 first; they stay in the array too. A reset clears the sums.

    The sums of a column are final a cycle after those of the column before. Each row puts one of them a cycle on its
    bus, at just this time, and into its bank of the output buffer; so the elements need no second register. Nothing in
    the array ever stops: a cycle without a step adds zeros, and a step with ``last`` waits until the buffer has room
    for all columns and until ``cols`` cycles have passed since the last one with ``last``.

    Throughput: one step a cycle, tiles of at least ``cols`` steps back to back; shorter ones take ``cols`` cycles each.
    Latency: :attr:`SystolicArrayConfig.latency`.
    Back-pressure: full; ``operands.ready`` does not depend in the same cycle on any input.
    Source: thesis 5.1.1, step 3. The output buffer is the QDR output buffer of Figure 5.2.

    Parameters: ``config`` a :class:`SystolicArrayConfig`; ``assertions``: check that results stay until they are
    taken, that the output buffer never overflows and that no sum has more than ``max_k`` products (simulation).

    Members
    -------
    operands: In(stream of :class:`Operands`), two's complement
    results: Out(stream of :class:`Results`), two's complement, from the buffer's output register; after each step with
        ``last`` all columns, in order
    """

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "operands": In(stream.Signature(Operands(config.rows, config.cols, config.bits))),
            "results": Out(stream.Signature(Results(config.rows, config.acc_bits))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        rows, cols, bits = config.rows, config.cols, config.bits

        # A step waits here until it may go.
        step, held, go = Signal.like(self.operands.payload, reset_less=True), Signal(), Signal()
        m.d.comb += self.operands.ready.eq(~held | go)
        with m.If(self.operands.ready):
            m.d.sync += [step.eq(self.operands.payload), held.eq(self.operands.valid)]

        # Room in the buffer is given away with the step, long before the sums come.
        room, wait = Signal(range(config.depth + 1), init=config.depth), Signal(range(cols))
        ends, freed = Signal(), Signal()
        m.d.comb += [go.eq(held & (~step.last | (~wait.any() & (room >= cols)))), ends.eq(go & step.last)]
        m.d.sync += room.eq(room - Mux(ends, cols, 0) + freed)
        with m.If(ends):
            m.d.sync += wait.eq(cols - 1)
        with m.Elif(wait.any()):
            m.d.sync += wait.eq(wait - 1)

        # first goes with b; last to all elements with the same i + j, whose operands are of the same step.
        fresh = Signal(init=1)
        with m.If(go):
            m.d.sync += fresh.eq(0)
        firsts, lasts = [go & (step.first | fresh)], [ends]
        for flags, name, stages in ((firsts, "first", cols - 1), (lasts, "last", rows + cols)):
            for stage in range(stages):
                flags.append(delay(m, flags[-1], 1, name=f"{name}_{stage}", control=True))

        m.submodules.skew_a = skew_a = Skew(rows, bits)
        m.submodules.skew_b = skew_b = Skew(cols, bits)
        m.d.comb += [skew_a.i.eq(Mux(go, step.a, 0)), skew_b.i.eq(step.b)]

        # Row 0's bus has column 0 two cycles after the step; each row follows a cycle after the one above.
        writes, write_address = Signal(), Signal(range(config.depth))
        m.d.comb += writes.eq(ends | wait.any())
        write = delay(m, writes, 2, name="write", control=True)
        with m.If(write):
            m.d.sync += write_address.eq(self._next(write_address))

        take, read_address = Signal(), Signal(range(config.depth))
        b, first, address, sums = skew_b.o, Cat(firsts), write_address, []
        for index in range(rows):
            m.submodules[f"row_{index}"] = row = SystolicRow(cols, bits, config.acc_bits)
            m.submodules[f"bank_{index}"] = bank = SramBank(config.acc_bits, config.depth)
            m.d.comb += [
                row.a.eq(skew_a.o.word_select(index, bits)), row.b.eq(b), row.first.eq(first),
                row.take.eq(Cat(lasts[index + 2:index + 2 + cols])),
                bank.write_mask.eq(write), bank.write_address.eq(address), bank.write_data.eq(row.result),
                bank.read_enable.eq(take), bank.read_address.eq(read_address),
            ]
            b, first = row.b_out, row.first_out
            sums.append(bank.read_data)
            write = delay(m, write, 1, name=f"write_{index}", control=True)
            address = delay(m, address, 1, name=f"address_{index}")

        # `write` is now 1 in the cycle after a column is complete in all banks.
        stored, column, last = Signal(range(config.depth + 1)), Signal(range(cols)), Signal()
        there, moves = Signal(), Signal()
        m.d.comb += [
            there.eq(write | stored.any()), moves.eq(~self.results.valid | self.results.ready), take.eq(there & moves),
            freed.eq(take), self.results.p.data.eq(Cat(sums)), self.results.p.last.eq(last),
        ]
        m.d.sync += stored.eq(stored + write - take)
        with m.If(moves):
            m.d.sync += self.results.valid.eq(there)
        with m.If(take):
            m.d.sync += [read_address.eq(self._next(read_address)), last.eq(column == cols - 1),
                         column.eq(Mux(column == cols - 1, 0, column + 1))]
        if self.assertions:
            self._check(m, go, firsts[0], stored)
        return m

    def _next(self, address):
        return Mux(address == self.config.depth - 1, 0, address + 1)

    def _check(self, m, go, first, stored):
        products = Signal(range(self.config.max_k + 1))
        with m.If(go):
            m.d.sync += [products.eq(Mux(first, 1, products + 1)),
                         Assert(first | (products != self.config.max_k), "a sum of more than max_k products")]
        m.d.sync += Assert(stored <= self.config.depth, "the output buffer overflows")
        assert_hold(m, self.results)
