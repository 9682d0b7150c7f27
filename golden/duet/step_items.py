"""What the GlobalBuffer's side sends the Executor for a step: a mapped layer's lines as items of the bus."""

import numpy as np

from golden.duet.executor import Item, Kind

__all__ = ["step_items"]


def step_items(mapping, tile, outputs, omaps, lines, maps, weights):
    """The items of a step: maps, then for each chunk its inputs, the weights of rows that have work, ``GO``.

    Parameters: ``mapping`` and one of its ``tiles()``; ``outputs`` (at most R,) output channels or neurons, one a row;
    ``omaps`` (rows, S) bool, of which outputs that the layer does not have are cleared; ``lines`` INT16 and ``maps``
    bool (lines, C S) of the input; ``weights`` (lines, C S) as from ``mapping.pack_weights``.
    """
    outputs, omaps = np.asarray(outputs), np.asarray(omaps, dtype=bool) & tile.valid
    sizes = mapping.sizes
    if not 1 <= len(outputs) <= sizes.rows or omaps.shape != (len(outputs), sizes.segment):
        raise ValueError(f"outputs has shape {outputs.shape} and omaps {omaps.shape}: they must be (rows,) and (rows, "
                         f"{sizes.segment}), at most {sizes.rows} rows")
    for row, (output, omap) in enumerate(zip(outputs.tolist(), omaps)):
        yield Item(kind=Kind.OMAP, row_tag=row, address=output, map=np.pad(omap, (0, sizes.line_words - sizes.segment)))
    for chunk in range(mapping.chunks):
        for line, entry in mapping.loads(tile, chunk):
            yield Item(kind=Kind.INPUT, row_all=True, col_all=True, slot=entry.slot, mask=entry.mask,
                       data=None if line is None else lines[line], map=None if line is None else maps[line])
        for row in np.flatnonzero(omaps.any(axis=1)).tolist():
            for segment in range(mapping.weight_lines):
                yield Item(kind=Kind.WEIGHT, row_tag=row, col_all=True, line=segment,
                           data=weights[mapping.weight_line(outputs[row], chunk, segment)])
        last = chunk == mapping.chunks - 1
        yield Item(kind=Kind.GO, row_all=True, last=last, parity=tile.parity if last else 0)
