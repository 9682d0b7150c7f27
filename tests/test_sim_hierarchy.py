"""Which modules Verilator compiles on their own."""

import pytest

from sim import runner
from sim.hierarchy import LEAST_COUNT, LEAST_SIZE, blocks


def module(name, children=(), size=100):
    lines = [f"module {name}(clk);", *(f"  {child} {child}_{k} (\n    .clk(clk)\n  );"
                                       for child, count in children for k in range(count)), "  // " + "x" * size]
    return "\n".join([*lines, "endmodule\n"])


def test_large_repeated_modules_are_set_apart():
    verilog = (module("core", size=LEAST_SIZE) + module("pe", [("core", 1)]) + module("row", [("pe", 4)]) +
               module("top", [("row", LEAST_COUNT)]))
    # core stands once in every pe and stays inside it.
    assert blocks(verilog, "top") == ["pe", "row"]


def test_small_or_rare_modules_stay():
    verilog = (module("tiny") + module("rare", size=LEAST_SIZE) +
               module("top", [("tiny", 100), ("rare", LEAST_COUNT - 1)]))
    assert blocks(verilog, "top") == []


@pytest.mark.parametrize("choice, expected", [({}, ["pe"]), ({"flat": True}, []), ({"waves": "vcd"}, [])])
def test_who_builds_without(choice, expected, monkeypatch):
    monkeypatch.setattr(runner.cache, "entry", lambda kind, name, work: work)
    verilog = module("pe", size=LEAST_SIZE) + module("top", [("pe", LEAST_COUNT)])
    assert runner.build(verilog, "top", **choice).args[-1] == expected
