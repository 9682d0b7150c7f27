"""One lane of the SpeculatorMfu: from an approximate sum to its pre-activation."""

from amaranth.hdl import C, Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.booth import booth_products, digit_sizes, split_digits
from hw.arith.compressor import Compressor
from hw.arith.saturating_shift import SaturatingShift
from hw.shared import shared

__all__ = ["PreActivation"]

LIMIT, PRODUCT, ADDEND = 21, 4, 9
"""Times of :meth:`Compressor.within`: up to the first register; of the products' bits and of the addend's."""


@shared
class PreActivation(wiring.Component):
    """``pre = saturate(floor((acc * scale + addend) / 2^shift))``.

    With ``addend`` = bias * 2^shift + half of 2^shift this is saturate(round(acc * scale / 2^shift) + bias).

    Latency: :attr:`latency` = 2 cycles in which ``go`` is 1: products in carry-save form; their sum, shift and
    saturation. Throughput: one a cycle.

    Ports: ``acc`` In(signed(acc_bits)); ``digits`` In, of the scale (:func:`hw.arith.booth.split_digits`);
    ``addend`` In(signed(addend_bits)); ``shift`` In; ``go`` In; ``pre`` Out(signed(pre_bits)), from a register.
    """

    latency = 2

    def __init__(self, acc_bits, scale_bits, addend_bits, pre_bits, max_shift):
        self.scale_bits, self.max_shift = scale_bits, max_shift
        super().__init__({
            "acc": In(signed(acc_bits)),
            "digits": In(sum(digit_sizes(scale_bits))),
            "addend": In(signed(addend_bits)),
            "shift": In(range(max_shift + 1)),
            "go": In(1),
            "pre": Out(signed(pre_bits)),
        })

    def elaborate(self, platform):
        m = Module()
        adders = Compressor(m)
        width = 1 + max(len(self.acc) + self.scale_bits, len(self.addend))
        products, constant = booth_products(adders, self.acc, split_digits(self.digits, self.scale_bits))
        # The addend's sign is complemented, as the products' are.
        top = len(self.addend) - 1
        constant -= 1 << top
        columns = {weight: [(PRODUCT, bit) for bit in products.get(weight, ())] for weight in range(width)}
        for weight, column in columns.items():
            if weight <= top:
                column.append((ADDEND, adders.bit(self.addend[weight] ^ (weight == top))))
            if constant >> weight & 1:
                column.append((0, C(1, 1)))
        columns = adders.within(columns, width, LIMIT)

        rows = {weight: Signal(len(column), name=f"rows_{weight}", reset_less=True)
                for weight, column in columns.items()}
        # Two rows; more where numbers are so wide that they do not get there in time.
        total = sum(Cat(row[index] if index < len(row) else C(0, 1) for row in rows.values())
                    for index in range(max(map(len, rows.values()))))
        pre = Signal(self.pre.shape(), reset_less=True)
        m.submodules.shift = shift = SaturatingShift(width, len(self.pre), self.max_shift)
        m.d.comb += [shift.x.eq(total), shift.shift.eq(self.shift), self.pre.eq(pre)]
        with m.If(self.go):
            m.d.sync += [row.eq(Cat(bit for _, bit in columns[weight])) for weight, row in rows.items()]
            m.d.sync += pre.eq(shift.y)
        return m
