"""Projection: a ternary matrix times quantized activations, from adders only (thesis 5.1.1, step 2)."""

import dataclasses

from amaranth.hdl import Assert, Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config, ConfigError, field
from hw.duet.projection_tree import ProjectionTree, TreePlan
from hw.stream.fifo import Fifo
from hw.stream.hold import assert_hold

__all__ = ["Projection", "ProjectionConfig", "Work"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProjectionConfig(Config):
    """Sizes of the Projection."""

    inputs: int = field(256, "activations in an item", min=1, max=4096)
    trees: int = field(16, "rows of P that are multiplied at a time", min=1, max=64)
    bits: int = field(4, "width of an activation and of a result, signed", unit="bits", min=2, max=8)
    max_inputs: int = field(4096, "activations that are summed at most, at least inputs", min=1, max=1 << 18)
    levels: int = field(7, "full adders in a row between registers", min=4, max=16)

    PRESETS = {
        "paper": {},
        "small": {"inputs": 8, "trees": 4, "max_inputs": 64},
        "fpga": {"inputs": 64, "trees": 4, "max_inputs": 1024},
    }

    def check(self):
        if self.max_inputs < self.inputs:
            raise ConfigError("max_inputs", self.max_inputs, f"at least inputs = {self.inputs}")

    @property
    def plan(self):
        """The :class:`hw.duet.projection_tree.TreePlan`."""
        return TreePlan(self.inputs, self.bits, self.max_inputs, self.levels)

    @property
    def max_shift(self):
        """The greatest shift: ceil(log2(max_inputs)) + bits - 1; it makes 1 of the greatest sum."""
        return self.plan.max_shift

    @property
    def latency(self):
        """Cycles from the transfer of an item with ``last`` to its result's valid."""
        return self.plan.latency + Fifo.latency


class Work(data.StructLayout):
    """An item: ``x``, activation i at bit ``i * bits``; ``p``, the entry of tree m and activation i at bit
    ``2 * (m * inputs + i)``, 0, 1 or 3 (-1); ``first``, ``last`` item of a sum.
    """

    def __init__(self, inputs, trees, bits):
        super().__init__({"x": inputs * bits, "p": 2 * trees * inputs, "first": 1, "last": 1})


class Projection(wiring.Component):
    """``requantize(P x, shift, bits)`` for ``trees`` rows of a ternary P at a time, x in items of ``inputs`` numbers.

    The sum over the items from ``first`` to ``last`` is exact; it is rounded (half up) and saturated once.

    Latency: :attr:`ProjectionConfig.latency` cycles from the item with ``last``. Throughput: one item a cycle, results
    too. ``work.ready`` and the result come from registers; nothing depends combinationally on ``o.ready``. The trees
    run freely; an item waits when the results on their way, one for each ``last``, fill the queue behind the trees.
    Sums of more than ``max_inputs`` activations, and entries 2, are not allowed.

    Source: thesis 5.1.1, step 2, Figure 5.2 (alignment units, carry-save adder trees).

    Parameters: ``config`` a :class:`ProjectionConfig`; ``assertions``: check the rules on inputs and of the output.

    Members
    -------
    work: In(stream of :class:`Work`)
    shift: In, 0 to :attr:`ProjectionConfig.max_shift`; stable while there is work inside
    o: Out(stream(trees * bits)), the result of tree m at bit ``m * bits``
    """

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "work": In(stream.Signature(Work(config.inputs, config.trees, config.bits))),
            "shift": In(range(config.max_shift + 1)),
            "o": Out(stream.Signature(config.trees * config.bits)),
        })

    def elaborate(self, platform):
        m = Module()
        config, plan, work = self.config, self.config.plan, self.work
        # As many results as there are on their way when each item has last, one of them in the cycle it leaves.
        depth = config.latency + 1
        m.submodules.results = results = Fifo(config.trees * config.bits, depth, assertions=self.assertions)
        owed = Signal(range(depth + 1))
        taken, done = Signal(), Signal()
        m.d.comb += [
            work.ready.eq(owed != depth), taken.eq(work.valid & work.ready), done.eq(self.o.valid & self.o.ready),
            self.o.payload.eq(results.o.payload), self.o.valid.eq(results.o.valid), results.o.ready.eq(self.o.ready),
        ]
        m.d.sync += owed.eq(owed + (taken & work.p.last) - done)
        finished = taken & work.p.last
        for stage in range(plan.latency):
            register = Signal(name=f"finished_{stage}")
            m.d.sync += register.eq(finished)
            finished = register
        half = (1 << self.shift)[1:]
        trees = []
        for index in range(config.trees):
            m.submodules[f"tree_{index}"] = tree = ProjectionTree(plan)
            m.d.comb += [
                tree.x.eq(work.p.x), tree.x_n.eq(~work.p.x), tree.p.eq(work.p.p.word_select(index, 2 * config.inputs)),
                tree.valid.eq(taken), tree.first.eq(work.p.first), tree.start.eq(half), tree.shift.eq(self.shift),
            ]
            trees.append(tree.y)
        m.d.comb += [results.i.valid.eq(finished), results.i.payload.eq(Cat(trees))]
        if self.assertions:
            assert_hold(m, self.o)
            m.d.sync += Assert(~finished | results.i.ready, "no room for a result")
            wrong = Cat(work.p.p[k + 1] & ~work.p.p[k] for k in range(0, len(work.p.p), 2))
            with m.If(taken):
                m.d.sync += Assert(~wrong.any(), "an entry of P is 2")
            m.d.sync += Assert(self.shift <= config.max_shift, "shift is above max_shift")
        return m
