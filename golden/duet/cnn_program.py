"""A stack of convolutions as a program of the DUET accelerator.

In phase L the Executor computes layer L, tile after tile. Meanwhile the Speculator works on layer L + 1, each tile as
soon as the Executor's tiles that its window touches are complete. What the Speculator needs for layer L + 1 is loaded
when the Executor begins with the last part of layer L. A layer with more weights than there is room for is divided by
output channels into parts, each of which is loaded once and computes all tiles, while the next one, or the next layer's
first, is loaded.

Places in the GlobalBuffer are used again. They are allocated by times: time t is when part t of all is computed.
"""

import dataclasses
import math

import numpy as np

from golden.duet.allocation import Item, allocate, busiest
from golden.duet.calibrate import Speculation
from golden.duet.command import Command, CopyOp, Engine, WorkOp
from golden.duet.layer import ConvLayer
from golden.duet.layer_commands import (ConfigWriter, ConvPlace, exec_conv_words, fills, order_lines, register_words,
                                        spec_conv_words)
from golden.duet.layer_parameters import QuantizedLayer
from golden.duet.mapping import ConvMapping, map_conv
from golden.duet.mode import Mode
from golden.duet.parts import divisions
from golden.duet.program import DramImage, Program, Queues, configure
from golden.duet.speculator_mapping import SpeculatorMapping, map_speculation
from golden.duet.speculator_mfu import Function

__all__ = ["CnnLayer", "CnnProgram", "cnn_program"]

_DMA, _SPEC, _EXEC = (1 << engine for engine in (Engine.DMA, Engine.SPEC, Engine.EXEC))
_TOKENS = 200  # of a layer and pair of engines at most: a counter holds 255
_LINE_CYCLES = 8  # of the DRAM, about


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CnnLayer:
    """A convolution with its integers: ``parameters`` with weights (out_channels, in_channels, kh, kw).

    ``speculation``: None for a layer that is computed without.
    """

    layer: ConvLayer
    parameters: QuantizedLayer
    speculation: Speculation | None = None

    @classmethod
    def of(cls, convolution, height, width):
        """The layer of a calibrated ``golden.duet.networks.DuetConvolution`` for inputs of ``height`` x ``width``."""
        flat = convolution.execution.layer
        weights = flat.weights.reshape(len(flat.weights), -1, *convolution.kernel)
        layer = ConvLayer(in_channels=weights.shape[1], out_channels=len(weights), height=height, width=width,
                          kernel=convolution.kernel, padding=convolution.padding, pooling=convolution.pool,
                          activation=Function.RELU if convolution.execution.relu else Function.NONE)
        return cls(layer=layer, parameters=dataclasses.replace(flat, weights=weights),
                   speculation=convolution.speculation)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CnnProgram(Program):
    """``results``: "output", and with maps "omap[L]" and "map[L]": lines as a ``STORE`` leaves them.

    ``mode``: the :class:`Mode`; ``mappings``: of each layer; ``speculations``: what the Speculator has of it, None
    where it does not work on it; ``parts``: (first, n) of its output channels.
    """

    mode: Mode
    mappings: tuple[ConvMapping, ...]
    speculations: tuple[SpeculatorMapping | None, ...]
    parts: tuple[tuple[tuple[int, int], ...], ...]

    @property
    def speculated(self):
        """For each layer whether the Speculator works on it."""
        return tuple(speculation is not None for speculation in self.speculations)

    def output(self, dram):
        """The result INT16 (channels, height, width) of the last layer."""
        return self.mappings[-1].out_map.unpack(self.result(dram, "output"))

    def result_map(self, dram, layer):
        """The corrected map of a layer's result, bool (channels, height, width)."""
        return self.mappings[layer].out_map.unpack(self._bits(dram, f"map[{layer}]"))

    def switching_map(self, dram, layer):
        """The switching map of a speculated layer, bool (channels, height, width), of the outputs before pooling."""
        mapping = self.mappings[layer]
        height, width = (count * tile for count, tile in zip(mapping.tile_grid, mapping.tile))
        whole = dataclasses.replace(mapping.out_map, height=height, width=width, block=mapping.tile)
        rows, columns = (size * pooling for size, pooling in zip(mapping.layer.out_size, mapping.layer.pooling))
        bits = self._bits(dram, f"omap[{layer}]").reshape(whole.lines, whole.cols, -1)[:, :, :whole.segment]
        return whole.unpack(bits.reshape(whole.lines, -1))[:, :rows, :columns]

    def _bits(self, dram, name):
        lines = self.result(dram, name)
        bits = (lines[:, :-(-lines.shape[1] // 16), None] >> np.arange(16) & 1).astype(bool)
        return bits.reshape(len(lines), -1)[:, :lines.shape[1]]


def cnn_program(layers, image, sizes, mode, *, speculate_first=False, store_maps=False):
    """The :class:`CnnProgram` of ``layers`` (of :class:`CnnLayer`) for ``image`` INT16 (channels, height, width).

    ``sizes``: ``AcceleratorSizes``; ``mode``: ``Mode``. ``speculate_first``: the first layer too, whose input comes
    from outside. ``store_maps``: all maps are stored as results. Raises ``ValueError`` for what the machine cannot run,
    and where the GlobalBuffer is too small.
    """
    return _Builder(layers, image, sizes, mode, speculate_first, store_maps).build()


@dataclasses.dataclass(eq=False)
class _Layer:
    """What the builder knows of a layer."""

    number: int
    mapping: ConvMapping
    parameters: QuantizedLayer
    speculation: SpeculatorMapping | None
    parts: list[tuple[int, int]]
    weights: int = 0   # first line in the DRAM
    buffers: int = 0   # of the Speculator, first line in the DRAM
    ragged: bool = False

    @property
    def tiles(self):
        return self.mapping.tile_grid[0] * self.mapping.tile_grid[1]

    @property
    def row_lines(self):
        return self.mapping.chunks * self.mapping.weight_lines

    @property
    def buffer_lines(self):
        """Lines for each of the Speculator's buffers."""
        return [len(lines) for lines in (self.speculation.projection, self.speculation.weights, self.speculation.table)]


class _Builder:
    def __init__(self, layers, image, sizes, mode, speculate_first, store_maps):
        if not layers:
            raise ValueError("layers is empty: there must be at least one")
        self.sizes, self.mode, self.store_maps = sizes, mode, store_maps
        self.image, self.dram, self.queues = image, DramImage(sizes.line_words), Queues()
        self.layers = []
        for number, given in enumerate(layers):
            mapping = map_conv(given.layer, sizes.executor)
            if number:
                before = self.layers[-1].mapping.out_map
                if mapping.in_map != before:
                    raise ValueError(f"layer {number} takes {mapping.in_map}: the layer before gives {before}")
            speculation = None
            if mode.speculates and given.speculation is not None and (number or speculate_first):
                speculation = map_speculation(mapping, given.speculation, sizes, keep_order=not mode.reorders)
            self.layers.append(_Layer(number, mapping, given.parameters, speculation, [(0, mapping.outputs)],
                                      ragged=given.layer.out_channels % sizes.cols != 0))
        self.writers = {engine: ConfigWriter(engine) for engine in (Engine.SPEC, Engine.EXEC)}

    def build(self):
        self._allocate()
        self._fill_dram()
        groups = [self._copies(number) for number in range(len(self.part_numbers))]
        for copies in (self._first_copies(), *groups):
            for command, cycles in copies:
                self.queues.add(command, cycles)
        number = 0
        for layer in self.layers:
            if layer.speculation:
                # The copies of a phase wait until what was loaded for the layer is in the Speculator.
                self._speculate(layer, fill_signal=_DMA if number and groups[number - 1] else 0)
            self._execute(layer, number, [_DMA if copies else 0 for copies in groups[number:number + len(layer.parts)]])
            number += len(layer.parts)
        return CnnProgram(
            sizes=self.sizes, commands=self.queues.merge(), dram=self.dram.image(), results=self.results,
            mode=self.mode, mappings=tuple(layer.mapping for layer in self.layers),
            parts=tuple(tuple(layer.parts) for layer in self.layers),
            speculations=tuple(layer.speculation for layer in self.layers))

    # Places in the GlobalBuffer.

    def _allocate(self):
        """Parts and places: few parts, as far as the GlobalBuffer allows."""
        choices = [divisions(layer.mapping.outputs, self._unit(layer)) for layer in self.layers]
        chosen = [0] * len(self.layers)
        while True:
            items = self._divide(choices, chosen)
            try:
                self.place = allocate(items, self.sizes.lines, "the GlobalBuffer")
                break
            except ValueError:
                chosen = self._more_parts(choices, chosen, items)
                if chosen is None:
                    raise
        self._divide(choices, chosen)
        self.map_place = allocate(list(self._map_items()), self.sizes.map_lines, "the GlobalBuffer's map memory")

    def _divide(self, choices, chosen):
        """Divide each layer as it is ``chosen``; the items to allocate then."""
        for layer, ways, way in zip(self.layers, choices, chosen):
            layer.parts = ways[way]
        self.part_numbers = [(layer, part) for layer in self.layers for part in range(len(layer.parts))]
        return list(self._data_items())

    def _more_parts(self, choices, chosen, items):
        """``chosen`` with one layer in more parts, the one that helps most, of those whose weights are in the
        GlobalBuffer when most lines are needed for the ``items``; None where that is not possible."""
        _, here = busiest(items)
        if sum(item.count for item in here) <= self.sizes.lines:
            here = items  # there is room, but not in one piece
        names, ranks = {item.name for item in here}, []
        for number in {layer.number for k, (layer, _) in enumerate(self.part_numbers) if f"weights[{k}]" in names}:
            if chosen[number] + 1 < len(choices[number]):
                other = [way + (number == k) for k, way in enumerate(chosen)]
                _, here = busiest(self._divide(choices, other))
                ranks.append((max(self.sizes.lines, sum(item.count for item in here)), len(self.part_numbers), other))
        return min(ranks)[-1] if ranks else None

    def _unit(self, layer):
        """Output channels of which a part has a multiple."""
        return math.lcm(self.sizes.cols, self.sizes.executor.rows,
                        self.sizes.speculator.array_cols if layer.speculation else 1)

    def _item(self, name, count, first_phase, last_phase):
        """Something that is there in the phases of layers ``first_phase`` to ``last_phase``, as far as there are any.

        One phase more is that after the last layer.
        """
        numbers = [layer.number for layer, _ in self.part_numbers] + [len(self.layers)]
        times = [time for time, number in enumerate(numbers) if max(0, first_phase) <= number <= max(0, last_phase)]
        return Item(name, count, times[0], times[-1])

    def _data_items(self):
        yield self._item("act[0]", self.layers[0].mapping.in_map.lines, 0, 0)
        for layer in self.layers:
            now = layer.number
            # A ragged result is cleared a phase before it is written.
            yield self._item(f"act[{now + 1}]", layer.mapping.out_map.lines, now - layer.ragged, now + 1)
            if layer.speculation:
                yield self._item(f"order[{now}]", sum(self._order_lines(layer)), now - 1, now)
                time = self._before(now)
                yield Item(f"speculator[{now}]", sum(layer.buffer_lines), time, time)
        for number, (layer, part) in enumerate(self.part_numbers):
            yield Item(f"weights[{number}]", layer.parts[part][1] * layer.row_lines, max(0, number - 1), number)

    def _before(self, number):
        """The time in which SPEC begins with a layer: that of the last part of the layer before."""
        return max(0, sum(len(layer.parts) for layer in self.layers[:number]) - 1)

    def _map_items(self):
        yield self._item("map[0]", self.layers[0].mapping.in_map.lines, 0, 0)
        for layer in self.layers:
            now = layer.number
            yield self._item(f"map[{now + 1}]", layer.mapping.out_map.lines, now - layer.ragged, now + 1)
            if layer.speculation:
                yield self._item(f"omap[{now}]", layer.tiles * layer.mapping.out_map.groups, now - 1,
                                 now + self.store_maps)

    def _order_lines(self, layer):
        """Lines that the orders of each part take."""
        return [layer.tiles * order_lines(self.sizes, n) for _, n in layer.parts]

    def _conv_place(self, layer, part):
        number = layer.number
        return ConvPlace(
            act_line=self.place[f"act[{number}]"], imap_line=self.map_place[f"map[{number}]"],
            out_line=self.place[f"act[{number + 1}]"], out_map_line=self.map_place[f"map[{number + 1}]"],
            omap_line=self.map_place.get(f"omap[{number}]", 0),
            order_line=self.place.get(f"order[{number}]", 0) + sum(self._order_lines(layer)[:part]))

    # DRAM.

    def _fill_dram(self):
        self.input_line = self.dram.place(self.layers[0].mapping.in_map.pack(self.image))
        cleared = [layer.mapping.out_map for layer in self.layers if layer.ragged]
        self.zeros = self.dram.reserve(max([1] + [out.lines for out in cleared if out.groups == 1]))
        for layer in self.layers:
            layer.weights = self.dram.place(layer.mapping.pack_weights(layer.parameters.weights))
            if layer.speculation:
                layer.buffers = self.dram.lines
                for lines in (layer.speculation.projection, layer.speculation.weights, layer.speculation.table):
                    self.dram.place(lines)
        count = self.layers[-1].mapping.out_map.lines
        self.results = {"output": (self.dram.reserve(count), count)}
        for layer in self.layers if self.store_maps else ():
            for name, count in ((f"map[{layer.number}]", layer.mapping.out_map.lines),
                                (f"omap[{layer.number}]", layer.tiles * layer.mapping.out_map.groups)):
                if name.startswith("map") or layer.speculation:
                    self.results[name] = self.dram.reserve(count), count

    # Commands.

    def _first_copies(self):
        """(command, cycles) of the DMA at the beginning."""
        lines = self.layers[0].mapping.in_map.lines
        yield self._load(self.input_line, self.place["act[0]"], lines, maps=self.map_place["map[0]"])
        yield from self._load_buffers(0)
        yield from self._clear(0)
        yield from self._load_part(0)
        yield from self._clear(1)
        yield from self._load_buffers(1, time=0)
        yield from self._load_part(1)

    def _copies(self, number):
        """(command, cycles) of the DMA when part ``number`` of all has been computed: the first waits for that.

        With the last part of a layer a phase ends: its maps are stored, and places are free for the phase after.
        """
        layer, part = self.part_numbers[number]
        copies, ends, phase = [], part == len(layer.parts) - 1, layer.number + 1
        if ends:
            copies += self._store_maps(layer)
            if phase == len(self.layers):
                line, lines = self.results["output"]
                copies.append((Command(Engine.DMA, CopyOp.STORE, a=line, b=self.place[f"act[{phase}]"], c=lines),
                               lines * _LINE_CYCLES))
            copies += self._clear(phase + 1)
        following = phase if ends else layer.number
        copies += self._load_buffers(following + 1, time=number + 1)
        copies += self._load_part(number + 2)
        if copies:
            command, cycles = copies[0]
            filled = ends and phase < len(self.layers) and self.layers[phase].speculation
            copies[0] = dataclasses.replace(command, wait=_EXEC | (_SPEC if filled else 0)), cycles
        return copies

    def _load(self, dram, line, count, maps=None, **fields):
        return Command(Engine.DMA, CopyOp.LOAD, flags=int(maps is not None), a=dram, b=line, c=count, d=maps or 0,
                       **fields), count * _LINE_CYCLES

    def _load_buffers(self, number, time=None):
        """What the Speculator needs of a layer, if there is one of this number and SPEC begins with it at ``time``."""
        for layer in self.layers[number:number + 1]:
            if layer.speculation and time in (None, self._before(number)):
                yield self._load(layer.buffers, self.place[f"speculator[{number}]"], sum(layer.buffer_lines),
                                 signal=_SPEC)

    def _load_part(self, number):
        """The weights of part ``number`` of all, if there is one."""
        for layer, part in self.part_numbers[number:number + 1]:
            first, n = layer.parts[part]
            yield self._load(layer.weights + first * layer.row_lines, self._weight_line(number), n * layer.row_lines,
                             signal=_EXEC)

    def _weight_line(self, number):
        return self.place[f"weights[{number}]"]

    def _clear(self, number):
        """Zeros where no result of a layer is written: lines of the last group, if it has less than C channels."""
        for layer in self.layers[number:number + 1]:
            out = layer.mapping.out_map
            line, maps = self.place[f"act[{number + 1}]"], self.map_place[f"map[{number + 1}]"]
            if layer.ragged and out.groups == 1:
                yield self._load(self.zeros, line, out.lines, maps=maps)
            elif layer.ragged:
                for last in range(out.groups - 1, out.lines, out.groups):
                    yield self._load(self.zeros, line + last, 1, maps=maps + last)

    def _store_maps(self, layer):
        for name, place in ((f"map[{layer.number}]", f"map[{layer.number + 1}]"), (f"omap[{layer.number}]",) * 2):
            if name in self.results:
                line, count = self.results[name]
                yield (Command(Engine.DMA, CopyOp.STORE, flags=1, a=line, b=self.map_place[place], c=count),
                       count * _LINE_CYCLES)

    def _group(self, layer):
        """Tiles that share a token of the Speculator."""
        return -(-layer.tiles * len(layer.parts) // _TOKENS)

    def _speculate(self, layer, fill_signal):
        writer, line, buffers = self.writers[Engine.SPEC], self.place[f"speculator[{layer.number}]"], {}
        for kind, count in enumerate(layer.buffer_lines, 1):
            buffers[kind] = line, count
            line += count
        size, group = self.sizes.speculator, self._group(layer)
        ready = self._ready_after(layer) if layer.number else None
        for part, (first, n) in enumerate(layer.parts):
            words = spec_conv_words(layer.mapping, layer.speculation, self._conv_place(layer, part), first=first, n=n)
            # At least one word is written: the jobs before have ended, which read the buffers.
            self.queues.add(writer.commands(words, wait=0))
            if part == 0:
                *commands, last = fills(buffers, wait=_DMA)
                self.queues.add([*commands, dataclasses.replace(last, signal=fill_signal)], 64)
                self.queues.add(configure(Engine.SPEC, register_words(Engine.SPEC, dict(n=n))))
            settings = layer.speculation.layer
            windows = (self.sizes.segment - settings.unused) * settings.passes
            cycles = settings.k_rows * (windows + -(-n // size.array_cols) * size.trees)
            for number, tile in enumerate(layer.mapping.tiles()):
                wait = _EXEC if part == 0 and ready is not None and number in ready else 0
                signal = _EXEC if number % group == group - 1 or number == layer.tiles - 1 else 0
                self.queues.add(Command(Engine.SPEC, WorkOp.TILE, wait=wait, signal=signal, b=tile.y, c=tile.x), cycles)

    def _ready_after(self, layer):
        """{tile of the layer that waits: tile of the layer before that gives the token}.

        A tile waits for all tiles that its window touches, where no tile before it did. In a layer of very many tiles
        the first of a group waits for the whole group.
        """
        before = self.layers[layer.number - 1]
        merge = [_tiles_of_block(before.mapping, axis) for axis in range(2)]
        blocks_x, groups = layer.mapping.in_map.blocks[1], layer.mapping.in_map.groups
        needs = []
        for tile in layer.mapping.tiles():
            lines = [line for line, _ in layer.mapping.loads(tile, 0) if line is not None]
            last = 0
            for block in {line // groups for line in lines}:
                y, x = (min((at + 1) * count, tiles) - 1 for at, count, tiles
                        in zip(divmod(block, blocks_x), merge, before.mapping.tile_grid))
                last = max(last, y * before.mapping.tile_grid[1] + x)
            needs.append(last)
        size, waits, known = -(-len(needs) // _TOKENS), {}, -1
        for first in range(0, len(needs), size):
            need = max(needs[first:first + size])
            if need > known:
                waits[first] = known = need
        return waits

    def _execute(self, layer, first_number, end_signals):
        """``first_number``: of its first part among all; ``end_signals``: of the last tile of each part."""
        writer, group = self.writers[Engine.EXEC], self._group(layer)
        after = self.layers[layer.number + 1] if layer.number + 1 < len(self.layers) else None
        gives = set(self._ready_after(after).values()) if after is not None and after.speculation else set()
        speculated = layer.speculation is not None
        # A guess of the share of work that is left, rather too small: where EXEC is faster than that, its commands come
        # too late in the stream, behind those of SPEC.
        share = 4 if self.mode.skips_inputs else 2
        for part, (first, n) in enumerate(layer.parts):
            self.queues.add(writer.commands(exec_conv_words(
                layer.mapping, layer.parameters, self._conv_place(layer, part), first=first, n=n,
                weight_line=self._weight_line(first_number + part), use_map=speculated,
                use_order=speculated and self.mode.reorders, use_imap=self.mode.skips_inputs)))
            last_part = part == len(layer.parts) - 1
            cycles = -(-n // self.sizes.executor.rows) * layer.mapping.chunks * len(layer.mapping.program)
            for number, tile in enumerate(layer.mapping.tiles()):
                wait = (_DMA if number == 0 else 0) | (_SPEC if speculated and number % group == 0 else 0)
                signal = _SPEC if last_part and number in gives else 0
                if number == layer.tiles - 1:
                    signal |= end_signals[part]
                self.queues.add(Command(Engine.EXEC, WorkOp.TILE, wait=wait, signal=signal, b=tile.y, c=tile.x),
                                cycles // share if speculated else cycles)


def _tiles_of_block(mapping, axis):
    """Tiles in a direction that share a block of the result."""
    return mapping.out_map.block[axis] * mapping.layer.pooling[axis] // mapping.tile[axis]
