"""FiGS beside its rivals: engines of the same multipliers and number formats, their areas, one layer on each."""

import dataclasses

from hw.figs.figs_engine import FigsEngineConfig

__all__ = ["Engine", "area", "engines_for"]

_RIVAL = {"alpha": 0, "depth": 1, "groups": 1}


@dataclasses.dataclass(frozen=True)
class Engine:
    """An engine of the comparison: ``name``, ``config``; ``shared``: it gets the weights whose patterns the outputs of
    an element share, else those whose patterns are each output's own."""

    name: str
    config: FigsEngineConfig
    shared: bool


def engines_for(pattern, base):
    """The engines for one pattern: FiGS of the configuration ``base`` and others of as many multipliers.

    A dense array; a multiplexer array whose window is M, at least 4, and one in the shape of FiGS' tile (G times as
    many outputs, as many fewer columns of X); FiGS with patterns that an element's outputs share and with their own;
    FiGS with one multiplier an element; where M / N is beyond ``base.groups``, FiGS that reaches it.
    """
    def make(**changes):
        return dataclasses.replace(base, **changes)

    group = pattern.m // pattern.n
    # As many schedule cycles in the program memory: a word of theirs has one.
    rival = {**_RIVAL, "words": min(base.words * base.groups, 1 << 16)}
    yield Engine("dense", make(array="dense", **rival), False)
    if group > 1:
        window = max(4, pattern.m)
        yield Engine(f"mux {window}", make(array="mux", window=window, **rival), False)
        if base.rows // group >= 2:
            rows = base.rows // group
            shape = {**rival, "rows": rows, "columns": base.columns * group}
            yield Engine(f"mux {window}, {rows} rows", make(array="mux", window=window, **shape), False)
    yield Engine("FiGS", base, base.beta > 1)
    if group > 1 and base.beta > 1:
        yield Engine("FiGS, own patterns", base, False)
        yield Engine("FiGS, beta 1", make(columns=base.columns * base.beta, beta=1), False)
    if base.groups < group <= min(base.rows, 16):
        # Positions of as many rows need as many taps; fewer columns of them do.
        yield Engine(f"FiGS, alpha {group - 1}", make(alpha=group - 1, groups=group,
                                                      depth=max(1, base.depth * (base.alpha + 1) // group)),
                     base.beta > 1)


def area(config, period_ns=None, tell=None):
    """Area and speed of an engine by synthesis (nangate45).

    ``engine``: its logic, um2; ``lanes``: of that its multiply-accumulate units with the registers that sums leave
    from; ``interconnect``: all else: what brings activations and weights to the units, and control;
    ``memory_bits`` of its program; ``mhz`` from register to register. ``period_ns``: map for it, else for least area.
    """
    from resilin.registry import find
    from resilin.synthesis import synthesis_record
    from synth.synthesize import Options

    # Small banks of the program are memory too.
    options = Options(macro_bits=256, period_ns=period_ns)
    record = synthesis_record(find("figs_engine"), config, "nangate45", options, tell)
    (lane,) = (module["all"]["logic_um2"] for module in record["modules"] if module["module"].endswith("mac_lane"))
    total, lanes = record["total"], lane * config.macs
    return {"engine": total["logic_um2"], "lanes": lanes, "interconnect": total["logic_um2"] - lanes,
            "memory_bits": total["memory_bits"], "mhz": record["timing"]["register"]["mhz"], "tools": record["tools"]}
