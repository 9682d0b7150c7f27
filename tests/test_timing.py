"""Static timing: hand-made netlists against sums of arcs, and abstracts against the flat netlist."""

import dataclasses

import pytest

from synth import library, opensta
from synth.design import Memory
from synth.timing import CLOCK_SLEW_PS, INPUT_SLEW_PS, analyse, macro


@pytest.fixture(scope="module")
def cells():
    return library.load("nangate45")


def value(row, slew, load):
    k0, ks, kc, kx = row
    return k0 + ks * slew + kc * load + kx * slew * load


def module(ports, cells):
    """A netlist as in Yosys' JSON: ``ports`` name -> (direction, nets), ``cells`` name -> (type, pin -> net)."""
    return {"ports": {name: {"direction": direction, "bits": nets} for name, (direction, nets) in ports.items()},
            "cells": {name: {"type": kind, "connections": {pin: [net] for pin, net in pins.items()}}
                      for name, (kind, pins) in cells.items()},
            "netnames": {f"n{net}": {"bits": [net]} for net in range(2, 40)}}


def test_timing_of_one_inverter_is_its_arc(cells):
    netlist = module({"a": ("input", [2]), "y": ("output", [3])}, {"u": ("INV_X1", {"A": 2, "ZN": 3})})
    rise, fall = cells.cells["INV_X1"]["out"]["ZN"]["arc"]["A"][0]["k"][:2]
    paths = analyse(netlist, cells).paths
    assert paths["through"]["ps"] == pytest.approx(max(value(row, INPUT_SLEW_PS, cells.output_load)
                                                       for row in (rise, fall)), abs=0.06)
    assert [paths[kind] for kind in ("register", "input", "output", "memory")] == [None] * 4
    assert (paths["through"]["start"], paths["through"]["end"]) == ("n2", "n3")


def register_chain(inverters):
    """Two registers, with inverters between them."""
    flops = {"p": ("DFF_X1", {"CK": 2, "D": 3, "Q": 10}),
             "q": ("DFF_X1", {"CK": 2, "D": 10 + inverters, "Q": 4})}
    return module({"clk": ("input", [2]), "d": ("input", [3]), "y": ("output", [4])},
                  flops | {f"u{k}": ("INV_X1", {"A": 10 + k, "ZN": 11 + k}) for k in range(inverters)})


def test_register_path_counts_clock_to_output_and_setup(cells):
    flop, inverter = cells.cells["DFF_X1"], cells.cells["INV_X1"]
    out = flop["out"]["Q"]["arc"]["CK"][0]["k"]
    gate = inverter["out"]["ZN"]["arc"]["A"][0]["k"]
    expected = []
    for edge in (0, 1):
        load = inverter["in_fF"]["A"]
        time, slew = (value(out[edge + part], CLOCK_SLEW_PS, load) for part in (0, 2))
        expected.append(time + value(gate[1 - edge], slew, flop["in_fF"]["D"]) + flop["setup_ps"]["D"])
    path = analyse(register_chain(1), cells).paths["register"]
    assert path["ps"] == pytest.approx(max(expected), abs=0.06)
    assert (path["start"], path["end"]) == ("n10", "n4")
    assert [step[0] for step in path["path"]] == ["start", "INV_X1"]


def test_more_gates_take_longer(cells):
    delays = [analyse(register_chain(count), cells).paths["register"]["ps"] for count in (0, 1, 2, 8)]
    assert delays == sorted(delays) and delays[3] > delays[1]


def cut(cells):
    """A path from register to register through two boxes, and the same netlist flat."""
    first = module({"clk": ("input", [2]), "d": ("input", [3]), "a": ("input", [5]), "y": ("output", [11]),
                    "z": ("output", [14])},
                   {"p": ("DFF_X1", {"CK": 2, "D": 3, "Q": 10}), "u0": ("INV_X1", {"A": 10, "ZN": 11}),
                    "v0": ("NAND2_X1", {"A1": 5, "A2": 10, "ZN": 14})})
    second = module({"clk": ("input", [2]), "a": ("input", [11]), "b": ("input", [14]), "y": ("output", [4])},
                    {"u1": ("NAND2_X1", {"A1": 11, "A2": 14, "ZN": 12}), "q": ("DFF_X1", {"CK": 2, "D": 12, "Q": 4})})
    boxes = {name: analyse(netlist, cells).abstract for name, netlist in (("first", first), ("second", second))}
    ports = {"clk": ("input", [2]), "d": ("input", [3]), "a": ("input", [5]), "y": ("output", [4])}
    top = module(ports, {"one": ("first", {"clk": 2, "d": 3, "a": 5, "y": 11, "z": 14}),
                         "two": ("second", {"clk": 2, "a": 11, "b": 14, "y": 4})})
    flat = module(ports, {name: (cell["type"], {pin: nets[0] for pin, nets in cell["connections"].items()})
                          for netlist in (first, second) for name, cell in netlist["cells"].items()})
    return analyse(top, cells, boxes), analyse(flat, cells)


def test_boxes_time_like_the_flat_netlist_or_a_little_longer(cells):
    """What is in a box was timed with the slew that ports are taken to have, here slower than the real one."""
    boxed, flat = cut(cells)
    for kind in ("register", "input", "output"):
        assert -0.5 <= boxed.paths[kind]["ps"] - flat.paths[kind]["ps"] <= 10, kind
    assert boxed.paths["register"]["start"] == "one.n10" and boxed.paths["register"]["end"] == "two.n4"


def test_memory_paths_are_a_class_of_their_own(cells):
    memory = Memory("store", 16, 2, 1, 1)
    netlist = module({"clk": ("input", [2]), "a": ("input", [3])},
                     {"m": ("macro", {}), "u": ("INV_X1", {"A": 20, "ZN": 21}),
                      "q": ("DFF_X1", {"CK": 2, "D": 21, "Q": 22})})
    netlist["cells"]["m"]["connections"] = {"RD_CLK": [2], "RD_DATA": [20, 23], "RD_ADDR": [3, 22, 22, 22]}
    paths = analyse(netlist, cells, {"macro": macro(memory, cells)}).paths
    assert paths["register"] is None and (paths["memory"]["start"], paths["memory"]["end"]) == ("n22", "m.store")


def test_write_enables_on_one_net_are_one_pin(cells):
    def slowest(width):
        netlist = module({"clk": ("input", [2]), "a": ("input", [3])},
                         {"m": ("macro", {}), "q": ("DFF_X1", {"CK": 2, "D": 3, "Q": 22})})
        netlist["cells"]["m"]["connections"] = {"WR_CLK": [2], "WR_EN": [22] * width}
        return analyse(netlist, cells, {"macro": macro(Memory("m", 16, width, 1, 1), cells)}).paths["memory"]["ps"]

    assert slowest(1) == slowest(256)


def test_combinational_loop_is_an_error(cells):
    netlist = module({"a": ("input", [2])}, {"u": ("NAND2_X1", {"A1": 2, "A2": 4, "ZN": 3}),
                                             "v": ("INV_X1", {"A": 3, "ZN": 4})})
    with pytest.raises(ValueError, match="combinational loop"):
        analyse(netlist, cells)


def test_a_slow_cell_is_seen(cells):
    """The checks above can fail: a library with one slower arc gives another figure."""
    table = {**cells.cells}
    arc = table["INV_X1"]["out"]["ZN"]["arc"]["A"][0]
    slower = [[row[0] + 100, *row[1:]] for row in arc["k"][:2]] + arc["k"][2:]
    table["INV_X1"] = {**table["INV_X1"], "out": {"ZN": {**table["INV_X1"]["out"]["ZN"],
                                                         "arc": {"A": [{**arc, "k": slower}]}}}}
    netlist = register_chain(1)
    difference = (analyse(netlist, dataclasses.replace(cells, cells=table)).paths["register"]["ps"]
                  - analyse(netlist, cells).paths["register"]["ps"])
    assert difference == pytest.approx(100, abs=0.2)


@pytest.mark.skipif(not opensta.available(), reason="OpenSTA is not installed")
@pytest.mark.parametrize("name", ["scheduler", "mfu"])
def test_opensta_agrees(name, cells):
    """Same library, netlist and slews: within 1 %, on real blocks mapped flat."""
    from resilin import registry
    from resilin.synthesis import kept_verilog
    from synth import asic, design

    block = registry.find(name)
    verilog = kept_verilog(block, block.config_class.preset("small"))
    units = design.elaborate(verilog, name, unit_weight=float("inf"), macro_bits=None).units
    netlist = asic.map_unit(units[name], cells, asic.RECIPES["area"], 10000).netlist
    paths, theirs = analyse(netlist, cells).paths, opensta.slowest(netlist, cells)
    for kind, ps in theirs.items():
        assert (paths[kind] is None) == (ps is None), kind
        assert ps is None or paths[kind]["ps"] == pytest.approx(ps, rel=0.01), kind
