"""Which modules of a design Verilator should compile once and call, rather than spread over the whole model."""

import collections
import re

__all__ = ["blocks"]

#: A module is set apart when the flattened design holds at least this many of it ...
LEAST_COUNT = 8
#: ... and its own text, with all that is inside it, has at least this many characters.
LEAST_SIZE = 30_000

_MODULE = re.compile(r"^module \\?([^\s(]+)", re.MULTILINE)
_INSTANCE = re.compile(r"^  \\?(\S+) \\?\S+ ?\($", re.MULTILINE)


def blocks(verilog, top):
    """Names of the large modules that the design under ``top`` repeats, for Verilator's ``hier_block``.

    A module that always stands once in a larger repeated one is left inside it. Without this, Verilator copies the
    logic of every instance: the 32 x 16 array of processing elements took more than ten minutes and 7 GB. A call costs
    time in every cycle: without this, ENMC's rank (16 multiply-adds) takes twice as long to build and half as long to
    run (docs/simulation.md), which is for runs of more than a million cycles (``flat`` of :func:`sim.runner.build`).
    """
    starts = [*_MODULE.finditer(verilog)]
    texts = {start[1]: verilog[start.start():end] for start, end in
             zip(starts, [*(start.start() for start in starts[1:]), len(verilog)])}
    children = {name: collections.Counter(child for child in _INSTANCE.findall(text) if child in texts)
                for name, text in texts.items()}
    sizes = {}

    def size(name):
        if name not in sizes:
            sizes[name] = len(texts[name]) + sum(count * size(child) for child, count in children[name].items())
        return sizes[name]

    def names_below(name):
        """Children first, so that a reversed walk meets every parent before its children."""
        seen = {}

        def visit(name):
            if name not in seen:
                for child in children[name]:
                    visit(child)
                seen[name] = None
        visit(name)
        return seen

    counts = collections.Counter({top: 1})
    parents = collections.defaultdict(list)
    for name in reversed(names_below(top)):
        for child, count in children[name].items():
            counts[child] += counts[name] * count
            parents[child].append(name)
    large = [name for name in counts if name != top and counts[name] >= LEAST_COUNT and size(name) >= LEAST_SIZE]
    return sorted(name for name in large
                  if not any(parent in large and counts[parent] == counts[name] for parent in parents[name]))
