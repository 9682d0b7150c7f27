"""What a stack of convolutions needs in the GlobalBuffer, and in which times: numbers of jobs.

In time t the Executor computes job t, the Speculator works on job t + 1, and the DMA stores the result of job t - 1 and
loads what job t + 1 needs.
"""

from golden.duet.allocation import Item
from golden.duet.cnn_plan import weights_lead, weights_name
from golden.duet.layer_commands import order_lines

__all__ = ["between_items", "layer_items"]


def between_items(layers, begins):
    """Inputs and results of layers that are computed whole; ``begins``: of each layer the number of its first job, and
    of all jobs. Two lists of ``Item``: of lines and of map lines."""
    data, maps = [], []
    for number, taker in enumerate([*layers, None]):
        maker = layers[number - 1] if number else None
        makes, takes = maker is not None and maker.whole, taker is not None and taker.whole
        if makes or takes:
            lines = maker.mapping.out_map.lines if makes else taker.mapping.in_map.lines
            # A ragged result is cleared a job before it is written.
            first = begins[number - 1] - maker.ragged if makes else begins[number] - 1
            last = begins[number + 1] - 1 if takes else begins[number]
            data.append(Item(f"act[{number}]", lines, first, last))
            maps.append(Item(f"map[{number}]", lines, first, last))
    return data, maps


def layer_items(layer, sizes, turns, before):
    """What else the jobs of a layer need, likewise, with times from its first job on.

    ``turns``: kind -> places that jobs of a layer in strips have in turn; ``before``: the layer before, or None. Every
    second part's weights are ``high``, unless one is there at a time.
    """
    data, maps, (strips, count) = [], [], (layer.grid.sizes, layer.grid.count)
    if layer.speculation:
        data.append(Item(f"speculator[{layer.number}]", sum(layer.buffer_lines), -1, -1))
    for part, (_, n) in enumerate(layer.parts):
        first = part * count
        data.append(Item(weights_name(layer, part), n * layer.row_lines, first - weights_lead(layer, part, before),
                         first + count - 1, part % 2 == 1 and not layer.late))
    groups = [-(-n // sizes.cols) for _, n in layer.parts]
    orders = [order_lines(sizes, n) for _, n in layer.parts]
    kinds = []
    if layer.speculation:
        stay = turns["omap"] - 2
        kinds += [(data, "order", -1, 0, [tiles * lines for lines in orders for *_, tiles in strips]),
                  (maps, "omap", -1, stay, [tiles * lines for lines in groups for *_, tiles in strips])]
    if layer.whole:
        for items, kind, early, late, counts in kinds:
            items.append(Item(f"{kind}[{layer.number}]", sum(counts), early, layer.jobs - 1 + late))
        return data, maps
    inputs = [lines for _ in groups for lines, *_ in strips]
    outputs = [blocks * lines for lines in groups for _, blocks, _ in strips]
    for items in (data, maps):
        kinds += [(items, "in", -1, 0, inputs), (items, "out", -layer.ragged, 1, outputs)]
    for items, kind, early, late, counts in kinds:
        for turn in range(min(turns[kind], len(counts))):
            mine = counts[turn::turns[kind]]
            last = turn + (len(mine) - 1) * turns[kind]
            items.append(Item(f"{kind}[{layer.number}].{turn}", max(mine), turn + early, last + late))
    return data, maps
