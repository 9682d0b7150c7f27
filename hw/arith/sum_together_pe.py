"""A multiply-accumulate element that sums 1, 2, 4 or 8 products of one multiplier: the linear-scaling variant."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.compressor import Compressor
from hw.arith.precision import Precision

__all__ = ["SumTogetherPe"]

WIDTH = 16


class SumTogetherPe(wiring.Component):
    """1 FX16, 2 INT8, 4 INT4 or 8 INT2 products a cycle, summed and accumulated in 44 bits.

    The narrow operands of ``x`` are packed lowest first, those of ``w`` lowest **last**. In a 16 x 16 array of
    partial products x_i w_i then all lie on one diagonal of blocks with the same weight; the blocks off it are
    switched off, and nothing is shifted but the result. Source: the sum-together multipliers that the thesis' quadratic
    element (7.6.2) is an alternative to.

    Latency: ``acc`` shows a beat's sum ``latency`` cycles after it. Throughput: one beat a cycle, any mode after any.

    Ports
    -----
    mode, valid, first: precision of the beat; whether there is one; whether it starts the sum anew
    x, w: operands, 16 bits
    acc: the sum so far; wraps at 44 bits
    """

    latency = 2

    mode: In(Precision)
    valid: In(1)
    first: In(1)
    x: In(WIDTH)
    w: In(WIDTH)
    acc: Out(signed(44))

    def elaborate(self, platform):
        m = Module()
        x, w = (Signal(WIDTH, name=f"{name}_held", reset_less=True) for name in "xw")
        mode, valid, first = Signal(Precision), Signal(), Signal(reset_less=True)
        m.d.sync += [x.eq(self.x), w.eq(self.w), mode.eq(self.mode), valid.eq(self.valid), first.eq(self.first)]
        is_mode = [Signal(name=f"is_{precision.name.lower()}") for precision in Precision]
        m.d.comb += [flag.eq(mode == precision) for flag, precision in zip(is_mode, Precision)]
        columns = {weight: [] for weight in range(2 * WIDTH)}
        for i in range(WIDTH):
            for j in range(WIDTH):
                used, inverted = [], []
                for flag, precision in zip(is_mode, Precision):
                    bits = precision.bits
                    if i // bits + j // bits == WIDTH // bits - 1:
                        used.append(flag)
                        if (i % bits == bits - 1) != (j % bits == bits - 1):
                            inverted.append(flag)
                on = C(1) if len(used) == len(is_mode) else Cat(used).any()
                product = Signal(name=f"p_{i}_{j}")
                m.d.comb += product.eq((x[i] & w[j] & on) ^ (Cat(inverted).any() if inverted else 0))
                columns[i + j].append(product)
        for flag, precision in zip(is_mode, Precision):
            # Inverted bits add 2^(2n-1) - 2^n for each product: the first part inverts the sign, the second is added.
            columns[self._constant(precision)].append(flag)
        rows = Compressor(m).rows(columns, 2 * WIDTH)
        total = Signal(2 * WIDTH)
        m.d.comb += total.eq(sum(Cat(C(0) if bit is None else bit for bit in row) for row in rows))
        dot = Signal(signed(2 * WIDTH))
        with m.Switch(mode):
            for precision in Precision:
                low, sign = WIDTH - precision.bits, self._sign(precision)
                with m.Case(precision):
                    m.d.comb += dot.eq(Cat(total[low:sign], ~total[sign]).as_signed())
        acc = Signal(signed(44), reset_less=True)
        m.d.sync += acc.eq(Mux(valid & first, 0, acc) + Mux(valid, dot, 0))
        m.d.comb += self.acc.eq(acc)
        return m

    @staticmethod
    def _sign(precision):
        """Bit of the array's sum with the weight of the sign."""
        count = WIDTH // precision.bits
        return WIDTH + precision.bits - 1 + count.bit_length() - 1

    @staticmethod
    def _constant(precision):
        """Weight of the constant that a mode adds."""
        count = WIDTH // precision.bits
        return WIDTH + count.bit_length() - 1
