# amaranth: UnusedElaboratable=no
"""Proofs of the multi-precision element: all operands, not a sample of them."""

import numpy as np
import pytest
from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.compressor import Compressor
from hw.arith.recursive_dot import RecursiveDot
from sim.formal import ProofFailure, prove
from tests.arith.adder_proof import AdderNetwork, NotProven, latency
from tests.arith.formal_pe import DotProof, ElementProof, FixedMode, reference

MODES = [(width, mode) for width in (4, 8, 16) for mode in range(width.bit_length() - 1)]


def prove_dot(*args, **options):
    prove(DotProof(*args, **options), mode="bmc", depth=1, name="dot", timeout=300)


def check_network(dot, mode, mistake=0):
    network = AdderNetwork(FixedMode(dot, mode))
    fields = reference(dot.width, mode, network.inputs["x"], network.inputs["tile"])
    if mistake:
        terms, _ = fields[-1]
        terms[next(key for key in terms if key)] += mistake
    network.check(fields)


@pytest.mark.parametrize("width, mode, lane", [(4, 0, 0), (4, 1, 0), (8, 2, 0), (8, 2, 1)])
def test_small_units_by_solver(width, mode, lane):
    prove_dot(width, mode, lane)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [0, 1])
def test_width_8_by_solver(mode):
    prove_dot(8, mode)


@pytest.mark.parametrize("mode, lane, products", [(3, 0, 4), (3, 3, 4), (2, 0, 4)])
def test_some_products_of_width_16_by_solver(mode, lane, products):
    """A part only: the lane's other streamed operands are zero."""
    prove_dot(16, mode, lane, products=products)


def test_solver_finds_a_wrong_reference():
    with pytest.raises(ProofFailure, match="bmc failed, counterexample"):
        prove_dot(4, 1, broken=True)


@pytest.mark.parametrize("width, mode", MODES)
def test_every_mode_and_width_by_algebra(width, mode):
    check_network(RecursiveDot(width), mode)


@pytest.mark.parametrize("mode", range(4))
@pytest.mark.parametrize("cuts", [(8,), (2, 4, 8)])
def test_pipelined_units_by_algebra(cuts, mode):
    check_network(RecursiveDot(16, cuts), mode)


@pytest.mark.parametrize("cuts", [(), (8,), (2, 4, 8)])
def test_registers_are_on_all_ways(cuts):
    assert latency(RecursiveDot(16, cuts)) == len(cuts)


@pytest.mark.parametrize("width, mode", [(4, 1), (8, 0), (16, 0), (16, 3)])
@pytest.mark.parametrize("mistake", [1, -2])
def test_algebra_finds_a_wrong_reference(width, mode, mistake):
    with pytest.raises(NotProven, match="differs from the reference"):
        check_network(RecursiveDot(width), mode, mistake)


class LateFlags(RecursiveDot):
    """Broken: behind the cut, the mode of the beat that is at the input."""

    def _make_flags(self, m):
        super()._make_flags(m)
        self._flags[-1] = self._flags[0]


class WrongSign(RecursiveDot):
    """Broken: one partial product is inverted in the wrong modes."""

    def _top(self, piece, swapped):
        return super()._top(piece ^ (piece == 2), swapped)


def test_algebra_finds_a_wrong_unit():
    with pytest.raises(NotProven):
        check_network(WrongSign(16), 2)
    with pytest.raises(NotProven, match="values of different cycles"):
        latency(LateFlags(16, (8,)))


@pytest.mark.parametrize("mode", [0, 1])
def test_algebra_accepts_no_wrong_mutant(mode):
    """One gate changed in the 4-bit unit: those that the algebra accepts give the right result for all operands."""
    network = AdderNetwork(FixedMode(RecursiveDot(4), mode))
    nets = network.inputs["x"] + network.inputs["tile"][:4 << (mode > 0)]
    inputs = {net: np.arange(1 << len(nets)) >> i & 1 for i, net in enumerate(nets)}
    fields = reference(4, mode, network.inputs["x"], network.inputs["tile"])
    defined = (1 << fields[0][1]) - 1
    right, refused, wrong = network.value({**dict.fromkeys(network.inputs["tile"], 0), **inputs}) & defined, 0, 0
    for mutant in network.mutants():
        good = np.array_equal(mutant.value({**dict.fromkeys(network.inputs["tile"], 0), **inputs}) & defined, right)
        try:
            mutant.check(fields)
        except NotProven:
            refused, wrong = refused + 1, wrong + (not good)
        else:
            assert good
    assert wrong > 50, f"{refused} refused, {wrong} of them wrong"


class Sum(wiring.Component):
    """Three products of two bits, added up in ``bits`` bits, of which two are needed."""

    def __init__(self, bits):
        self._bits = bits
        super().__init__({"x": In(3), "tile": In(3), "result": Out(bits + 1)})

    def elaborate(self, platform):
        m = Module()
        total = Cat(Compressor(m).sum({0: list(self.x & self.tile)}, self._bits))
        m.d.comb += self.result.eq(total + (self.x[0] & self.tile[0]))
        return m


@pytest.mark.parametrize("bits", [1, 2])
def test_algebra_finds_a_lost_carry(bits):
    network = AdderNetwork(Sum(bits))
    if bits == 2:
        assert sorted(value for _, value in network.terms()) == [1, 1, 2]
    else:
        with pytest.raises(NotProven, match="a carry that may be 1 is lost"):
            network.terms()


def test_element_around_the_unit():
    prove(ElementProof(), mode="bmc", depth=10, name="element", reset=False)


def test_element_finds_a_wrong_reference():
    with pytest.raises(ProofFailure, match="bmc failed, counterexample"):
        prove(ElementProof(broken=True), mode="bmc", depth=6, name="element_broken", reset=False)
