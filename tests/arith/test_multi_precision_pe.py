# amaranth: UnusedElaboratable=no
"""The multi-precision element: every mode against its golden model, modes mixed, tile and accumulator rules."""

import cocotb
import numpy as np
import pytest

from golden.arith.multi_precision_pe import MultiPrecisionPe as Golden
from golden.arith.multi_precision_pe import dot_lanes, pack_segments, unpack
from golden.arith.precision import Precision
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage

#: Words that hold minima, maxima, -1, 0 and all-ones of every precision.
CORNERS = (0, 0xFFFFFFFF, 0x80008000, 0x7FFF7FFF, 0x80808080, 0x7F7F7F7F, 0x88888888, 0x77777777, 0xAAAAAAAA,
           0x55555555, 0x00008000, 0x80007FFF, 0x0001FFFF)
MODES = [mode.name for mode in Precision]
POINTS = ([f"{a} then {b}" for a in [*MODES, "MAC"] for b in [*MODES, "MAC"]]
          + [f"{mode} {corner:08x}" for mode in MODES for corner in CORNERS]
          + ["swap with a load in the same cycle", "MAC with swap", "first", "accumulate", "idle cycle", "high half"])
coverage = Coverage("multi-precision element", POINTS)


def word(rng):
    """A random 32-bit word, often a corner or a mix of extreme pieces."""
    kind = rng.integers(4)
    if kind == 0:
        return int(rng.choice(CORNERS))
    if kind == 1:
        return int("".join(rng.choice(["7f", "80", "ff", "00", "a5"], 4)), 16)
    return int(rng.integers(1 << 32))


def beat(rng, golden, busy):
    """One cycle's inputs, and the results they call for: (inputs, dot or None, acc or None)."""
    op = int(rng.choice([0, 1, 1, 1, 2, 2])) if not busy else int(rng.choice([1, 2]))
    mode = Precision(int(rng.integers(4))) if op != 2 else Precision.FX16
    col, half, swap = word(rng), bool(rng.integers(2)), bool(rng.random() < 0.3)
    row, first = word(rng) & 0xFFFF, bool(rng.random() < 0.1)
    load, data = int(rng.choice([0, 1, 2, 4, 8])), word(rng)
    inputs = dict(op=op, mode=int(mode), col=col, half=half, swap=swap, row=row, first=first, load=load,
                  load_data=data)
    dot = acc = None
    if op == 1:
        dot = int(golden.dot(mode, np.int64(col), half, swap))
    elif op == 2:
        acc = int(golden.mac(np.int64(col), np.int64(row), first, half, swap))
    if load:
        golden.load(load.bit_length() - 1, np.int64(data))
    return inputs, dot, acc


def cover(previous, inputs, tile):
    """Count the points that this cycle reaches; returns the name of its beat, or that of the one before."""
    if inputs["op"] == 0:
        coverage.hit("idle cycle")
        return previous
    name = "MAC" if inputs["op"] == 2 else Precision(inputs["mode"]).name
    if previous:
        coverage.hit(f"{previous} then {name}")
    if name != "MAC" and inputs["col"] in CORNERS and int(tile[0]) in CORNERS:
        coverage.hit(f"{name} {inputs['col']:08x}")
    for point, reached in (("swap with a load in the same cycle", inputs["swap"] and inputs["load"]),
                           ("MAC with swap", name == "MAC" and inputs["swap"]),
                           ("first", name == "MAC" and inputs["first"]),
                           ("accumulate", name == "MAC" and not inputs["first"]),
                           ("high half", name == "FX16" and inputs["half"])):
        if reached:
            coverage.hit(point)
    return name


async def play(dut, count, busy):
    """``count`` random cycles; every ``dot`` and, in every cycle, ``acc`` must be the golden model's."""
    bench = await start(dut, timeout=None)
    ctx = context()
    rng, options, golden = ctx.rng, ctx.options, Golden()
    latency, mac_latency = options["latency"], options["mac_latency"]
    dots, accs, previous, shown = {}, {}, None, None
    fill = [(dict(op=0, load=1 << lane, load_data=word(rng)), lane) for lane in range(4)]
    for cycle in range(count + mac_latency):
        if cycle < 4:
            inputs, lane = fill[cycle]
            golden.load(lane, np.int64(inputs["load_data"]))
        elif cycle == 4:  # a MAC that starts the sum, and the only way to give the tile a value
            inputs = dict(op=2, mode=0, swap=1, first=1, col=1, row=1, half=0, load=0)
            accs[cycle + mac_latency] = int(golden.mac(np.int64(1), np.int64(1), True, False, True))
        elif cycle < count:
            inputs, dot, acc = beat(rng, golden, busy)
            previous = cover(previous, inputs, golden.active)
            if dot is not None:
                dots[cycle + latency] = dot
            if acc is not None:
                accs[cycle + mac_latency] = acc
        else:
            inputs = dict(op=0, load=0)
        for name, value in inputs.items():
            getattr(dut, name).value = int(value)
        await bench.cycles(1)
        shown = accs.get(cycle, shown)
        if cycle in dots:
            wanted = dots[cycle] ^ (1 if options.get("corrupt") and cycle > count // 2 else 0)
            assert int(dut.dot.value) == wanted, f"cycle {cycle}: dot {int(dut.dot.value):012x}, expected {wanted:012x}"
        if shown is not None:
            assert dut.acc.value.to_signed() == shown, f"cycle {cycle}: acc {dut.acc.value.to_signed()}, {shown}"


@cocotb.test()
async def random_beats(dut):
    """Any beat after any other, with idle cycles, loads and swaps at any time."""
    await play(dut, context().options["cycles"], busy=False)


@cocotb.test()
async def full_rate(dut):
    """A beat in every cycle."""
    await play(dut, context().options["cycles"], busy=True)


@cocotb.test()
async def exhaustive(dut):
    """Every operand and tile of the 4-bit dot product unit, in both its modes; random ones of the larger ones."""
    bench = await start(dut, timeout=None)
    rng, options = context().rng, context().options
    width, latency, cases = options["width"], options["latency"], options["cases"]
    lanes = width // 4
    modes = range(width.bit_length() - 1)
    expected = {}
    for cycle in range(cases + latency):
        if cycle < cases:
            if width == 4:
                mode, x, tile = cycle >> 16, cycle & 0xFF, cycle >> 8 & 0xFF
            elif width == 8 and cycle >> 16 == 0:
                mode, x, tile = 0, cycle & 0xFF, cycle >> 8 & 0xFF
            else:
                mode = int(rng.choice(modes))
                x = word(rng) & ((1 << 2 * width) - 1)
                tile = sum(word(rng) % (1 << 2 * width) << (2 * width * lane) for lane in range(lanes))
            if mode == 0:
                x = (x & ((1 << width) - 1)) * ((1 << width) + 1)
            dut.x.value, dut.tile.value, dut.mode.value = x, tile, mode
            expected[cycle + latency] = field_word(width, mode, x, tile), mode
        await bench.cycles(1)
        if cycle in expected:
            (wanted, mask), mode = expected.pop(cycle)
            assert int(dut.result.value) & mask == wanted, f"cycle {cycle}, mode {mode}: {int(dut.result.value):x}"


def field_word(width, mode, x, tile):
    """What RecursiveDot gives: (fields with inverted sign bits in bit-reversed order, mask of the bits defined)."""
    bits = width >> mode
    count = max(1, (1 << mode) // 2)
    products = 1 if mode == 0 else 2 << mode
    field, result, mask = 2 * width // count, 0, 0
    sign = (products << (2 * bits - 1)).bit_length() - 1

    def signed(value, index):
        value = value >> (bits * index) & ((1 << bits) - 1)
        return value - (value >> (bits - 1) << bits)

    for lane in range(count):
        lane_tile = tile >> (2 * width * lane)
        total = sum(signed(x, i) * signed(lane_tile, i) for i in range(products))
        place = field * int(f"{lane:0{count.bit_length() - 1}b}"[::-1], 2) if count > 1 else 0
        defined = (2 << sign) - 1
        result |= (total + (1 << sign) & defined) << place
        mask |= defined << place
    return result, mask


def run(component=None, *, testcase=("random_beats", "full_rate"), seed=1, **options):
    from hw.arith.multi_precision_pe import MultiPrecisionPe
    from resilin.simulate import simulate_component

    component = component or MultiPrecisionPe()
    options = {"latency": component.latency, "mac_latency": getattr(component, "mac_latency", 0), "cycles": 6000,
               **options}
    return simulate_component(component, __name__, seed=seed, testcase=list(testcase), options=options)


def test_element():
    from sim.coverage import merge

    results = [run(), run(seed=2)]
    merge("multi-precision element", POINTS, results).check()


@pytest.mark.parametrize("cuts", [(), (2, 8), (4,), (2, 4, 8)])
def test_other_cuts(cuts):
    from hw.arith.multi_precision_pe import MultiPrecisionPe

    run(MultiPrecisionPe(cuts=cuts), testcase=["random_beats"], cycles=2000)


def test_bricks():
    from hw.arith.brick_dot import BrickDot
    from hw.arith.multi_precision_pe import MultiPrecisionPe

    run(MultiPrecisionPe(dot_class=BrickDot, cuts=()), testcase=["random_beats"], cycles=3000)


def test_a_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="expected"):
        run(testcase=["random_beats"], corrupt=True, cycles=500)


@pytest.mark.parametrize("width, cases", [(4, 1 << 17), (8, (1 << 16) + 20000), (16, 20000)])
def test_dot_unit(width, cases):
    """Width 4: all of the inputs of both modes. Width 8: all of the full product, the others at random."""
    from hw.arith.recursive_dot import RecursiveDot

    # With a register, so that there is a clock.
    run(RecursiveDot(width, cuts=(width // 2,)), testcase=["exhaustive"], width=width, cases=cases)


def test_latency_of_the_class_is_that_of_its_default_cuts():
    from hw.arith.multi_precision_pe import MultiPrecisionPe

    element = MultiPrecisionPe()
    assert (element.latency, element.mac_latency) == (MultiPrecisionPe.latency, MultiPrecisionPe.mac_latency)


@pytest.mark.parametrize("make, message", [
    (lambda unit: unit(12), "width = 12 is not allowed: width must be 4, 8 or 16"),
    (lambda unit: unit(16, (3,)), r"cuts = \(3,\) is not allowed: a cut must be one of \[8, 4, 2\]"),
])
def test_refusals(make, message):
    from hw.arith.recursive_dot import RecursiveDot

    with pytest.raises(ValueError, match=message):
        make(RecursiveDot)


def test_golden_matches_plain_python():
    rng = np.random.default_rng(3)
    for mode in Precision:
        operand = rng.integers(0, 1 << 32, 50)
        tile = rng.integers(0, 1 << 32, (50, 4))
        length, lanes = mode.tile
        for n, dots in enumerate(dot_lanes(mode, operand, tile)):
            for lane in range(lanes):
                x, w = (unpack("x", np.int64(value), 32, mode.bits) for value in (operand[n], tile[n, lane]))
                assert dots[lane] == sum(int(a) * int(b) for a, b in list(zip(x, w))[:length])


def test_golden_refuses_what_does_not_fit():
    golden = Golden((2,))
    with pytest.raises(ValueError, match="col holds"):
        golden.dot(Precision.INT4, np.array([0, 1 << 32]))
    with pytest.raises(ValueError, match="col has shape"):
        golden.dot(Precision.INT4, np.array([0]))
    with pytest.raises(ValueError, match="lane = 4"):
        golden.load(4, np.array([0, 0]))
    with pytest.raises(ValueError, match="dots holds"):
        pack_segments(np.array([0, 0, 0, 1 << 11]))
    full = Golden()
    with pytest.raises(ValueError, match="acc holds"):
        for _ in range(1 << 14):
            full.mac(np.int64(0x8000), np.int64(0x8000))
