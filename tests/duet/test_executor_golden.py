"""The Executor's golden model: worked examples, an independent loop, items of the bus, refusals."""

import dataclasses

import numpy as np
import pytest

from golden.arith import activation
from golden.duet import executor as golden
from golden.duet.executor import Item, Kind
from golden.duet.executor_config import PARITIES, Configuration, Region, address
from golden.duet.layer import ConvLayer, GateLayer
from golden.duet.layer_parameters import QuantizedLayer
from golden.duet.mapping import map_conv, map_gate
from golden.duet.sizes import Sizes
from golden.duet.speculator_mfu import Function
from golden.duet.step_items import step_items

SMALL = Sizes.preset("small")


def configuration(**changes):
    """Outputs 0 to 3 are copies of inputs 0 to 3 times weight 0, each in its own word."""
    program = np.array([(o, 0, o) for o in range(4)])
    place = np.tile(np.arange(4), (PARITIES, 1))
    values = dict(program=program, function=Function.RELU, pool=False, use_imap=False, shift=0, bias_shift=0,
                  bias=np.zeros(4, int), place=place, owned=np.ones((PARITIES, 4), bool))
    return Configuration(**{**values, **changes})


def chunk(inputs, weight, imap=None):
    """A chunk of the small machine: input words 0 to 3 of both columns, weight 0 of each row."""
    words, weights = np.zeros((2, 16), int), np.zeros((4, 2, 12), int)
    words[:, :4], weights[:, :, 0] = inputs, np.reshape(weight, (-1, 1))
    return words, words != 0 if imap is None else np.pad(imap, [(0, 0), (0, 12)]), weights


ALL = np.ones((4, 4), bool)
CHANNELS = np.arange(4)


def test_sum_over_columns_and_chunks_with_bias():
    """Row r: (x0 + x1) * (r + 1) over two chunks, plus the bias, halved; halves round up."""
    chunks = [chunk([[1, 2, 3, -4], [10, 20, 30, 40]], [1, 2, 3, 4]), chunk([[1, 1, 1, 1], [0, 0, 0, -100]], 1)]
    layer = configuration(shift=1, bias_shift=2, bias=np.array([0, 1, 2, -8]))
    data, macs = golden.run_step(layer, chunks, ALL, CHANNELS)
    sums = np.outer([1, 2, 3, 4], [11, 22, 33, 36]) + [1, 1, 1, -99] + np.array([[0], [4], [8], [-32]])
    np.testing.assert_array_equal(data, np.maximum((sums + 1) // 2, 0))
    assert (macs == 4).all() and macs.shape == (2, 4, 2)


def test_maps_skip_macs():
    imap = np.array([[1, 1, 0, 0], [1, 0, 1, 0]], bool)
    omap = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]], bool)
    inputs = [chunk([[5, 6, 0, 0], [7, 0, 8, 0]], 1, imap)]
    for use_imap, expected in ((True, [[2, 2], [1, 1], [0, 0], [0, 0]]), (False, [[4, 4], [1, 1], [1, 1], [0, 0]])):
        data, macs = golden.run_step(configuration(use_imap=use_imap), inputs, omap, CHANNELS)
        np.testing.assert_array_equal(macs[0], expected)
        np.testing.assert_array_equal(data, [[12, 6, 8, 0], [12, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def test_pooling_and_parity():
    """Four outputs pooled to the word that the parity tells; what the map leaves out does not take part."""
    place = np.repeat(np.arange(4)[:, None], 4, axis=1)
    omap = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], bool)
    chunks = [chunk([[1, 7, -9, 9], [0, 0, 0, 0]], 1)]
    for parity in range(4):
        data, _ = golden.run_step(configuration(pool=True, place=place), chunks, omap, CHANNELS, parity)
        np.testing.assert_array_equal(data, np.outer([9, 7, 0, 0], np.arange(4) == parity))


def test_rounding_saturation_and_negative_results():
    x = [[32767, -32768, 3, -3], [0, 0, 0, 0]]
    data, _ = golden.run_step(configuration(function=Function.NONE, shift=1), [chunk(x, [1, 3, 0, 1])], ALL, CHANNELS)
    once = [16384, -16384, 2, -1]
    np.testing.assert_array_equal(data, [once, [32767, -32768, 5, -4], [0, 0, 0, 0], once])


@pytest.mark.parametrize("function, curve", [(Function.SIGMOID, activation.sigmoid), (Function.TANH, activation.tanh)])
def test_gate(function, curve):
    gate = configuration(program=np.array([(0, 0, 0), (1, 0, 0)]), function=function, place=np.zeros((4, 4), int))
    omap = np.zeros((4, 4), bool)
    omap[[0, 2], 0] = True
    data, _ = golden.run_step(gate, [chunk([[900, -100, 0, 0], [0, 0, 0, 0]], [1, 1, -5, 1])], omap, CHANNELS)
    np.testing.assert_array_equal(data, np.outer([curve(800), 0, curve(-4000), 0], [1, 0, 0, 0]))


def test_equals_a_loop():
    """Random programs, maps, places and parities against Python integers."""
    rng = np.random.default_rng(7)
    for _ in range(20):
        n, function = int(rng.integers(37)), Function(rng.integers(2))
        program = np.stack([rng.integers(0, 16, n), rng.integers(0, 12, n), rng.integers(0, 4, n)], axis=1)
        layer = configuration(program=program, function=function, pool=bool(function and rng.integers(2)),
                              use_imap=bool(rng.integers(2)), shift=int(rng.integers(12, 20)),
                              bias_shift=int(rng.integers(16)), bias=rng.integers(-9999, 9999, 9),
                              place=rng.integers(0, 4, (4, 4)))
        chunks = [(rng.integers(-32768, 32768, (2, 16)), rng.random((2, 16)) < 0.5,
                   rng.integers(-32768, 32768, (4, 2, 12))) for _ in range(3)]
        omap, channels, parity = rng.random((4, 4)) < 0.6, rng.integers(0, 9, 4), int(rng.integers(4))
        data, macs = golden.run_step(layer, chunks, omap, channels, parity)
        for row in range(4):
            result, count = [0] * 4, 0
            for output in range(4):
                total = int(layer.bias[channels[row]]) << layer.bias_shift
                for inputs, imap, weights in chunks:
                    for i, w, o in program.tolist():
                        for col in range(2):
                            if o == output and omap[row, o] and (imap[col, i] or not layer.use_imap):
                                total += int(inputs[col, i]) * int(weights[row, col, w])
                                count += 1
                x = min(max((total + (1 << layer.shift - 1)) >> layer.shift, -32768), 32767)
                x = max(x, 0) if function == Function.RELU else x
                word = layer.place[parity, output]
                if omap[row, output]:
                    result[word] = max(result[word], x) if layer.pool else x
            assert data[row].tolist() == result and macs[:, row].sum() == count


def layers_of_the_small_machine(rng):
    conv = ConvLayer(in_channels=3, out_channels=6, height=7, width=5, padding=1, pooling=2)
    gate = GateLayer(inputs=29, neurons=7, activation=Function.TANH)
    for mapping, shape in ((map_conv(conv, SMALL), (6, 3, 3, 3)), (map_gate(gate, SMALL), (7, 29))):
        parameters = QuantizedLayer(weights=rng.integers(-32768, 32768, shape), bias=rng.integers(-99, 99, shape[0]),
                                    bias_shift=9, shift=17, weight_scale=1.0)
        lines = 9 if mapping.outputs == 7 else mapping.in_map.lines
        lines = rng.integers(-32768, 32768, (lines, 8)) * (rng.random((lines, 8)) < 0.5)
        yield mapping, parameters, lines


@pytest.mark.parametrize("use_imap", [False, True])
def test_items_of_the_bus_equal_whole_arrays(use_imap):
    """The same steps as items, with words of configuration; the next step's maps come as early as they may."""
    rng = np.random.default_rng(8)
    for mapping, parameters, lines in layers_of_the_small_machine(rng):
        layer, weights = mapping.configuration(parameters, use_imap=use_imap), mapping.pack_weights(parameters.weights)
        machine = golden.Executor(SMALL)
        for word in layer.words():
            machine.write(*word)
        expected, macs, steps = [], 0, []
        for tile in mapping.tiles():
            for outputs in ([3, 1, 4], [0, 5]):
                omaps = (rng.random((len(outputs), 4)) < 0.4) & tile.valid
                chunks = []
                for at in range(mapping.chunks):
                    rows = np.zeros((4, 2, 12), int)
                    rows[:len(outputs)] = mapping.chunk_weights(weights, outputs, at)
                    chunks.append((*(mapping.chunk_inputs(of, tile, at) for of in (lines, lines != 0)), rows))
                whole = np.pad(omaps, [(0, 4 - len(outputs)), (0, 0)])
                data, counts = golden.run_step(layer, chunks, whole, [*outputs, 0, 0][:4], tile.parity)
                macs += counts.sum()
                expected += [(channel, tile.parity, segment.tolist(), row == len(outputs) - 1)
                             for row, (channel, segment) in enumerate(zip(outputs, data))]
                steps.append(list(step_items(mapping, tile, outputs, omaps, lines, lines != 0, weights)))
        results = []
        for step, after in zip(steps, [*steps[1:], []]):
            early = [item for item in after if item.kind == Kind.OMAP]
            step = [item for item in step if item.kind != Kind.OMAP or step is steps[0]]
            first = next(at for at, item in enumerate(step) if item.kind == Kind.GO)
            at_once = step[first].last  # a step of one chunk: its results leave with that GO
            for at, item in enumerate(step):
                results += machine.send(item)
                if at == first:
                    assert at_once == item.last
                    for item in early:
                        assert machine.send(item) == []
        got = [(result.channel, result.parity, result.data.tolist(), result.last) for result in results]
        assert got == expected and machine.macs == macs
        for result in results:
            np.testing.assert_array_equal(result.nonzero, result.data != 0)
            np.testing.assert_array_equal(result.mask, mapping.owned[result.parity])


def machine_with(**changes):
    machine = golden.Executor(SMALL)
    for word in configuration(**changes).words():
        machine.write(*word)
    return machine


def inputs_item(**changes):
    values = dict(kind=Kind.INPUT, row_all=True, col_all=True, mask=np.ones(4, bool), map=np.ones(8, bool),
                  data=np.arange(1, 9))
    return Item(**{**values, **changes})


def weight_item(**changes):
    return Item(**{**dict(kind=Kind.WEIGHT, row_all=True, col_all=True, data=np.arange(8) + 10), **changes})


def omap_item(row, bits=(1, 1, 1, 1), **changes):
    values = dict(kind=Kind.OMAP, row_tag=row, map=np.array([*bits, 0, 0, 0, 0], bool), address=row)
    return Item(**{**values, **changes})


GO = Item(kind=Kind.GO, row_all=True, last=True)


def test_rows_without_a_map_give_no_result():
    machine = machine_with()
    for item in (omap_item(2), omap_item(0, (0, 0, 0, 0)), inputs_item(), weight_item()):
        assert machine.send(item) == []
    first, second = machine.send(GO)
    assert (first.channel, first.last, second.channel, second.last) == (0, False, 2, True)
    assert not first.data.any() and not first.nonzero.any()
    np.testing.assert_array_equal(second.data, [1 * 10 + 5 * 14, 2 * 10 + 6 * 14, 3 * 10 + 7 * 14, 4 * 10 + 8 * 14])
    assert machine.send(inputs_item()) == [] and machine.send(GO) == []


def test_multicast():
    """X-buses 1 and 3 with the same ID; elements of column 1 in row 0 answer to 0; an item for the Speculator."""
    machine = machine_with()
    machine.write(address(Region.ROW_ID, 3), 1)
    machine.write(address(Region.COLUMN_ID, 1), 0)
    machine.send(omap_item(1))
    machine.send(omap_item(0))
    speculator = Item(kind=Kind.WEIGHT, row_tag=4, data=np.arange(8))
    machine.send(speculator)
    assert machine.through == [speculator]
    machine.send(weight_item())
    for col in (0, 1):
        machine.send(inputs_item(col_all=False, col_tag=col, data=np.full(8, 100 + col)))
    results = machine.send(GO)
    assert [result.channel for result in results] == [0, 1, 1]
    # row 0: both columns answer to 0 only (100); the others: column 0 to 0, column 1 to 1 (101)
    assert [result.data[0] for result in results] == [100 * 24, 100 * 10 + 101 * 14, 100 * 10 + 101 * 14]


def test_masks_write_words():
    machine = machine_with(use_imap=True)
    machine.send(omap_item(0))
    machine.send(weight_item())
    machine.send(inputs_item())
    machine.send(inputs_item(mask=np.array([0, 1, 0, 0], bool), data=np.full(8, 50), map=np.array([1, 0] * 4, bool)))
    result, = machine.send(GO)
    assert machine.macs == 6  # input 1 of both columns is said to be zero
    np.testing.assert_array_equal(result.data, [1 * 10 + 5 * 14, 0, 3 * 10 + 7 * 14, 4 * 10 + 8 * 14])


def test_configuration_words_come_back():
    layer = configuration(shift=3, bias_shift=5, bias=np.array([-1, 1, -1 << 31, (1 << 31) - 1]), pool=True,
                          use_imap=True, owned=np.arange(16).reshape(4, 4) % 3 == 0)
    machine = golden.Executor(SMALL)
    for word in layer.words():
        machine.write(*word)
    machine.send(omap_item(0))
    back = machine._begin()[0]
    for field in dataclasses.fields(Configuration):
        got, expected = getattr(back, field.name), getattr(layer, field.name)
        np.testing.assert_array_equal(got[:4] if field.name == "bias" else got, expected, err_msg=field.name)


@pytest.mark.parametrize("changes, message", [
    ({"shift": 45}, "shift = 45 is not allowed: shift must be from 0 to 44"), ({"bias_shift": 16}, "from 0 to 15"),
    ({"pool": True, "function": Function.NONE}, "function must be RELU"), ({"bias": np.full(1, 1 << 31)}, "bias holds"),
    ({"bias": np.zeros(33, int)}, "max_channels = 32"), ({"place": np.zeros((4, 3))}, "both must be"),
    ({"place": np.full((4, 4), 4)}, "place holds 4"), ({"program": np.zeros((37, 3), int)}, "lut_entries = 36"),
    ({"function": Function.TANH}, "acts on word 0"),
])
def test_refuses_configurations(changes, message):
    with pytest.raises(ValueError, match=message):
        configuration(**changes).check(SMALL)


@pytest.mark.parametrize("changes, message", [
    ({"parity": 4}, "parity = 4"), ({"parity": -1}, "parity = -1"), ({"channels": [0, 1, 2, 4]}, "there are 4 biases"),
    ({"channels": [-1, 1, 2, 3]}, "channels from -1"), ({"channels": [0]}, r"channels \(1,\)"),
    ({"omap": np.ones((1, 4), bool)}, "they must be"), ({"omap": np.full((4, 4), 2)}, "omap holds 2"),
    ({"chunks": []}, "chunks is empty"),
])
def test_refuses_steps(changes, message):
    step = dict(chunks=[chunk([[1, 2, 3, 4], [5, 6, 7, 8]], 1)], omap=ALL, channels=CHANNELS)
    golden.run_step(configuration(), **step)
    with pytest.raises(ValueError, match=message):
        golden.run_step(configuration(), **step | changes)


@pytest.mark.parametrize("region, index, data, message", [
    (Region.SETTINGS, 4, 0, "SETTINGS has indices 0 to 3"), (Region.PROGRAM, 36, 0, "PROGRAM has indices 0 to 35"),
    (Region.BIAS, 32, 0, "0 to 31"), (Region.PLACE, 16, 0, "0 to 15"), (Region.OWNED, 4, 0, "0 to 3"),
    (Region.ROW_ID, 5, 0, "0 to 4"), (Region.COLUMN_ID, 8, 0, "0 to 7"), (7, 0, 0, "7 is not a valid Region"),
    (Region.OWNED, 0, 16, "word 0 of region OWNED holds 16"), (Region.SETTINGS, 1, 16, "SETTINGS holds 16"),
    (Region.BIAS, 0, 1 << 32, "BIAS holds"),
])
def test_refuses_words(region, index, data, message):
    with pytest.raises(ValueError, match=message):
        golden.Executor(SMALL).write(address(region, index), data)


def test_refuses_what_is_unspecified():
    def refused(message, *items, machine=None):
        machine = machine or machine_with()
        with pytest.raises(ValueError, match=message):
            for item in items:
                machine.send(item)
    refused("was not written in this chunk", omap_item(0), weight_item(), GO)
    refused("was not written in this chunk", omap_item(0), inputs_item(), GO)
    refused("was not written in this chunk", omap_item(0), weight_item(row_all=False, row_tag=1), inputs_item(), GO)
    refused("row 0 has an OMAP item already", omap_item(0), omap_item(0))
    refused("row_all must be 1", dataclasses.replace(GO, row_all=False))
    refused("channel 4 has no bias", omap_item(0, address=4), inputs_item(), weight_item(), GO)
    refused("data holds 32768", inputs_item(data=np.full(8, 32768)))
    refused("mask has shape", inputs_item(mask=np.ones(3, bool)))
    refused("was not configured", omap_item(0), GO, machine=golden.Executor(SMALL))
    inside = machine_with()
    for item in (omap_item(0), inputs_item(), weight_item(), dataclasses.replace(GO, last=False)):
        inside.send(item)
    with pytest.raises(ValueError, match="a step is inside"):
        inside.write(address(Region.BIAS, 0), 0)
