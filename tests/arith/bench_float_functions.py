"""A FloatFunctions with its multiply-add unit, requests for it, and what they must reach."""

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from golden.arith.float_functions import exponential, reciprocal, sigmoid
from hw.arith.float_fma import FloatFma, FloatFmaConfig
from hw.arith.float_functions import FloatFunction, FloatFunctions, FunctionRequest
from sim.coverage import Coverage
from tests.dota.harness import StreamHarness

from .float_vectors import KINDS, kind, numbers

__all__ = ["GOLDEN", "POINTS", "FunctionsWithUnit", "Harness", "arguments", "coverage"]

GOLDEN = {FloatFunction.EXP: exponential, FloatFunction.RECIPROCAL: reciprocal, FloatFunction.SIGMOID: sigmoid}
NAMES = [function.name for function in FloatFunction]
POINTS = [*(f"{name} of {what}" for name in NAMES for what in KINDS),
          *(f"EXP gives {what}" for what in KINDS), *(f"RECIPROCAL gives {what}" for what in KINDS),
          *(f"SIGMOID gives {what}" for what in ("zero", "normal", "NaN")),
          "EXP of more than 128", "EXP of less than -128", "each after each", "unit lent and given back",
          "result waits", "reset in mid-work"]
coverage = Coverage("float_functions", POINTS)


class FunctionsWithUnit(wiring.Component):
    """The functions on a unit that others have while ``busy`` is 0: they put NaN into it."""

    def __init__(self, stages):
        self.stages = stages
        super().__init__({"request": In(stream.Signature(FunctionRequest())), "result": Out(stream.Signature(32)),
                          "busy": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.functions = functions = FloatFunctions(self.stages, assertions=True)
        m.submodules.unit = unit = FloatFma(FloatFmaConfig(stages=self.stages))
        wiring.connect(m, wiring.flipped(self.request), functions.request)
        wiring.connect(m, functions.result, wiring.flipped(self.result))
        m.d.comb += [self.busy.eq(functions.busy), functions.fma_result.eq(unit.result)]
        for name in "abc":
            m.d.comb += getattr(unit, name).eq(0x7FC0_0000)
            with m.If(functions.busy):
                m.d.comb += getattr(unit, name).eq(getattr(functions, name))
        return m


def arguments(rng, function, count):
    """Arguments (uint32): corners, anything, and what has ordinary results."""
    if function is FloatFunction.RECIPROCAL:
        return numbers(rng, count)
    edges = np.array([88.72283, 88.72284, -87.33654, -87.33655, -103.972, -103.9722, 127.99999, 128, 128.00002, 0.0433,
                      0.0434], np.float32)
    edges = rng.choice(edges.view(np.uint32).astype(np.int64), count) + rng.integers(-1, 2, count)
    edges ^= rng.integers(2, size=count) << 31
    usual = rng.uniform(-105, 90, count).astype(np.float32).view(np.uint32)
    draw = rng.random(count)
    return np.select([draw < 0.25, draw < 0.5], [numbers(rng, count), edges], usual).astype(np.uint32)


class Harness(StreamHarness):
    """Random requests and their results."""

    source, sink = "request", "result"

    def __init__(self, dut):
        super().__init__(dut)
        self.stages = self.ctx.options["stages"]
        self.last = None

    def put(self, functions, values):
        """Queue requests: two arrays, functions and arguments. ``corrupt`` flips a bit of the last result expected."""
        functions, values = np.asarray(functions), np.asarray(values)
        expected = np.zeros(len(values), np.uint32)
        for function, golden in GOLDEN.items():
            mine = functions == function.value
            expected[mine] = golden(values[mine])
            for index, name in enumerate(KINDS):
                coverage.hit(f"{function.name} of {name}", int(np.sum(kind(values[mine]) == index)))
                if f"{function.name} gives {name}" in POINTS:
                    coverage.hit(f"{function.name} gives {name}", int(np.sum(kind(expected[mine]) == index)))
        exps = values[functions == FloatFunction.EXP.value].view(np.float32)
        coverage.hit("EXP of more than 128", int(np.sum(exps > 128)))
        coverage.hit("EXP of less than -128", int(np.sum(exps < -128)))
        coverage.hit("each after each", len({*zip(functions.tolist(), functions[1:].tolist())}) == 9)
        if self.corrupt and len(expected):
            expected[-1] ^= 1
        self.board.expect_many(expected.tolist())
        for function, value in zip(functions.tolist(), values.tolist()):
            self.driver.put({"function": function, "value": value})

    def random_requests(self, count):
        """Runs of equal functions and mixed ones."""
        mixed = self.rng.random() < 0.5
        functions = self.rng.integers(3, size=count) if mixed else np.full(count, self.rng.integers(3))
        values = np.zeros(count, np.uint32)
        for function in FloatFunction:
            mine = functions == function.value
            values[mine] = arguments(self.rng, function, int(mine.sum()))
        self.put(functions, values)
