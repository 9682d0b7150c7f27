"""What ``resilin run classify`` measures, as plain data: of the rank's runs, of baselines, of many ranks."""

import numpy as np

from golden.enmc.layout import BURST_BYTES, Layout
from golden.enmc.scale_out import DIVISIONS, candidates_of_ranks, divide, scale_out
from golden.enmc.screener_training import classifier_scores
from golden.enmc.screening import above_threshold, traffic
from golden.enmc.screening_study import agreement
from resilin.enmc.classify_run import check_layer, curve_session, full_session, full_times, layer_session, timeline
from resilin.enmc.rank_run import run_sessions

__all__ = ["BINS", "CLOCK", "answers", "bytes_moved", "many_ranks", "one_rank", "slice_sizes", "typical"]

#: Parts of the time that the timeline has.
BINS = 100
#: MHz of the logic beside DDR4-2400.
CLOCK = 300
_SAMPLES = 240  # of a screening without candidates, at least
_AT_ONCE = 128


def typical(screener, threshold, hidden, wanted, items):
    """Candidates of all vectors ``hidden`` (n, d) at a threshold, bool (n, classes), and the places of the ``items``
    vectors whose number of candidates is nearest to ``wanted``."""
    parts = (hidden[start:start + _AT_ONCE].astype(np.float64) for start in range(0, len(hidden), _AT_ONCE))
    found = np.concatenate([above_threshold(screener.scores(part), threshold) for part in parts])
    return found, np.sort(np.argsort(np.abs(found.sum(1) - wanted), kind="stable")[:items])


def answers(task, results, targets):
    """Item by item: candidates, and how the rank's results stand to the full layer's."""
    full = classifier_scores(task.weight, task.bias, task.hidden)
    chosen = np.zeros(full.shape, bool)
    for row, classes in zip(chosen, results.candidates):
        row[classes] = True
    values = agreement(full, results.scores, chosen, targets)
    return [{"candidates": int(values["candidates"][item]), "found1": bool(values["found1"][item]),
             "top1": bool(values["top1"][item]), "top5": float(values["top5"][item])} for item in range(len(full))]


def slice_sizes(classes, memory):
    """Classes of the slices for full classification: a rank's share, and a third of it."""
    share = -(-classes // memory.all_ranks)
    return sorted({max(1, share // 3), share})


def bytes_moved(layout, run):
    """Bytes of a screening program by kind, of its bursts. "fp32_features": an item's are read for every group of
    candidates."""
    candidates = sum(map(len, run.results.candidates))
    rows, items = candidates * layout.row_bytes, layout.item_bytes
    read, written = run.reads * BURST_BYTES, run.writes * BURST_BYTES
    return {"screening": layout.screening_bytes, "int4_features": items, "rows": rows,
            "fp32_features": read - layout.screening_bytes - items - rows, "read": read, "written": written,
            "least": traffic(layout, candidates).total, "full_least": traffic(layout, candidates).full}


def one_rank(task, config, sizes, *, rtl, probabilities, tell, **options):
    """The whole layer on one rank: (record, runs).

    Baselines of the whole layer by the cycle model; on the RTL slices of them, the first ``sizes`` classes.
    """
    tell.step("the whole layer on the rank" + ", slices of it in full" * rtl)
    sessions = {"layer": layer_session(task, probabilities)}
    layers = _baselines(task)
    if rtl:
        sessions |= {f"{name}, {size} classes": full_session(weight[:size], bias[:size], hidden)
                     for name, (weight, bias, hidden) in layers.items() for size in sizes}
    layout = sessions["layer"].programs["screening"].layout
    # Screening takes a burst a cycle at most: at least two samples for a part of the timeline.
    every = max(16, layout.screening_bytes // BURST_BYTES // _SAMPLES)
    done = run_sessions(sessions, config, rtl=rtl, every=every, progress=tell, **options)
    runs = done["layer"]
    check_layer(task, runs)
    whole = {}
    for name, (weight, _, _) in layers.items():
        tell.step(f"cycle model: {name} of the whole layer")
        whole[name] = full_times(*weight.shape, layout.items, config)
    cycles, first = {name: run.cycles for name, run in runs.items()}, runs["screening"]
    record = {
        "bytes": bytes_moved(layout, first),
        "cycles": {"both": cycles["screening"], "alone": cycles["alone"], "candidates": cycles["candidates"],
                   "one_after_other": cycles["alone"] + cycles["candidates"],
                   "single_module": whole["fp32"].cycles + cycles["candidates"], "full": whole["full"].cycles,
                   "probabilities": cycles.get("probabilities")},
        "whole": {name: {"cycles": times.cycles, "reads": times.bursts_read, "writes": times.bursts_written}
                  for name, times in whole.items()},
        "utilisation": {"both": first.utilisation, "alone": runs["alone"].utilisation,
                        "candidates": runs["candidates"].utilisation,
                        "full": (whole["full"].bursts_read + whole["full"].bursts_written) / whole["full"].cycles},
        "activates": {name: runs[program].times.activates for name, program in (
            ("both", "screening"), ("alone", "alone"), ("candidates", "candidates"))}
        | {"full": whole["full"].activates},
        "busy": dict(zip(("screener", "executor", "overlap"), first.busy)),
        "timeline": {"cycles": int(first.samples[-1, 0]),
                     **dict(zip(("screener", "executor", "overlap", "reads"),
                                timeline(first.samples, BINS).round(4).tolist()))},
        "beside_model": _beside_model(done) if rtl else []}
    return record, runs


def _baselines(task):
    """Layers that the Executor computes in full: name -> (weight, bias, vectors)."""
    small = task.reference
    return {"full": (task.weight, task.bias, task.hidden),
            "fp32": (small.weight, small.bias, small.features(task.hidden))}


def _beside_model(done):
    """Cycles of every program on the RTL and of the cycle model."""
    return [{"program": f"{title}, {name}", "cycles": run.cycles, "model": run.times.cycles}
            for title, runs in done.items() for name, run in runs.items()]


def many_ranks(task, found, memory, one, config, *, rtl, tell, **options):
    """The layer divided over the ranks of ``memory``: cycles of a rank's share from the rank, the rest modelled.

    ``found``: candidates of many vectors, bool (n, classes), for the imbalance; ``one``: cycles of a single rank with
    the whole layer.
    """
    items, classes = task.hidden.shape[0], len(task.weight)
    share = np.flatnonzero(divide(classes, memory.all_ranks, "interleaved") == 0)
    part = task.part(share)
    layout = Layout(classes=len(share), hidden=task.weight.shape[1], k=task.screener.k, items=items)
    batches = len(found) // items
    counts = {how: candidates_of_ranks(found[:batches * items], memory.all_ranks, how).reshape(
        batches, items, memory.all_ranks) for how in DIVISIONS}
    own = {how: candidates_of_ranks(above_threshold(task.scores(), task.threshold), memory.all_ranks, how)[None]
           for how in DIVISIONS}
    most = max(int(each.sum(1).max()) for group in (counts, own) for each in group.values())
    wanted = sorted({0, most, *(4 ** power for power in range(1, 10) if 4 ** power < most)})
    tell.step("a rank's share of the classes at several thresholds; the slowest rank of this batch")
    sessions = {"share": curve_session(part, wanted)}
    for how in DIVISIONS:
        ranks = own[how].sum(1)[0]
        slowest = np.flatnonzero(divide(classes, memory.all_ranks, how) == ranks.argmax())
        sessions[how] = curve_session(task.part(slowest), (ranks.max(),))
    runs = run_sessions(sessions, config, rtl=rtl, progress=tell, **options)
    done = {name: [(sum(map(len, run.results.candidates)), run.cycles) for run in each.values()]
            for name, each in runs.items()}
    curve = sorted(done["share"])

    def cycles(candidates):
        return np.interp(candidates, *zip(*curve))

    _, program = part.program(task.threshold)
    record = {"channels": memory.channels, "ranks": memory.ranks, "share": len(share), "batches": batches,
              "instructions": len(program.instructions), "bandwidth": memory.bandwidth,
              "curve": [{"candidates": count, "cycles": number} for count, number in curve], "divisions": {},
              "checks": [], "beside_model": _beside_model(runs) if rtl else []}
    candidates = sum(map(len, task.candidates()))
    bound = traffic(Layout(classes=classes, hidden=task.weight.shape[1], k=task.screener.k, items=items), candidates)
    record["one_rank_us"] = one / CLOCK
    record["cpu_full_us"] = bound.full / memory.bandwidth * 1e6
    record["cpu_screening_us"] = bound.total / memory.bandwidth * 1e6
    for how in DIVISIONS:
        record["divisions"][how] = {name: _times(layout, memory, group[how], cycles, len(program.instructions))
                                    for name, group in (("own", own), ("all", counts))}
    for how in DIVISIONS:
        ((count, measured),) = done[how]
        record["checks"].append({"division": how, "candidates": count, "cycles": measured,
                                 "curve": round(float(cycles(count)))})
    return record


def _times(layout, memory, counts, cycles, instructions):
    times = scale_out(layout, memory, counts, cycles, instructions)
    ranks = counts.sum(1)
    microseconds = {name: memory.microseconds(float(np.mean(getattr(times, name))))
                    for name in ("features", "instructions", "mean", "slowest", "results", "log")}
    for fetched in ("results", "log"):
        total = times.total(fetched)
        microseconds |= {f"with_{fetched}": memory.microseconds(float(total.mean())),
                         f"with_{fetched}_95": memory.microseconds(float(np.quantile(total, 0.95)))}
    return {"candidates_mean": float(ranks.mean()), "candidates_slowest": float(ranks.max(1).mean()),
            "candidates_most": int(ranks.max()), "us": microseconds}
