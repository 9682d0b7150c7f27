"""What a mapped layer writes to the registers of SPEC and EXEC (docs/duet/duet_accelerator.md)."""

import dataclasses

import numpy as np

from golden.duet.command import Command, Engine, WorkOp
from golden.duet.engine_registers import REGISTERS, entry_word
from golden.duet.executor_config import Region, address
from golden.duet.program import configure
from golden.duet.speculator_mapping import layer_words

__all__ = ["ConvPlace", "ConfigWriter", "exec_conv_words", "exec_gate_words", "fills", "job_words", "order_lines",
           "register_words", "spec_conv_words"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvPlace:
    """Where a convolution's lines are in the GlobalBuffer: first ``act_line`` and ``imap_line`` of the input,
    ``omap_line`` and ``order_line`` of its speculation, ``out_line`` and ``out_map_line`` of the result."""

    act_line: int
    imap_line: int
    out_line: int
    out_map_line: int
    omap_line: int = 0
    order_line: int = 0


class ConfigWriter:
    """``CONFIG`` commands of an engine that write only words which are not there already."""

    def __init__(self, engine):
        self._engine, self._there = engine, {}

    def commands(self, words, **fields):
        """Commands for (address, data) ``words`` that change something; ``fields``: of the first one.

        With ``fields`` there is at least one command.
        """
        words = [(at, data) for at, data in words if self._there.get(at) != data] or (words[:1] if fields else [])
        self._there.update(words)
        return configure(self._engine, words, **fields)


def register_words(engine, values):
    """(address, data) of registers by their names."""
    return [(REGISTERS[engine][name], int(value)) for name, value in values.items()]


def order_lines(sizes, n):
    """Lines that the order of ``n`` channels of a tile takes."""
    return -(-n // (sizes.cols * sizes.executor.rows))


def _masks(mapping):
    """Outputs that a tile has, and those inside of the image in the last row and in the last column of tiles."""
    outputs = np.indices(mapping.tile).reshape(2, -1)
    bits = 1 << np.arange(outputs.shape[1], dtype=np.int64)
    masks = {"tile_mask": int(bits.sum())}
    for axis, name in enumerate(("row_mask", "col_mask")):
        wanted = mapping.layer.out_size[axis] * mapping.layer.pooling[axis]
        last = wanted - (mapping.tile_grid[axis] - 1) * mapping.tile[axis]
        masks[name] = int(np.dot(outputs[axis] < last, bits))
    return masks


def _conv_registers(mapping, loads, place, first):
    """Registers that SPEC and EXEC share; ``first``: output channel that is channel 0 of the job."""
    steps = [t * s // b for t, s, b in zip(mapping.tile, mapping.layer.stride, mapping.in_map.block)]
    values = _masks(mapping) | dict(
        act_line=place.act_line, blocks_y=mapping.in_map.blocks[0], blocks_x=mapping.in_map.blocks[1],
        groups=mapping.in_map.groups, step_y=steps[0], step_x=steps[1], entries=len(loads),
        tiles_y=mapping.tile_grid[0], tiles_x=mapping.tile_grid[1], order_line=place.order_line,
        omap_line=place.omap_line + first // mapping.sizes.cols, out_groups=mapping.out_map.groups)
    bits = 1 << np.arange(mapping.sizes.segment, dtype=np.int64)
    for e, load in enumerate(loads):
        values[f"entry[{e}]"] = entry_word(load.line_offset, load.dy, load.dx, load.slot)
        values[f"mask[{e}]"] = np.dot(load.mask, bits)
    return values


def exec_conv_words(mapping, parameters, place, *, weight_line, first=0, n=None, use_map, use_order, use_imap):
    """Configuration of EXEC for ``n`` output channels from ``first`` (a multiple of C) on; all where not given.

    ``parameters``: of all channels (``QuantizedLayer``, or the like); ``weight_line``: of channel ``first``.
    """
    n = mapping.outputs - first if n is None else n
    parameters = dataclasses.replace(parameters, bias=parameters.bias[first:first + n])
    merge = [t // p < b for t, p, b in zip(mapping.tile, mapping.layer.pooling, mapping.out_map.block)]
    group = first // mapping.sizes.cols
    values = _conv_registers(mapping, mapping.load_table, place, first) | dict(
        n=n, use_map=use_map, use_order=use_order, imap_line=place.imap_line, chunks=mapping.chunks,
        chunk_groups=mapping.chunk_lines, weight_line=weight_line, weight_lines=mapping.weight_lines,
        out_line=place.out_line + group, out_map_line=place.out_map_line + group,
        out_blocks_x=mapping.out_map.blocks[1], merge_y=merge[0], merge_x=merge[1])
    configuration = mapping.configuration(parameters, use_imap=use_imap)
    return configuration.words() + register_words(Engine.EXEC, values)


def spec_conv_words(mapping, speculation, place, *, first=0, n=None):
    """Configuration of SPEC, for a ``SpeculatorMapping``; ``first`` and ``n`` as in :func:`exec_conv_words`."""
    n = mapping.outputs - first if n is None else n
    part = speculation.part(first, n)
    values = _conv_registers(mapping, speculation.load_table, place, first) | dict(project=1)
    return [*layer_words(speculation.layer, mapping.sizes.segment), *register_words(Engine.SPEC, values),
            *job_words(part)]


def job_words(part, pre_bits=8):
    """Registers of SPEC for a ``Part``; ``pre_bits``: of the threshold."""
    return register_words(Engine.SPEC, dict(
        n=part.n, function=part.function, threshold=part.threshold & (1 << pre_bits) - 1, q_shift=part.q_shift,
        weight_base=part.weight_base, table_base=part.table_base))


def exec_gate_words(mapping, parameters, *, first, out_line, with_bias=True):
    """Configuration of EXEC for a gate whose neuron 0 is neuron ``first`` of the machine, with its result there.

    ``parameters``: as in ``mapping.configuration``; ``with_bias``: whether to write the biases.
    """
    bias = np.pad(parameters.bias, (first, 0)) if with_bias else parameters.bias[:0]
    words = mapping.configuration(dataclasses.replace(parameters, bias=bias), use_imap=False).words()
    own = address(Region.BIAS, first)
    words = [(at, data) for at, data in words if not address(Region.BIAS, 0) <= at < own]
    return words + register_words(Engine.EXEC, dict(chunks=mapping.chunks, chunk_groups=mapping.chunk_lines,
                                                    weight_lines=mapping.weight_lines, out_line=out_line))


def fills(lines, **fields):
    """``FILL`` commands for ``lines``: kind -> (line of the GlobalBuffer, count); ``fields``: of the first one."""
    return [Command(Engine.SPEC, WorkOp.FILL, flags=kind, b=line, c=count, **(fields if k == 0 else {}))
            for k, (kind, (line, count)) in enumerate(lines.items())]
