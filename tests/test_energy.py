"""Energy from switching activity: waveforms, gate-level simulation, memories, energies, replay of a unit, the job."""

import io
import json

import numpy as np
import pytest

from resilin import cli, energy
from resilin.jobs import energy as job
from sim import cache, vcd
from synth import library
from synth.design import Memory
from synth.energy import HOROWITZ_PJ, operation_netlist, unit_energy
from synth.gate_sim import GateNetlist, earlier, first_marked, later, mask, marked, toggles
from synth.memory_sim import read_data
from synth.synthesize import Options, mapped_units

CELLS = library.load("nangate45")
UNIT = """
module unit(input clk, input rst, input put, input [2:0] at, input [7:0] data, output [7:0] found, output reg [7:0] sum,
            output [7:0] far);
  reg [7:0] words [0:3];
  reg [7:0] large [0:7];
  reg [7:0] read;
  assign found = words[at[1:0]];
  assign far = read;
  always @(posedge clk) begin
    if (put) words[at[1:0]] <= data;
    if (put) large[at] <= data;
    if (!put) read <= large[at];
    sum <= rst ? 0 : sum + found;
  end
endmodule
"""


def row(bits):
    """A row of cycles from a text, cycle 0 first."""
    found = mask(0, 0, 1)
    for place, bit in enumerate(bits):
        found |= mask(place, place + 1, 1) if bit == "1" else np.uint64(0)
    return found


def netlist(ports, **cells):
    """A netlist as in Yosys' JSON: ports name -> (direction, nets), cells name -> (type, pin -> net)."""
    return {"ports": {name: {"direction": direction, "bits": nets} for name, (direction, nets) in ports.items()},
            "cells": {name: {"type": kind, "connections": {pin: [net] for pin, net in pins.items()}}
                      for name, (kind, pins) in cells.items()},
            "netnames": {name: {"bits": nets} for name, (_, nets) in ports.items()}}


def load(kind, pin):
    return CELLS.cells[kind]["in_fF"][pin]


def test_rows_move_by_a_cycle_across_words():
    rows = np.array([1 << 63 | 1, 2], np.uint64)
    assert later(rows).tolist() == [2, 5] and earlier(rows).tolist() == [1 << 62, 1]
    assert marked(rows, 64) == 2 and marked(rows, 65) == 2 and marked(rows, 66) == 3
    assert first_marked(row("0010")) == 2


def test_toggles_belong_to_the_cycle_they_lead_into():
    masks = np.stack([mask(0, 3, 1), mask(3, 6, 1)])
    assert toggles(row("101100"), masks).tolist() == [2, 1]


def test_energy_of_two_inverters():
    gates = GateNetlist(netlist({"a": ("input", [2]), "y": ("output", [4])}, one=("INV_X1", {"A": 2, "ZN": 3}),
                                two=("INV_X2", {"A": 3, "ZN": 4})), CELLS)
    given = {2: row("0110100")[None]}
    assert (gates.evaluate(given)[4] & mask(0, 7, 1)).tolist() == given[2].tolist()
    found = unit_energy(gates, given, mask(0, 7, 1)[None], 1, 1.1)
    expected = 4 * (load("INV_X1", "A") + load("INV_X2", "A")) * 1.1 ** 2 / 2
    assert found.settled == pytest.approx([expected]) and found.glitches == pytest.approx([0]) and not found.clock


def test_glitches_where_paths_differ_in_length():
    """a xor not a is always 1, but falls for a gate's delay whenever a changes."""
    gates = GateNetlist(netlist({"a": ("input", [2]), "y": ("output", [5])}, one=("INV_X1", {"A": 2, "ZN": 3}),
                                two=("XOR2_X1", {"A": 2, "B": 3, "Z": 4}), three=("INV_X1", {"A": 4, "ZN": 5})), CELLS)
    found = unit_energy(gates, {2: row("0100")[None]}, mask(0, 4, 1)[None], 1, 1.0)
    once = 2 * (load("INV_X1", "A") + load("XOR2_X1", "A") + load("XOR2_X1", "B")) / 2
    assert found.settled == pytest.approx([once])
    assert found.glitches == pytest.approx([4 * load("INV_X1", "A") / 2])


def test_registers_hold_and_clock_pins_take_energy():
    parts = netlist({"clk": ("input", [2]), "d": ("input", [3]), "q": ("output", [4])},
                    bit=("DFF_X1", {"D": 3, "CK": 2, "Q": 4, "QN": 5}))
    gates = GateNetlist(parts, CELLS)
    (flop,) = gates.flops
    given = {2: row("")[None], 3: row("0110")[None]}
    (state,) = gates.follow(given, [flop], 1, 4)
    assert state.tolist() == [row("0011").tolist()]
    found = unit_energy(gates, given | {4: state, 5: ~state}, mask(0, 4, 1)[None], 1, 1.0)
    assert found.clock == pytest.approx([4 * load("DFF_X1", "CK")])
    assert found.settled == pytest.approx([2 * load("DFF_X1", "D") / 2])


@pytest.mark.parametrize("cell, words", [
    (("DFFR_X1", {"D": 3, "CK": 2, "RN": 3, "Q": 4}), "asynchronous"), (("NOT_THERE", {"A": 3, "Z": 4}), "has no"),
    (("INV_X1", {"A": 4, "ZN": 4}), "loop")])
def test_netlists_that_cannot_be_simulated_are_refused(cell, words):
    with pytest.raises(ValueError, match=words):
        GateNetlist(netlist({"clk": ("input", [2]), "d": ("input", [3]), "q": ("output", [4])}, one=cell), CELLS)


def numbers(rows):
    """Values of unsigned numbers, of 64 cycles."""
    bits = np.stack([np.unpackbits(bit.view(np.uint8), bitorder="little") for bit in rows]).astype(np.int64)
    return (bits << np.arange(len(bits))[:, None]).sum(axis=0)


def test_mapped_multiplier_multiplies():
    parts = operation_netlist("multiply8", CELLS, "area", cache.entry)
    gates = GateNetlist(parts, CELLS)
    operands = np.random.default_rng(1).integers(0, 2 ** 64, (2, 8, 1), np.uint64)
    nets = {port: parts["ports"][port]["bits"] for port in "aby"}
    given = {net: operands[place][bit] for place, port in enumerate("ab") for bit, net in enumerate(nets[port])}
    values = gates.evaluate(given)
    a, b = (numbers(operand).astype(np.uint8).view(np.int8).astype(int) for operand in operands)
    assert (numbers([values[net] for net in nets["y"]]) == (a * b) % 2 ** 16).all()


def test_published_operations_are_known():
    assert set(HOROWITZ_PJ) == {"add8", "add32", "multiply8", "multiply32"}


def test_memory_answers_one_cycle_later_with_what_was_there():
    memory = Memory("memory", 4, 2, 1, 1)
    pins = {"RD_EN": [row("011110")], "RD_ADDR": [row("001100"), row("000000")], "WR_ADDR": [row("001000"), row("")],
            "WR_EN": [row("101000"), row("100000")], "WR_DATA": [row("101000"), row("111000")]}
    found = read_data(memory, {name: np.stack(rows) for name, rows in pins.items()}, 6)
    # Written: word 0 = 3 in cycle 0; bit 0 of word 1 in cycle 2. Read: 0, 1 (before its write), 1, 0.
    assert (found & mask(0, 6, 1)).tolist() == [row("001011").tolist(), row("001001").tolist()]


VCD = """$scope module top $end
$var wire 1 ! clk $end
$var wire 3 " \\n$1 [2:0] $end
$scope module part $end
$var wire 3 " same [2:0] $end
$upscope $end
$upscope $end
$enddefinitions $end
#0
0!
bx "
#5
1!
b10 "
#7
0!
b1 "
#10
1!
b111 "
#12
0!
#15
1!
"""


def test_waveforms_are_sampled_at_the_end_of_cycles():
    found = vcd.read(io.StringIO(VCD), "top.clk")
    assert found.cycles == 3 and found.widths == {"top.clk": 1, "top.n$1": 3, "top.part.same": 3}
    assert found.values("top.n$1").tolist() == found.values("top.part.same").tolist() == [0, 1, 7]
    assert (found.known("top.n$1") & mask(0, 3, 1)).tolist() == [row("011").tolist()] * 3
    assert vcd.read(io.StringIO(VCD), "top.clk", {"top.n$1"}.__contains__).widths.keys() == {"top.clk", "top.n$1"}


def test_waveforms_without_the_clock_are_refused():
    with pytest.raises(ValueError, match="clock = 'top.clock'"):
        vcd.read(io.StringIO(VCD), "top.clock")
    with pytest.raises(ValueError, match="no rising edge"):
        vcd.read(io.StringIO(VCD[:VCD.index("#5")]), "top.clk")
    with pytest.raises(ValueError, match="enddefinitions"):
        vcd.read(io.StringIO("$scope module top $end\n"), "top.clk")


def recorded(cycles):
    """What UNIT's signals are in random cycles, as a Recording; its memory `words` is not among them."""
    rng = np.random.default_rng(3)
    words, large, read, total, lines = [0] * 4, [0] * 8, 0, 0, []
    for cycle in range(cycles):
        now = dict(rst=int(cycle < 2), put=int(rng.integers(2)), at=int(rng.integers(8)), data=int(rng.integers(256)))
        now |= dict(found=words[now["at"] % 4], sum=total, far=read, read=read)
        lines.append(now)
        total = 0 if now["rst"] else (total + now["found"]) % 256
        read = read if now["put"] else large[now["at"]]
        if now["put"]:
            words[now["at"] % 4] = large[now["at"]] = now["data"]
    widths = dict(rst=1, put=1, at=3, data=8, found=8, sum=8, far=8, read=8)
    text = ["$scope module unit $end", "$var wire 1 clk clk $end"]
    text += [f"$var wire {width} {name} {name} $end" for name, width in widths.items()] + ["$enddefinitions $end"]
    for cycle, now in enumerate(lines):
        text += [f"#{10 * cycle}", "1clk" if cycle else "0clk",
                 *(f"b{value:b} {name}" if widths[name] > 1 else f"{value}{name}" for name, value in now.items()),
                 f"#{10 * cycle + 5}", "0clk"]
    return vcd.read(io.StringIO("\n".join([*text, f"#{10 * cycles}", "1clk", ""])), "unit.clk")


@pytest.fixture(scope="module")
def unit():
    split, netlists = mapped_units(UNIT, "unit", CELLS, Options(recipe="area", macro_bits=64), store=cache.entry)
    return split.units["unit"], netlists["unit"]


def wrong(parts, name, **change):
    """The netlist with another cell in one place."""
    cells = {**parts["cells"], name: {**parts["cells"][name], **change}}
    return {**parts, "cells": cells}


def test_unit_does_what_the_rtl_does_and_changes_are_noticed(unit):
    made, parts = unit
    recording = recorded(200)
    masks = energy.phase_masks((np.arange(200) >= 100).astype(int), 2, recording.words)
    found, compared = energy.Replay(made, parts, CELLS).run(["unit"], recording, masks)
    assert compared > 200 * 16 and (found.settled > 0).all() and (found.clock > 0).all() and (found.memory > 0).all()
    twins = {"NAND2_X1": "NOR2_X1", "NOR2_X1": "NAND2_X1", "AND2_X1": "OR2_X1", "INV_X1": "BUF_X1"}
    names = [name for name, cell in parts["cells"].items() if twins.get(cell["type"])]
    assert names
    for name in names:
        cell = parts["cells"][name]
        pins = cell["connections"]
        if cell["type"] == "INV_X1":
            pins = {"A": pins["A"], "Z": pins["ZN"]}
        try:
            energy.Replay(made, wrong(parts, name, type=twins[cell["type"]], connections=pins), CELLS).run(
                ["unit"], recording, masks)
        except energy.Difference as difference:
            assert "differs from the RTL" in str(difference)
        else:
            pytest.fail(f"{name}, a wrong {cell['type']}, was not noticed")


def test_signal_that_was_not_recorded_is_named(unit):
    made, parts = unit
    recording = recorded(20)
    recording.widths.pop("unit.put")
    with pytest.raises(energy.Difference, match="not recorded: put"):
        energy.Replay(made, parts, CELLS).run(["unit"], recording, energy.phase_masks(np.zeros(20, int), 1, 1))


def test_names_with_a_dollar_become_plain_and_signals_are_dumped():
    text = energy.plain_names("module top(clk);\n  wire \\a$1 ;\n  reg [3:0] word;\n  reg bit = 1'h1;\nendmodule\n")
    assert text == "module top(clk);\n  wire a_dollar_1 ;\n  reg [3:0] word;\n  reg bit = 1'h1;\nendmodule\n"
    dumped = energy.with_dump(text, "top", {"top.part.begin"}, "waves.vcd")
    assert "$dumpvars(0, \\top .\\part .\\begin );" in dumped and "reg [3:0] word = 0;" in dumped
    with pytest.raises(ValueError, match="top = 'other'"):
        energy.with_dump(text, "other", set(), "waves.vcd")


def test_instances_belong_to_the_nearest_block():
    paths = {"lane": ["lane"], "lane_rmmu": ["lane.rmmu"], "lane_fifo": ["lane.rmmu.row.fifo", "lane.fifo"]}
    assert job.blocks_of(paths) == {"lane": "sequencing", "lane.rmmu": "RMMU", "lane.rmmu.row.fifo": "RMMU",
                                    "lane.fifo": "sequencing"}


@pytest.mark.parametrize("words, message", [(["--seed", "-1"], "seed = -1"), (["--retention", "0"], "retention = 0"),
                                            (["--tokens", "64"], "tokens = 64")])
def test_bad_requests_are_refused(words, message, tmp_path, capsys):
    assert cli.main(["run", "energy", "--model", "synthetic", "-o", str(tmp_path / "out"), *words]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_energy_of_a_synthetic_head(need, tmp_path, capsys):
    need("icarus")
    assert cli.main(["run", "energy", "--model", "synthetic", "--tokens", "4", "-o", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "energy.json").read_text())
    blocks = {entry["block"]: entry for entry in record["blocks"]}
    linear = record["phases"].index("linear")
    assert blocks["RMMU"]["settled_pJ"][linear] > sum(
        entry["settled_pJ"][linear] for name, entry in blocks.items() if name != "RMMU")
    sums = [sum(entry["settled_pJ"][linear] for entry in record[kind]) for kind in ("blocks", "modules")]
    assert sums[0] == pytest.approx(sums[1], rel=1e-3)
    assert "logic, all" in capsys.readouterr().out
