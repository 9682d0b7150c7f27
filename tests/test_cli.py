"""The command line: every command, what it prints, and how it refuses."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from amaranth.hdl import Fragment

import resilin.simulate
import resilin.verilog
from hw.generate import GenerateError
from resilin import cli, doctor, jobs, registry
from sim.runner import Result

BLOCKS = [block.name for block in registry.BLOCKS]


@pytest.fixture
def resilin_command(capsys):
    """Call ``main`` and return (exit code, stdout, stderr)."""
    def call(*words):
        try:
            code = cli.main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        output = capsys.readouterr()
        return code, output.out, output.err
    return call


def refused(outcome, message, code=2):
    """Whether the outcome is one clear line on stderr with the given exit code."""
    assert outcome[0] == code
    lines = outcome[2].strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("resilin: error: ") and message in lines[0], outcome


def test_installed_command():
    done = subprocess.run([shutil.which("resilin", path=str(sys.prefix) + "/bin"), "--help"], capture_output=True,
                          text=True, check=True)
    for name, summary in cli.COMMANDS.items():
        assert name in done.stdout and summary.split()[0] in done.stdout


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_every_command(resilin_command, name):
    code, out, _ = resilin_command(name, "--help")
    assert code == 0 and f"usage: resilin {name}" in out


def test_list(resilin_command):
    code, out, _ = resilin_command("list")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == BLOCKS
    assert [row["name"] for row in json.loads(resilin_command("list", "--json")[1])] == BLOCKS


def test_schema(resilin_command):
    code, out, _ = resilin_command("schema", "scheduler")
    assert code == 0 and json.loads(out)["properties"]["tokens"]["minimum"] == 2


def test_output_that_nobody_reads():
    """``resilin schema lane | true``: no message, no traceback."""
    resilin = shutil.which("resilin", path=str(sys.prefix) + "/bin")
    with subprocess.Popen([resilin, "schema", "lane"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() == 141


def header_ports(verilog, module):
    return re.search(rf"^module {module}\((.*)\);", verilog, re.MULTILINE)[1].split(", ")


def test_generate(resilin_command, tmp_path):
    code, _, err = resilin_command("generate", "scheduler", "--preset", "small", "--set", "tokens=3", "-o", tmp_path)
    assert code == 0 and "scheduler.v" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scheduler.json", "scheduler.v"]
    verilog = (tmp_path / "scheduler.v").read_text()
    description = json.loads((tmp_path / "scheduler.json").read_text())
    assert verilog.startswith("// scheduler: ") and "\n// tokens = 3\n" in verilog
    assert description["config"]["tokens"] == 3
    assert sorted(port["name"] for port in description["ports"]) == sorted(header_ports(verilog, "scheduler"))
    for port in description["ports"]:
        bits = f"[{port['width'] - 1}:0] " if port["width"] > 1 else ""
        sign = "signed " if port["signed"] else ""
        assert f"  {port['direction']} {sign}{bits}{port['name']};" in verilog

    # The command in the header makes the same bytes.
    words = re.search(r"^// Made by: resilin (.*)$", verilog, re.MULTILINE)[1].split()
    assert resilin_command(*words, "-o", tmp_path / "again")[0] == 0
    assert (tmp_path / "again" / "scheduler.v").read_text() == verilog


def test_generate_from_a_file(resilin_command, tmp_path):
    (tmp_path / "two.toml").write_text("tokens = 2\nmax_keys = 64\n")
    code, out, _ = resilin_command("generate", "scheduler", "--config", tmp_path / "two.toml", "--json", "-o",
                                   tmp_path / "new" / "folder")
    assert code == 0 and len(json.loads(out)["scheduler"]) == 2
    assert json.loads((tmp_path / "new" / "folder" / "scheduler.json").read_text())["config"]["max_keys"] == 64


@pytest.mark.parametrize("words, message", [
    (["rmmux"], "block = 'rmmux' is not known: the blocks are float_fma, rmmu,"),
    (["rmmu", "--set", "rows=1"], "rows = 1 is not allowed: rows must be an integer"),
    (["rmmu", "--set", "rows=a"], "rows = 'a' is not allowed"),
    (["rmmu", "--set", "rows"], "expected FIELD=VALUE"),
    (["rmmu", "--set", "horns=2"], "horns = '2' is not allowed"),
    (["rmmu", "--preset", "huge"], "preset must be one of"),
    (["rmmu", "--config", "absent.toml"], "absent.toml"),
    (["rmmu", "mfu", "--set", "rows=2"], "several"),
])
def test_generate_refuses(resilin_command, tmp_path, words, message):
    refused(resilin_command("generate", *words, "-o", tmp_path / "out"), message)
    assert not (tmp_path / "out").exists()


def test_generate_leaves_old_files_when_it_fails(resilin_command, tmp_path, monkeypatch):
    (tmp_path / "scheduler.v").write_text("old")

    def fail(component, *args):
        Fragment.get(component, None)  # Amaranth warns of a component that is dropped
        raise GenerateError("no disk")
    monkeypatch.setattr(resilin.verilog, "generate", fail)
    refused(resilin_command("generate", "scheduler", "-o", tmp_path), "no disk")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_unwritable_output(resilin_command, tmp_path):
    (tmp_path / "file").write_text("")
    refused(resilin_command("generate", "scheduler", "--preset", "small", "-o", tmp_path / "file"), "file")


def test_simulate(resilin_command, monkeypatch):
    calls = []

    def simulate(block, **options):
        calls.append((block, options))
        return Result(("one", "two"), 1.5, 0.5, 7, {"cover": {"point": 3}}, "", None)
    monkeypatch.setattr(resilin.simulate, "simulate", simulate)
    code, out, _ = resilin_command("simulate", "scheduler", "--set", "tokens=3", "--seed", "7", "--testcase", "one",
                                   "--waves", "--simulator", "icarus", "--flat")
    assert code == 0 and "2 tests passed" in out and "seed 7" in out
    block, options = calls[0]
    assert block == "scheduler" and options["overrides"]["tokens"] == 3 and options["seed"] == 7
    assert options["testcase"] == ["one"] and options["waves"] == "vcd" and options["simulator"] == "icarus"
    assert options["flat"]
    code, out, _ = resilin_command("simulate", "scheduler", "--json")
    assert code == 0 and json.loads(out)["tests"] == ["one", "two"]
    assert calls[1][1]["preset"] == "small" and calls[1][1]["seed"] is None and not calls[1][1]["flat"]


def test_failed_simulation(resilin_command, monkeypatch):
    def simulate(block, **options):
        raise AssertionError("one failed")
    monkeypatch.setattr(resilin.simulate, "simulate", simulate)
    refused(resilin_command("simulate", "scheduler"), "one failed", code=1)
    with pytest.raises(AssertionError):
        resilin_command("--traceback", "simulate", "scheduler")


def test_run(resilin_command, tmp_path, monkeypatch):
    (tmp_path / "example.py").write_text(
        "summary = 'prints a number'\n"
        "def add_arguments(parser):\n    parser.add_argument('--number', type=int, default=3)\n"
        "def run(args):\n    print(args.number)\n    return args.number % 2\n")
    monkeypatch.setattr(jobs, "__path__", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "resilin.jobs.example", raising=False)
    assert "prints a number" in resilin_command("run", "--help")[1]
    assert "--number" in resilin_command("run", "example", "--help")[1]
    assert resilin_command("run", "example", "--number", "4") == (0, "4\n", "")
    assert resilin_command("run", "example")[0] == 1
    code, _, err = resilin_command("run", "absent")
    assert code == 2 and "absent" in err
    monkeypatch.delitem(sys.modules, "resilin.jobs.example", raising=False)


@pytest.mark.parametrize("name", jobs.names())
def test_help_of_every_job(resilin_command, name):
    code, out, _ = resilin_command("run", name, "--help")
    assert code == 0 and out.startswith(f"usage: resilin run {name}")


def test_models(resilin_command, tmp_path, monkeypatch):
    monkeypatch.setenv("RESILIN_CACHE", str(tmp_path))
    code, out, _ = resilin_command("models", "list")
    assert code == 0 and "not fetched" in out
    assert json.loads(resilin_command("models", "list", "--json")[1])[0]["folder"] is None
    refused(resilin_command("models", "fetch", "nothing"), "model = 'nothing' is not allowed")


def test_doctor(resilin_command, monkeypatch):
    code, out, _ = resilin_command("doctor")
    assert code == 0 and "All that is needed is here." in out
    assert all(row["ok"] for row in json.loads(resilin_command("doctor", "--json")[1]) if row["needed"])
    findings = {finding.name: finding for finding in doctor.examine(which=lambda name: None)}
    assert not findings["g++"].ok and "apt install g++" in findings["g++"].remedy
    assert not findings["iverilog"].ok and not findings["iverilog"].needed


def test_doctor_tells_what_is_missing(resilin_command, monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Finding("g++", False, True, "not on PATH", "apt install")])
    code, out, _ = resilin_command("doctor")
    assert code == 1 and "missing  g++: not on PATH" in out and "to get it: apt install" in out


@pytest.mark.parametrize("words, message", [
    (["lint", "absent.v"], "file = 'absent.v' is not allowed"),
    (["simulate", "detector", "--seed", -1], "seed = -1 is not allowed"),
    (["run", "softmax", "-o", "out", "--seed", -1], "seed = -1 is not allowed"),
    (["run", "softmax", "-o", "file"], "output = 'file' is not allowed: it must be a folder"),
    (["run", "gemm", "-o", "out", "--seed", -1], "seed = -1 is not allowed"),
    (["run", "gemm", "-o", "file"], "output = 'file' is not allowed: it must be a folder"),
])
def test_bad_requests_are_refused_before_the_work(resilin_command, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    refused(resilin_command(*words), message)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_lint(resilin_command, tmp_path):
    good, undriven, broken = (tmp_path / f"{name}.v" for name in ("good", "undriven", "broken"))
    good.write_text("module good(input a, output y);\n  assign y = ~a;\nendmodule\n")
    undriven.write_text("module undriven(input a, output y);\n  wire b;\n  assign y = a & b;\nendmodule\n")
    broken.write_text("module broken(input a\n")
    assert resilin_command("lint", good)[0] == 0
    code, out, _ = resilin_command("lint", undriven)
    assert code == 1 and "UNDRIVEN" in out
    code, _, err = resilin_command("lint", broken)
    assert code == 2 and "broken.v" in err


def test_unknown_command(resilin_command):
    code, _, err = resilin_command("generat")
    assert code == 2 and "invalid choice: 'generat'" in err
