"""Dot products of every precision from one array of partial-product bits, reduced recursively (thesis Fig. 7.13 c)."""

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.compressor import Compressor

__all__ = ["RecursiveDot", "check_dot_width"]


def check_dot_width(width):
    """Refuse, with a ``ValueError``, a full operand width the dot product units do not come in."""
    if width not in (4, 8, 16):
        raise ValueError(f"width = {width} is not allowed: width must be 4, 8 or 16")


def reverse_bits(value, bits):
    """``value``'s ``bits`` bits in reverse order."""
    return int(f"{value:0{bits}b}"[::-1], 2) if bits else 0


class RecursiveDot(wiring.Component):
    """One ``width`` x ``width`` product, or 4 of half, 16 of a quarter, 64 of an eighth of the width, summed.

    With n the operand width of a mode (``width`` >> ``mode``, down to 2) there are 2 ``width`` / n streamed operands
    and max(1, ``width`` / 2n) dot products (``width`` = 16: 1 of 1, 1 of 4, 2 of 8, 4 of 16 products). All operands
    are signed two's complement.

    The array is ``width`` pieces of 2 streamed bits times ``width`` / 4 stationary pieces each. Brick (g, c) multiplies
    streamed piece g by a stationary piece whose index differs from g by an exclusive-or with c, which makes the
    pieces that different modes want at one brick coincide: there is one 2:1 multiplexer a stationary bit. Two n-bit
    operands are four half products: low x low, high x high and two crossed ones, and at every level of the recursion
    the narrow mode wants low x low + high x high as one sum and crossed + crossed as another, the wide mode all of
    them, aligned. So crossed ones are always added, never moved against each other.

    Negative partial-product bits are inverted (Baugh-Wooley), which adds a constant to each dot product; the
    constant's low part is added in the last sum, its high part inverts the top bit of a field.

    Parameters
    ----------
    width:
        Full operand width: 16, or 8 or 4 for exhaustive checks.
    cuts:
        Operand widths n after whose partial results a pipeline register stands: any of ``width`` / 2, ... 2.

    Latency: ``latency`` = number of cuts. Throughput: one beat a cycle, ``mode`` travels along.

    Ports
    -----
    x: 2 ``width`` streamed bits; at full width the operand stands in both halves
    tile: ``width`` / 4 stationary lanes of 2 ``width`` bits; a mode uses its first lanes (full width: half of lane 0)
    mode: how many times the operand width is halved
    result: 2 ``width`` bits in equal fields, one a dot product, in bit-reversed lane order; in each field the bit
        with the weight of the sign (see :meth:`sign_bit`) is inverted, bits above it are undefined
    """

    def __init__(self, width=16, cuts=()):
        check_dot_width(width)
        halves = [width >> shift for shift in range(1, width.bit_length() - 1)]
        for cut in cuts:
            if cut not in halves:
                raise ValueError(f"cuts = {cuts!r} is not allowed: a cut must be one of {halves}")
        self.width, self.cuts = width, tuple(sorted(set(cuts)))
        self.latency = len(self.cuts)
        super().__init__({
            "x": In(2 * width),
            "tile": In(2 * width * (width // 4)),
            "mode": In(2),
            "result": Out(2 * width),
        })

    @staticmethod
    def lanes(width, mode):
        """Dot products in ``mode``."""
        return max(1, (1 << mode) // 2)

    @staticmethod
    def sign_bit(width, mode):
        """The bit of a result field that has the sign's weight, and is inverted."""
        products, bits = 1 if mode == 0 else 2 << mode, width >> mode
        return (products << (2 * bits - 1)).bit_length() - 1

    def elaborate(self, platform):
        m = Module()
        self._make_flags(m)
        self._compressor = Compressor(m)
        self._registers = 0
        self._partial_products(m)
        width, half, quarter = self.width, self.width // 2, self.width // 4
        lanes = list(range(width // 4))
        low, _ = self._block(m, half, [0], lanes)
        high, _ = self._block(m, half, [quarter], lanes)
        crossed, _ = self._block(m, half, [half, half + quarter], lanes)
        flag, mode = self._flag(half, above=half), self._modes[len(self.cuts)]
        select = self._compressor.select
        columns = {}
        for i in range(2 * width):
            columns[i] = [
                select(flag, _get(low, i), _get(low, i) if i < width else _get(high, i - width)),
                select(flag, _get(high, i), _get(crossed, i - half) if i - half <= width else None),
                select(flag, _get(crossed, i), None)]
        for weight, values in self._constants().items():
            columns[weight].append(self._compressor.bit(Cat(mode == value for value in values).any()))
        rows = [Cat(C(0) if bit is None else bit for bit in row) for row in self._compressor.rows(columns, 2 * width)]
        m.d.comb += self.result.eq(rows[0] + rows[1])
        return m

    def _constants(self):
        """Weights of the constants that inverted bits call for -> modes they belong to."""
        constants = {}
        for mode in range(self.width.bit_length() - 1):
            lanes = self.lanes(self.width, mode)
            for lane in range(lanes):
                weight = self.sign_bit(self.width, mode) + 1 - (self.width >> mode)
                constants.setdefault(lane * 2 * self.width // lanes + weight, []).append(mode)
        return constants

    def _make_flags(self, m):
        """``mode``, delayed to each stage of the pipeline, and flags that tell how narrow the operands are."""
        self._modes = [self.mode]
        for stage in range(len(self.cuts)):
            delayed = Signal.like(self.mode, name=f"mode_{stage + 1}")
            m.d.sync += delayed.eq(self._modes[-1])
            self._modes.append(delayed)
        self._flags = []
        for stage, mode in enumerate(self._modes):
            flags = {}
            for shift in range(1, self.width.bit_length() - 1):
                bits = self.width >> shift
                flags[bits] = Signal(name=f"narrow_{bits}_{stage}")
                m.d.comb += flags[bits].eq(mode >= shift)
            self._flags.append(flags)

    def _flag(self, bits, *, above):
        """Whether operands have at most ``bits`` bits, in the stage that works on blocks made of ``above`` ones."""
        return self._flags[sum(cut <= above for cut in self.cuts)][bits]

    def _partial_products(self, m):
        """One vector over the streamed pieces for each lane and each pair of operand bits."""
        width, lanes = self.width, self.width // 4
        flags, pieces = self._flags[0], self.width
        lane_bits = lanes.bit_length() - 1
        tile = [self.tile[2 * width * lane:2 * width * (lane + 1)] for lane in range(lanes)]
        half = width // 2
        # At full width the upper half of lane 0 holds the lower one with its halves swapped.
        swapped = Mux(flags[half], tile[0][width:], Cat(tile[0][half:width], tile[0][:half]))
        stationary = {0: Signal(2 * width, name="w0")}
        m.d.comb += stationary[0].eq(Cat(tile[0][:width], swapped))
        for c in sorted(range(1, lanes), key=lambda c: -(c & -c)):
            bit = c & -c
            other = Cat(stationary[c ^ bit][2 * (g ^ bit):2 * (g ^ bit) + 2] for g in range(pieces))
            stationary[c] = Signal(2 * width, name=f"w{c}")
            m.d.comb += stationary[c].eq(Mux(flags[2 * bit], tile[reverse_bits(c, lane_bits)], other))
        x = [Signal(pieces, name=f"x_bit{i}") for i in range(2)]
        m.d.comb += [x[i].eq(Cat(self.x[2 * g + i] for g in range(pieces))) for i in range(2)]
        self._products = {}
        for c in range(lanes):
            w = [Signal(pieces, name=f"w{c}_bit{i}") for i in range(2)]
            m.d.comb += [w[i].eq(Cat(stationary[c][2 * g + i] for g in range(pieces))) for i in range(2)]
            x_sign = [self._top(g, False) for g in range(pieces)]
            w_sign = [self._top(g ^ c, True) for g in range(pieces)]
            signs = {(0, 0): [C(0)] * pieces, (1, 0): x_sign, (0, 1): w_sign,
                     (1, 1): [C(0) if a is b else a ^ b for a, b in zip(x_sign, w_sign)]}
            for (i, j), sign in signs.items():
                product = Signal(pieces, name=f"p{c}_{i}{j}")
                m.d.comb += product.eq((x[i] & w[j]) ^ Cat(sign))
                self._products[c, i, j] = product

    def _top(self, piece, swapped):
        """Flag: ``piece`` of the streamed (or, ``swapped``, stationary) operands is the top one of its operand."""
        position = piece % (self.width // 2)
        if swapped and piece >= self.width // 2:
            position ^= self.width // 4
        if position == self.width // 2 - 1:
            return self._always
        bits = max(bits for bits in self._flags[0] if piece % (bits // 2) == bits // 2 - 1)
        return self._flags[0][bits]

    _always = C(1)

    def _bricks(self, pieces, c):
        """Columns of the sum of the bricks of lane ``c`` at ``pieces``."""
        columns = {0: [], 1: [], 2: []}
        for g in pieces:
            for (i, j) in ((0, 0), (1, 0), (0, 1), (1, 1)):
                columns[i + j].append(self._products[c, i, j][g])
        return columns

    def _block(self, m, bits, bases, lanes):
        """Sum of the ``bits`` x ``bits`` blocks that begin at the pieces ``bases``.

        Result: its bits, and the number of blocks. Operands of ``bits`` bits or more leave the sum from bit 0 up;
        narrower ones leave fields, the crossed half of the lanes from bit 2 ``bits`` up.
        """
        if bits == 2:
            result = self._compressor.sum(self._bricks(bases, lanes[0]), (9 * len(bases)).bit_length())
            return self._register(m, bits, result), len(bases)
        half, step, count = bits // 2, bits // 4, len(bases)
        first, second = lanes[:len(lanes) // 2], lanes[len(lanes) // 2:]
        others = [base + step for base in bases]
        # Nothing moves low x low: its partial products need no sum of their own, unless a register wants it.
        direct = half == 2 and 2 not in self.cuts
        low = [None] * (9 * count).bit_length() if direct else self._block(m, half, bases, first)[0]
        columns = self._bricks(bases, first[0]) if direct else {}
        high, _ = self._block(m, half, others, first)
        crossed, _ = self._block(m, half, bases + others, second)
        flag, select = self._flag(half, above=half), self._compressor.select
        field = 2 * bits
        low_width, crossed_width, width = (
            (((1 << n) - 1) ** 2 * k).bit_length() for n, k in ((half, count), (half, 2 * count), (bits, count)))
        for i in range(field + len(crossed)):
            moved = select(flag, _get(high, i) if i < field else _get(crossed, i - field),
                           _get(crossed, i - half, crossed_width))
            if count == 1:
                beside = _get(low, i) if i < bits else _get(high, i - bits, bits)
                rows = [select(flag, _get(low, i), beside), moved]
            else:
                rows = [select(flag, _get(low, i), _get(low, i, low_width)), moved,
                        select(flag, None, _get(high, i - bits, low_width))]
            columns[i] = columns.get(i, []) + [row for row in rows if row is not None]
        summed = max(width, len(low) + 1)
        result = self._compressor.sum({i: columns[i] for i in range(summed)}, summed)
        result += [columns[i][0] if columns[i] else None for i in range(summed, field + len(crossed))]
        return self._register(m, bits, result), count

    def _register(self, m, bits, result):
        """The bits of a block's result behind a register, where there is a cut."""
        if bits not in self.cuts:
            return result
        used = [bit for bit in result if bit is not None]
        stage = Signal(len(used), name=f"held_{bits}_{self._registers}", reset_less=True)
        self._registers += 1
        m.d.sync += stage.eq(Cat(used))
        held = iter(stage)
        return [None if bit is None else next(held) for bit in result]


def _get(bits, index, width=None):
    """Bit ``index`` of the first ``width`` of a list of bits; ``None`` outside."""
    return bits[index] if 0 <= index < (len(bits) if width is None else min(width, len(bits))) else None
