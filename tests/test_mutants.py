"""Mutants of a netlist: which are proven to change nothing, and which must not be."""

import re

import pytest

from resilin import mutants

VERILOG = """
module small(input clk, input rst, input a, input b, input c, output y, output z, output reg [1:0] state);
  wire both = a & b;
  wire redundant = both & c;
  wire never = state == 2'd3;
  wire end_ = state == 2'd2;
  part inner(.clk(clk), .x(both | redundant), .y(y));
  assign z = never | a;
  always @(posedge clk) state <= rst | end_ ? 2'd0 : state + 2'd1;
  always @(posedge clk) assert (state != 2'd3);
endmodule

module part(input clk, input x, output reg y);
  always @(posedge clk) y <= x;
endmodule

module unused(input x, output y);
  assign y = ~x;
endmodule
"""


@pytest.fixture(scope="module")
def netlist():
    return mutants.prepare(VERILOG, "small")


def mutant(netlist, line, port, mode, module="small"):
    """The mutant at bit 0 of a port of the only cell of a line of the source."""
    [cell] = re.findall(rf"^  cell \S+ (\S*top\.v:{line}\$\S+)$", netlist, re.MULTILINE)
    return f"mutate -mode {mode} -module {module} -cell {cell} -port {port} -portbit 0"


def test_assertions_and_unused_modules_are_not_mutated(netlist):
    assert mutants.own_modules(netlist, "small", set()) == ["part", "small"]
    assert mutants.own_modules(netlist, "small", {"part"}) == ["small"]
    assert "$check" not in netlist and "$assert" not in netlist


def test_ancestors(netlist):
    assert mutants.ancestors(netlist, "part") == ["part", "small"]


def test_choose_and_combine(netlist):
    chosen = mutants.choose(netlist, ["part"], 3, seed=1)
    assert len(chosen) == 3 and all("-module part" in each for each in chosen)
    assert "-src" not in mutants.describe(chosen[0]) and mutants.describe(chosen[0]).startswith("-mode ")
    verilog = mutants.combine(netlist, chosen)
    assert verilog.count(f"input [{mutants.SELECT_BITS - 1}:0] mutant;") == 2


@pytest.mark.parametrize("line, port, mode", [
    (4, "Y", "const0"),  # hidden by the other operand of the OR
    (5, "Y", "const0"),  # state 3 is not reached after the first clock cycle
])
def test_proven_equivalent(netlist, line, port, mode):
    assert mutants.is_equivalent(netlist, mutant(netlist, line, port, mode))


@pytest.mark.parametrize("line, port, mode", [(3, "Y", "inv"), (4, "Y", "const1"), (5, "Y", "const1"), (6, "Y", "inv")])
def test_not_proven(netlist, line, port, mode):
    assert not mutants.is_equivalent(netlist, mutant(netlist, line, port, mode))


def test_register_at_a_port(netlist):
    """The changed register is behind a wire without a name."""
    [cell] = re.findall(r"module \\part\n.*?^  cell \$dff (\S+)$", netlist, re.MULTILINE | re.DOTALL)
    assert not mutants.is_equivalent(netlist, f"mutate -mode const0 -module part -cell {cell} -port Q -portbit 0")


def test_time_limit(netlist):
    assert not mutants.is_equivalent(netlist, mutant(netlist, 4, "Y", "const0"), seconds=0.01)
