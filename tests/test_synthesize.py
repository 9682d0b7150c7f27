# amaranth: UnusedElaboratable=no
"""Synthesis: units, roll-up against flat runs, recipes, and the figures that the project promises."""

import pytest

from hw.generate import generate
from resilin import registry
from resilin.synthesis import kept_verilog
from sim import cache
from synth import design
from synth.synthesize import Options, SynthesisError, synthesize

SMALL = """
module inner(input clk, input [7:0] a, input [7:0] b, output reg [15:0] y);
  always @(posedge clk) y <= a * b;
endmodule
module outer(input clk, input [7:0] a, input [7:0] b, input [3:0] at, input write, output [15:0] y,
             output reg [31:0] z);
  wire [15:0] first;
  inner one(.clk(clk), .a(a), .b(b), .y(first));
  inner two(.clk(clk), .a(first[7:0]), .b(first[15:8]), .y(y));
  reg [31:0] store [63:0];
  always @(posedge clk) begin
    if (write) store[{at, at[1:0]}] <= {first, y};
    z <= store[{at[1:0], at}];
  end
endmodule
"""


def run(verilog, top, target="nangate45", **options):
    return synthesize(verilog, top, target, Options(**options), store=cache.entry)


def split(**options):
    return design.elaborate(SMALL, "outer", **options)


def test_units_memories_and_instances_are_found():
    units = split(unit_weight=100).units
    assert list(units) == ["inner", "outer"] and units["inner"].instances == 2
    assert units["outer"].children == {"inner": ["one", "two"]}
    (memory,) = units["outer"].memories
    assert (memory.words, memory.width, memory.ports, memory.bits) == (64, 32, "1r1w", 2048)
    assert "$mem" not in units["outer"].rtlil and "memory_64x32_1r1w" in units["outer"].rtlil


def test_light_modules_are_flattened_and_small_memories_stay():
    whole = split(unit_weight=float("inf"), macro_bits=None).units
    assert list(whole) == ["outer"] and not whole["outer"].boxes and "$mem_v2" in whole["outer"].rtlil


def test_equal_modules_of_different_designs_have_equal_texts():
    renamed = SMALL.replace("inner", "element").replace("module outer", "// a line more\n\nmodule outer")
    other = design.elaborate(renamed, "outer", unit_weight=100).units["element"]
    assert other.rtlil == split(unit_weight=100).units["inner"].rtlil


def test_a_design_survives_json():
    whole = split(unit_weight=100)
    assert design.Design.from_json(whole.to_json()) == whole


def test_what_yosys_refuses_is_an_error():
    with pytest.raises(SynthesisError, match="syntax error"):
        run("module top(; endmodule", "top")
    with pytest.raises(SynthesisError, match="missing"):
        run(SMALL, "missing")


def test_memories_are_macros_with_bits_and_area():
    record = run(SMALL, "outer")
    assert record["total"]["memory_bits"] == 2048 and record["total"]["macros"] == 1
    assert record["total"]["memory_um2"] == pytest.approx(2048 * 0.674)
    assert record["total"]["flops"] < 100
    assert run(SMALL, "outer", macro_bits=4096)["total"]["flops"] > 512  # the 16 words it can address


@pytest.mark.parametrize("options, message", [
    ({"recipe": "fastest"}, "recipe = 'fastest' is not allowed"), ({"period_ns": 0}, "period_ns = 0 is not allowed"),
    ({"bit_um2": -1.0}, "bit_um2 = -1.0 is not allowed"),
])
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Options(**options)


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="target = 'tsmc22' is not allowed: target must be one of nangate45"):
        synthesize(SMALL, "outer", "tsmc22")


@pytest.mark.parametrize("target", ["sg13g2", "asap7", "ice40", "xc7"])
def test_every_target_maps(target):
    total = run(SMALL, "outer", target)["total"]
    assert total["flops" if "flops" in total else "ff"] >= 32 and total["memory_bits"] == 2048


def test_a_period_costs_area_and_buys_time():
    small, fast = run(SMALL, "outer"), run(SMALL, "outer", period_ns=0.6)
    assert fast["total"]["logic_um2"] > small["total"]["logic_um2"]
    assert fast["timing"]["register"]["ps"] < small["timing"]["register"]["ps"]
    relaxed = run(SMALL, "outer", period_ns=50)
    assert relaxed["total"]["logic_um2"] == pytest.approx(small["total"]["logic_um2"], rel=0.02)


@pytest.mark.parametrize("name", ["scheduler", "detector", "mfu"])
def test_rolled_up_and_flat_area_agree(name):
    block = registry.find(name)
    verilog = kept_verilog(block, block.config_class.preset("small"))
    rolled, flat = run(verilog, name), run(verilog, name, flat=True)
    assert len(rolled["modules"]) > 1 and len(flat["modules"]) == 1
    assert rolled["total"]["logic_um2"] == pytest.approx(flat["total"]["logic_um2"], rel=0.05)
    assert rolled["total"]["flops"] == pytest.approx(flat["total"]["flops"], rel=0.02)
    assert rolled["total"]["memory_bits"] == flat["total"]["memory_bits"]


def test_the_sum_of_the_modules_is_the_total():
    block = registry.find("mfu")
    record = run(kept_verilog(block, block.config_class.preset("small")), "mfu")
    for name in ("logic_um2", "flops", "memory_bits", "cells"):
        assert sum(module["instances"] * module["own"][name] for module in record["modules"]) == pytest.approx(
            record["total"][name], rel=1e-6)


def test_element_costs_less_than_three_plain_units():
    from resilin.jobs.pe import structures

    records = [run(generate(make(), "pe"), "pe", flat=True) for make, _ in list(structures().values())[:2]]
    areas = [record["total"]["logic_um2"] for record in records]
    assert areas[0] == pytest.approx(1792, rel=0.05)  # measured once, independently
    assert areas[1] / areas[0] < 3.0
    assert records[1]["timing"]["register"]["mhz"] > records[0]["timing"]["register"]["mhz"]
