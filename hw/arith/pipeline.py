"""Building blocks of free-running pipelines: delay lines and reduction trees. No enable, no reset of wide data."""

from amaranth.hdl import Signal

__all__ = ["delay", "reduce_tree", "tree_latency"]


def delay(m, value, cycles, *, name, control=False):
    """``value`` as it was ``cycles`` clock cycles ago; ``control`` values are reset to zero, data is not."""
    for stage in range(cycles):
        register = Signal(value.shape(), name=f"{name}_{stage + 1}", reset_less=not control)
        m.d.sync += register.eq(value)
        value = register
    return value


def tree_latency(count, levels_per_stage):
    """Cycles :func:`reduce_tree` takes over ``count`` values."""
    return 0 if levels_per_stage == 0 else -(-(count - 1).bit_length() // levels_per_stage)


def reduce_tree(m, values, combine, levels_per_stage, *, name):
    """Reduce ``values`` pairwise with ``combine(a, b)``; a register follows every ``levels_per_stage`` levels and the
    last one (none at all where it is 0). An odd value waits for the next level. Latency: :func:`tree_latency`.
    """
    values = list(values)
    levels = (len(values) - 1).bit_length()
    for level in range(1, levels + 1):
        pairs = [combine(*values[i:i + 2]) if i + 1 < len(values) else values[i] for i in range(0, len(values), 2)]
        values = []
        registered = levels_per_stage and (level % levels_per_stage == 0 or level == levels)
        for index, result in enumerate(pairs):
            node = Signal(result.shape(), name=f"{name}_{level}_{index}", reset_less=True)
            m.d["sync" if registered else "comb"] += node.eq(result)
            values.append(node)
    return values[0]
