"""FloatFunctions: exp, reciprocal and sigmoid on a multiply-add unit; equals ``golden.arith.float_functions``."""

import struct

from amaranth.hdl import C, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.float32 import MINUS_ZERO, ONE
from hw.arith.lookup import lookup
from hw.stream.hold import assert_hold

__all__ = ["FloatFunction", "FloatFunctions", "FunctionRequest"]


class FloatFunction(enum.Enum, shape=2):
    """What a :class:`FloatFunctions` computes."""

    EXP = 0
    RECIPROCAL = 1
    SIGMOID = 2


class FunctionRequest(data.StructLayout):
    """A function and the binary32 pattern of its argument."""

    def __init__(self):
        super().__init__({"function": FloatFunction, "value": 32})


def _pattern(value):
    """The binary32 pattern of a number, rounded to nearest."""
    return struct.unpack("<I", struct.pack("<f", value))[0]


def _single(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


_LN2 = 0.6931471805599453
_MAGIC = 1.5 * 2**23
#: Exponent field of 128, which exp's argument is held to.
_LIMIT = 127 + 7
#: Fractions of 2^(j/8), and the upper five bits of the fractions of y0, by the upper four bits of b's.
_POWERS = [_pattern(2 ** (j / 8)) & 0x7F_FFFF for j in range(8)]
_SEEDS = [round(64 * 32 / (33 + 2 * i)) - 32 for i in range(16)]


class _Step(enum.Enum, shape=5):
    """What is done with the result of the step before, in the order of a SIGMOID."""

    SHIFT = 0  # EXP begins
    WHOLE = 1
    FIRST = 2
    SECOND = 3
    TAYLOR_4 = 4
    TAYLOR_2 = 5
    TAYLOR_1 = 6
    TAYLOR_0 = 7
    POWER = 8
    EXP_END = 9
    BEGIN = 10  # RECIPROCAL begins
    SEED = 11
    CUBE = 12
    THIRD = 13
    NEWTON = 14
    LAST = 15
    END = 16
    DONE = 17


class FloatFunctions(wiring.Component):
    """exp(x), 1/x and 1/(1 + exp(-x)) of binary32 numbers, as sequences of operations on a multiply-add unit outside.

    The unit (:class:`hw.arith.float_fma.FloatFma`) is one that its owner has anyway and lends while ``busy`` is 1.
    What is known of a request besides the last result circulates in a ring of registers beside the unit's pipeline,
    with ``fma_latency`` + 1 places: so many requests are worked on in turn. A finished one circulates until its result
    can leave, in the order of the requests.

    Steps: EXP 10, RECIPROCAL 7, SIGMOID 17 (:attr:`STEPS`). Latency from a request taken to its result's valid,
    nothing held up: :meth:`latency` = steps * (``fma_latency`` + 1) + 1 cycles. Throughput: ``fma_latency`` + 1 results
    of a function in steps * (``fma_latency`` + 1) cycles. ``request.ready`` depends in the same cycle on
    ``result.ready``; ``a``, ``b``, ``c`` and ``result`` come from registers.
    Definition and errors of the functions: ``golden/arith/float_functions.py``. Source: thesis 6.4.2, 6.5 (Executor,
    special functions; exp by Taylor expansion to the 4th order).

    Parameters
    ----------
    fma_latency: cycles from ``a``, ``b``, ``c`` to ``fma_result``, from 1 to 7
    assertions: add a check that results stay until they are taken (simulation)

    Members
    -------
    request: In(stream of :class:`FunctionRequest`)
    result: Out(stream of 32 bits)
    busy: Out(1), the unit must be lent: in every cycle after the one that takes a request, to the last result's leaving
        the ring
    a, b, c: Out(32), operands
    fma_result: In(32), ``a * b + c`` of the operands ``fma_latency`` cycles before
    """

    #: Function -> steps.
    STEPS = {FloatFunction.EXP: 10, FloatFunction.RECIPROCAL: 7, FloatFunction.SIGMOID: 17}

    def __init__(self, fma_latency, assertions=False):
        if not 1 <= fma_latency <= 7:
            raise ValueError(f"fma_latency = {fma_latency} is not allowed: fma_latency must be from 1 to 7")
        self.fma_latency, self.assertions = fma_latency, assertions
        super().__init__({
            "request": In(stream.Signature(FunctionRequest())),
            "result": Out(stream.Signature(32)),
            "busy": Out(1),
            "a": Out(unsigned(32)), "b": Out(unsigned(32)), "c": Out(unsigned(32)),
            "fma_result": In(unsigned(32)),
        })

    @property
    def places(self):
        """Requests that are worked on at once."""
        return self.fma_latency + 1

    def latency(self, function):
        """Cycles from the transfer of a request to the valid of its result, nothing held up."""
        return self.STEPS[function] * self.places + 1

    def elaborate(self, platform):
        m = Module()
        order = range(1 << (self.places - 1).bit_length())
        context = data.StructLayout({
            "w": 32,
            "power": 9,                # m of golden.arith.float_functions, signed
            "part": 3,                 # j of it
            "step": _Step,
            "sigmoid": 1,
            "order": order,            # which result this is, modulo
        })
        ring = [Signal(context, name=f"ring_{place}", reset_less=True) for place in range(self.places)]
        used = [Signal(name=f"used_{place}") for place in range(self.places)]
        here, new = ring[-1], Signal(context)
        for place in range(1, self.places):
            m.d.sync += [ring[place].eq(ring[place - 1]), used[place].eq(used[place - 1])]
        m.d.comb += self.busy.eq(Cat(used).any())

        # In and out.
        given, due = Signal(order), Signal(order)
        leaves, taken = Signal(), Signal()
        free = ~self.result.valid | self.result.ready
        m.d.comb += [
            leaves.eq(used[-1] & (here.step == _Step.DONE) & (here.order == due) & free),
            self.request.ready.eq(~used[-1] | leaves),
            taken.eq(self.request.valid & self.request.ready),
        ]
        m.d.sync += [used[0].eq(taken | used[-1] & ~leaves), given.eq(given + taken), due.eq(due + leaves)]
        payload = Signal(32, reset_less=True)
        m.d.comb += self.result.payload.eq(payload)
        with m.If(self.result.ready):
            m.d.sync += self.result.valid.eq(0)
        with m.If(leaves):
            m.d.sync += [self.result.valid.eq(1), payload.eq(self.fma_result)]

        # This step's value and context: of a new request, or of the one that comes round.
        value, w, step = Signal(32), Signal(32), Signal(_Step)
        request, power = self.request.p, here.power
        reciprocal, sigmoid = request.function == FloatFunction.RECIPROCAL, request.function == FloatFunction.SIGMOID
        size = request.value[:31]
        large = ~reciprocal & (size[23:] >= _LIMIT) & ~(size[23:].all() & size[:23].any())
        start = Cat(Mux(large, _LIMIT << 23, size)[:31], request.value[31] ^ sigmoid)
        m.d.comb += new.eq(here)
        with m.If(taken):
            m.d.comb += [value.eq(start), w.eq(start), step.eq(Mux(reciprocal, _Step.BEGIN, _Step.SHIFT)),
                         new.sigmoid.eq(sigmoid), new.order.eq(given)]
        with m.Else():
            m.d.comb += [value.eq(self.fma_result), w.eq(here.w), step.eq(here.step)]

        field = value[23:31]
        zero, full = ~field.any(), field.all()
        divisor = Cat(value[:23], Mux(full & value[:23].any(), 0xFF, 127)[:8], value[31])
        seed = Cat(C(0, 18), lookup(m, Mux(step == _Step.SEED, value[19:23], w[19:23]), _SEEDS, 5, name="seed"),
                   C(126, 8))
        # T or y1 with the exponent of the result, moved by 64 towards the middle.
        base = Mux(step == _Step.POWER, Cat(lookup(m, here.part, _POWERS, 23, name="power"), C(127, 8)), w)
        moved = Cat(C(0, 6), Mux(power[-1], 1, 3)[:2])
        scaled = Cat(base[:23], (base[23:31] + power[:8] + moved)[:8], base[31])

        a, b, c = (Signal(32, name=f"{name}_next") for name in "abc")
        m.d.comb += [a.eq(value), b.eq(ONE), c.eq(MINUS_ZERO), new.w.eq(w), new.step.eq(step.as_value() + 1)]
        with m.Switch(step):
            with m.Case(_Step.SHIFT):
                m.d.comb += [b.eq(_pattern(8 / _LN2)), c.eq(_pattern(_MAGIC))]
            with m.Case(_Step.WHOLE):
                m.d.comb += [c.eq(_pattern(-_MAGIC)), new.part.eq(value[:3]), new.power.eq(value[3:12])]
            with m.Case(_Step.FIRST):
                m.d.comb += [b.eq(_pattern(-_LN2 / 8)), c.eq(w), new.w.eq(value)]
            with m.Case(_Step.SECOND):
                m.d.comb += [a.eq(w), b.eq(_pattern(_single(_LN2 / 8) - _LN2 / 8)), c.eq(value)]
            with m.Case(_Step.TAYLOR_4):
                m.d.comb += [b.eq(_pattern(1 / 24)), c.eq(_pattern(1 / 6)), new.w.eq(value)]
            with m.Case(_Step.TAYLOR_2):
                m.d.comb += [b.eq(w), c.eq(_pattern(1 / 2))]
            with m.Case(_Step.TAYLOR_1):
                m.d.comb += [b.eq(w), c.eq(ONE)]
            with m.Case(_Step.TAYLOR_0):
                m.d.comb += b.eq(w)
            with m.Case(_Step.POWER, _Step.LAST):
                m.d.comb += [b.eq(scaled), c.eq(scaled)]
            with m.Case(_Step.EXP_END, _Step.END):
                m.d.comb += b.eq(Mux(power[-1], _pattern(2.0**-64), _pattern(2.0**64)))
                with m.If((step == _Step.END) | ~here.sigmoid):
                    m.d.comb += new.step.eq(_Step.DONE)
            with m.Case(_Step.BEGIN):
                m.d.comb += new.power.eq(127)
                with m.If(new.sigmoid):
                    m.d.comb += c.eq(ONE)
                with m.Elif(zero):
                    m.d.comb += [b.eq(_pattern(2.0**32)), new.power.eq(127 + 32)]
            with m.Case(_Step.SEED):
                # 1 / infinity: 2^-160, which becomes zero.
                m.d.comb += [a.eq(divisor[:31]), b.eq(Cat(seed, 1)), c.eq(ONE), new.w.eq(divisor),
                             new.power.eq((power & ~(full << 5)) - field)]
            with m.Case(_Step.CUBE):
                m.d.comb += [b.eq(value), c.eq(value)]
            with m.Case(_Step.THIRD):
                m.d.comb += [b.eq(seed), c.eq(seed)]
            with m.Case(_Step.NEWTON):
                m.d.comb += [b.eq(Cat(w[:31], 1)), c.eq(ONE), new.w.eq(Cat(value[:31], w[31]))]
            with m.Case(_Step.DONE):
                m.d.comb += new.step.eq(_Step.DONE)
        m.d.sync += ring[0].eq(new)
        for port, operand in ((self.a, a), (self.b, b), (self.c, c)):
            register = Signal(32, name=f"{port.name}_register", reset_less=True)
            m.d.sync += register.eq(operand)
            m.d.comb += port.eq(register)
        if self.assertions:
            assert_hold(m, self.result)
        return m
