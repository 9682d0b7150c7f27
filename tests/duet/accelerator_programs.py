"""Small programs of the accelerator, each for one kind of command, with what they must leave in the DRAM.

Used by the tests of the golden model and of the hardware. All numbers are random, from a numpy generator.
"""

import dataclasses

import numpy as np

from golden.duet import layer_commands
from golden.duet.calibrate import Speculation, SpeculatorFormat
from golden.duet.command import CellOp, Command, CopyOp, Engine, WorkOp
from golden.duet.executor_pe import SLOTS
from golden.duet.layer import ConvLayer, GateLayer
from golden.duet.layer_commands import ConvPlace
from golden.duet.layer_parameters import QuantizedLayer
from golden.duet.layout import pack_vector
from golden.duet.mapping import LoadEntry, map_conv, map_gate
from golden.duet.program import DramImage, Program, Queues
from golden.duet.speculator_mapping import map_gate_speculation, map_speculation
from golden.duet.speculator_mfu import Function

__all__ = ["PROGRAMS", "Sample", "copy", "fetch", "gate", "random_parameters", "random_speculation", "tile"]

DMA, SPEC, EXEC, CELL = (1 << engine for engine in Engine)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Sample(Program):
    """A program with what it was made of: ``parts``, by name."""

    parts: dict


def random_parameters(rng, shape):
    """Integers of a layer with weights of ``shape``, such that results neither vanish nor all saturate."""
    terms = int(np.prod(shape[1:]))
    return QuantizedLayer(weights=rng.integers(-32768, 32768, shape), bias_shift=int(rng.integers(16)),
                          bias=rng.integers(-1000, 1000, shape[0]), weight_scale=1.0,
                          shift=15 + int(np.log2(terms + 1) / 2))


def random_speculation(rng, n, blocks, k_group, lanes, function, sizes, projection=None):
    """Integers of a Speculator's layer whose maps have both zeros and ones."""
    size = sizes.speculator
    if projection is None:
        projection = rng.integers(-1, 2, (blocks, k_group, lanes))
    return Speculation(
        function=function, projection=projection, p_shift=2, weight=rng.integers(-8, 8, (n, blocks * k_group)),
        scale=rng.integers(60, 200, n), bias=rng.integers(-20, 21, n), q_shift=8, pre_step=np.ones(n),
        threshold=int(rng.integers(-10, 10)) if function == Function.RELU else int(rng.integers(15, 40)),
        formats=SpeculatorFormat(input_bits=size.bits, weight_bits=size.bits, scale_bits=size.scale_bits,
                                 bias_bits=size.bias_bits, pre_bits=size.pre_bits, code_bits=size.code_bits))


def random_lines(rng, count, sizes):
    lines = rng.integers(-32768, 32768, (count, sizes.line_words))
    return lines * (rng.random(lines.shape) < 0.7)


def copy(sizes, rng):
    """LOAD with maps, then STORE of the lines and of the maps."""
    image = DramImage(sizes.line_words)
    lines = random_lines(rng, 5, sizes)
    source = image.place(lines)
    results = {"lines": (image.reserve(3), 3), "maps": (image.reserve(4), 4)}
    queues = Queues()
    queues.add(Command(Engine.DMA, CopyOp.LOAD, signal=CELL, flags=1, a=source, b=7, c=5, d=2))
    queues.add(Command(Engine.CELL, CellOp.CONFIG, wait=DMA, signal=DMA, b=1, a=1))
    queues.add(Command(Engine.DMA, CopyOp.STORE, wait=CELL, a=results["lines"][0], b=8, c=3))
    queues.add(Command(Engine.DMA, CopyOp.STORE, flags=1, a=results["maps"][0], b=3, c=4))
    return Sample(sizes=sizes, commands=queues.merge(), dram=image.image(), results=results, parts=dict(lines=lines))


def fetch(sizes, rng, row_lines=3):
    """FETCH of the rows that a map asks for, and of every row of a second gate."""
    image, words = DramImage(sizes.line_words), sizes.line_words
    chosen_map, rows_lines = rng.random((1, words)) < 0.4, random_lines(rng, words * row_lines, sizes)
    chosen_map[0, rng.integers(words)] = True
    bits, rows = image.place(chosen_map.astype(np.int64)), image.place(rows_lines)
    count, chosen = min(words, 5), int(chosen_map.sum()) * row_lines
    results = {"some": (image.reserve(chosen), chosen), "all": (image.reserve(count * row_lines), count * row_lines)}
    queues = Queues()
    queues.add(Command(Engine.DMA, CopyOp.LOAD, flags=1, a=bits, b=0, c=1, d=1))
    queues.add(Command(Engine.DMA, CopyOp.FETCH, flags=row_lines << 1, a=rows, b=0, c=1, d=words))
    queues.add(Command(Engine.DMA, CopyOp.FETCH, flags=row_lines << 1 | 1, a=rows, b=words * row_lines, d=count))
    queues.add(Command(Engine.DMA, CopyOp.STORE, a=results["some"][0], b=0, c=results["some"][1]))
    queues.add(Command(Engine.DMA, CopyOp.STORE, a=results["all"][0], b=words * row_lines, c=results["all"][1]))
    return Sample(sizes=sizes, commands=queues.merge(), dram=image.image(), results=results,
                  parts=dict(chosen=chosen_map[0], rows=rows_lines.reshape(words, row_lines, words)))


def random_loads(mapping, rng, entries):
    """A load table that belongs to no convolution: blocks, slots and masks at random. Every word of the four slots is
    written by some entry, so at least four ``entries``."""
    blocks_x, groups = mapping.in_map.blocks[1], mapping.in_map.groups
    slots = rng.permutation(np.append(np.arange(SLOTS), rng.integers(SLOTS, size=entries - SLOTS)))
    masks = rng.random((entries, mapping.sizes.segment)) < 0.5
    for slot in range(SLOTS):
        of_slot = np.flatnonzero(slots == slot)
        missing = np.flatnonzero(~masks[of_slot].any(axis=0))
        masks[rng.choice(of_slot, len(missing)), missing] = True
    return tuple(LoadEntry(line_offset=(dy * blocks_x + dx) * groups, dy=dy, dx=dx, slot=slot, mask=mask)
                 for (dy, dx), slot, mask in zip(rng.integers(-4, 4, (entries, 2)).tolist(), slots.tolist(), masks))


def tile(sizes, rng, speculate=True, use_order=True, use_imap=True, entries=None, **fields):
    """Every tile of a convolution, on the Executor alone or after the Speculator; ``fields`` of the ``ConvLayer``.

    ``entries``: of load tables at random in place of the convolution's, each engine has its own.
    """
    cols, words = sizes.cols, sizes.line_words
    layer = ConvLayer(**dict(in_channels=cols + 1, out_channels=sizes.executor.rows + 1, height=5, width=3, kernel=3,
                             padding=1) | fields)
    mapping = map_conv(layer, sizes.executor)
    parameters = random_parameters(rng, (layer.out_channels, layer.in_channels, *layer.kernel))
    image, queues = DramImage(words), Queues()
    shape = (layer.in_channels, layer.height, layer.width)
    inputs = rng.integers(-32768, 32768, shape) * (rng.random(shape) < 0.6)
    lines = mapping.in_map.pack(inputs)
    weights = mapping.pack_weights(parameters.weights)
    tiles, out_lines = mapping.tile_grid[0] * mapping.tile_grid[1], mapping.out_map.lines
    omaps = tiles * mapping.out_map.groups
    orders = tiles * layer_commands.order_lines(sizes, layer.out_channels)
    at = np.cumsum([0, len(lines), len(weights), out_lines, orders])
    place = ConvPlace(act_line=at[0], imap_line=0, out_line=at[2], out_map_line=len(lines), order_line=at[3],
                      omap_line=len(lines) + out_lines)
    queues.add(Command(Engine.DMA, CopyOp.LOAD, flags=1, a=image.place(lines), b=at[0], c=len(lines), d=0,
                       signal=SPEC if speculate else 0))
    clear = image.reserve(max(out_lines, omaps))  # what no tile writes is zero
    queues.add(Command(Engine.DMA, CopyOp.LOAD, flags=1, a=clear, b=at[2], c=out_lines, d=place.out_map_line))
    queues.add(Command(Engine.DMA, CopyOp.LOAD, a=image.place(weights), b=at[1], c=len(weights), signal=EXEC))
    results = {"results": (image.reserve(out_lines), out_lines), "out_maps": (image.reserve(out_lines), out_lines)}
    if speculate:
        integers = random_speculation(rng, layer.out_channels, mapping.in_map.groups, sizes.speculator.trees,
                                      layer.taps * cols, Function.RELU, sizes)
        speculation = map_speculation(mapping, integers, sizes, keep_order=not use_order)
        if entries:
            speculation = dataclasses.replace(speculation, load_table=random_loads(mapping, rng, entries))
        line, buffers = at[4], {}
        for kind, buffer in enumerate((speculation.projection, speculation.weights, speculation.table), 1):
            queues.add(Command(Engine.DMA, CopyOp.LOAD, a=image.place(buffer), b=line, c=len(buffer),
                               signal=SPEC if kind == 3 else 0))
            buffers[kind] = line, len(buffer)
            line += len(buffer)
        # The maps are written with masks: begin with known ones.
        queues.add(Command(Engine.DMA, CopyOp.LOAD, flags=1, a=clear, b=line, c=omaps, d=place.omap_line, signal=SPEC))
        queues.add(Command(Engine.SPEC, WorkOp.CONFIG, wait=DMA, b=13))
        queues.add(layer_commands.fills(buffers, wait=DMA))
        queues.add(layer_commands.configure(Engine.SPEC, layer_commands.spec_conv_words(mapping, speculation, place),
                                            wait=DMA))
        results["omaps"] = image.reserve(omaps), omaps
    if entries:
        mapping = dataclasses.replace(mapping, load_table=random_loads(mapping, rng, entries))
    queues.add(layer_commands.configure(Engine.EXEC, layer_commands.exec_conv_words(
        mapping, parameters, place, weight_line=at[1], use_map=speculate, use_order=use_order and speculate,
        use_imap=use_imap), wait=DMA))
    for y, x in np.ndindex(*mapping.tile_grid):
        last = (y + 1, x + 1) == mapping.tile_grid
        if speculate:
            queues.add(Command(Engine.SPEC, WorkOp.TILE, b=y, c=x, signal=EXEC))
        queues.add(Command(Engine.EXEC, WorkOp.TILE, b=y, c=x, wait=SPEC if speculate else 0,
                           signal=DMA if last else 0))
    queues.add(Command(Engine.DMA, CopyOp.STORE, wait=EXEC, a=results["results"][0], b=place.out_line, c=out_lines))
    queues.add(Command(Engine.DMA, CopyOp.STORE, flags=1, a=results["out_maps"][0], b=place.out_map_line, c=out_lines))
    if speculate:
        queues.add(Command(Engine.DMA, CopyOp.STORE, flags=1, a=results["omaps"][0], b=place.omap_line, c=omaps))
    return Sample(sizes=sizes, commands=queues.merge(), dram=image.image(), results=results, parts=dict(
        mapping=mapping, parameters=parameters, inputs=inputs, speculation=integers if speculate else None))


def gate(sizes, rng, speculate=True, function=Function.SIGMOID, inputs=None, neurons=None):
    """A gate: speculated, rows fetched as the map asks for them, computed; or all of it accurate."""
    words = sizes.line_words
    inputs, neurons = inputs or 3 * words - 1, neurons or min(words + 1, sizes.executor.max_channels)
    mapping = map_gate(GateLayer(inputs=inputs, neurons=neurons, activation=function), sizes.executor)
    parameters = dataclasses.replace(random_parameters(rng, (neurons, inputs)), shift=21)
    weights = mapping.pack_weights(parameters.weights)
    elements = rng.integers(-32768, 32768, inputs)
    vector = pack_vector(elements, words)
    row, blocks = mapping.chunks * mapping.weight_lines, -(-neurons // words)
    image, queues = DramImage(words), Queues()
    at = np.cumsum([0, len(vector), blocks, words * row])
    clear = image.reserve(blocks)
    queues.add(Command(Engine.DMA, CopyOp.LOAD, a=image.place(vector), b=at[0], c=len(vector)))
    queues.add(Command(Engine.DMA, CopyOp.LOAD, flags=1, a=clear, b=at[1], c=blocks, d=0,
                       signal=SPEC if speculate else 0))
    results = {"gate": (image.reserve(blocks), blocks), "maps": (image.reserve(blocks), blocks)}
    if speculate:
        integers = random_speculation(rng, neurons, 1, 2 * sizes.speculator.trees, vector.size, function, sizes)
        speculation = map_gate_speculation([integers], sizes)
        line, buffers = at[3], {}
        for kind, buffer in enumerate((speculation.projection, speculation.weights, speculation.table), 1):
            queues.add(Command(Engine.DMA, CopyOp.LOAD, a=image.place(buffer), b=line, c=len(buffer),
                               signal=SPEC if kind == 3 else 0))
            buffers[kind] = line, len(buffer)
            line += len(buffer)
        queues.add(Command(Engine.SPEC, WorkOp.CONFIG, wait=DMA, b=13))
        queues.add(layer_commands.fills(buffers, wait=DMA))
        queues.add(layer_commands.configure(Engine.SPEC, [
            *layer_commands.layer_words(speculation.layer, sizes.segment),
            *layer_commands.job_words(speculation.gates[0]),
            *layer_commands.register_words(Engine.SPEC, dict(project=1, vector_lines=len(vector)))]))
        queues.add(Command(Engine.SPEC, WorkOp.GATE, b=at[0], c=0, d=at[1], signal=DMA))
    queues.add(layer_commands.configure(Engine.EXEC, layer_commands.exec_gate_words(
        mapping, parameters, first=0, out_line=at[1])))
    rows = image.place(weights)
    for block in range(blocks):
        count, wait = min(words, neurons - block * words), 0
        if block == 0:
            wait = SPEC if speculate else 0
        else:
            wait = EXEC
        queues.add(Command(Engine.DMA, CopyOp.FETCH, wait=wait, signal=EXEC, flags=row << 1 | (not speculate),
                           a=rows + block * words * row, b=at[2], c=block, d=count))
        queues.add(Command(Engine.EXEC, WorkOp.GATE, wait=DMA, signal=DMA, flags=int(not speculate),
                           a=count << 16 | block, b=at[0], c=at[2], d=block * words))
    queues.add(Command(Engine.DMA, CopyOp.STORE, wait=EXEC, a=results["gate"][0], b=at[1], c=blocks))
    queues.add(Command(Engine.DMA, CopyOp.STORE, flags=1, a=results["maps"][0], b=0, c=blocks))
    return Sample(sizes=sizes, commands=queues.merge(), dram=image.image(), results=results, parts=dict(
        mapping=mapping, parameters=parameters, inputs=elements, speculation=integers if speculate else None))


PROGRAMS = {
    "copy": copy,
    "fetch": fetch,
    "tile_base": lambda sizes, rng: tile(sizes, rng, speculate=False, use_imap=False),
    "tile_duet": tile,
    "gate_base": lambda sizes, rng: gate(sizes, rng, speculate=False),
    "gate_duet": gate,
}
"""Name -> function of (sizes, rng) that gives a :class:`Sample`."""
