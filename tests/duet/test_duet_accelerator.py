"""The accelerator against its golden model: whole programs, the DRAM they leave compared word for word."""

import dataclasses

import cocotb
import numpy as np
import pytest

from golden.duet.cell_unit import Cell
from golden.duet.cnn_program import cnn_program
from golden.duet.command import CellOp, Command, CopyOp, Engine, WorkOp
from golden.duet.engine_registers import ENTRIES
from golden.duet.mode import Mode
from golden.duet.program import Program
from golden.duet.rnn_program import rnn_program
from golden.duet.speculator_mfu import Function
from hw.config import ConfigError
from hw.duet.duet_accelerator import DuetAcceleratorConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge

from .accelerator_programs import PROGRAMS, gate, tile
from .bench_duet_accelerator import POINTS, Harness, coverage
from .network_programs import network, random_cell
from .random_programs import random_program

#: Address of a job's threshold among the registers of SPEC.
THRESHOLD = 0x8011


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.3, 0.8])
async def small_programs(dut, stall):
    """Copies, fetches, tiles and gates, one after another."""
    h = Harness(dut)
    await h.begin(stall)
    for _ in range(2):
        for make in PROGRAMS.values():
            await h.program(make(h.sizes, h.rng))
    await h.bench.finish()


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
@cocotb.parametrize(mode=[mode.name for mode in Mode])
async def convolutions(dut, mode, stall):
    """Two or three layers: the Speculator works on the next one while the Executor works on this one."""
    h = Harness(dut)
    await h.begin(stall)
    for shape, *layers in (
            ((3, 9, 7), dict(out_channels=5, padding=1, pooling=2), dict(out_channels=6, padding=1),
             dict(out_channels=3, kernel=1)),
            ((2, 7, 8), dict(out_channels=3, padding=1, pooling=(2, 1)), dict(out_channels=9, kernel=2)),
            ((2, 7, 6), dict(out_channels=5, padding=1, stride=2), dict(out_channels=3, kernel=1, stride=(2, 1)))):
        layers, image = network(int(h.rng.integers(1000)), h.sizes, shape, *layers)
        await h.program(cnn_program(layers, image, h.sizes, Mode[mode], speculate_first=True, store_maps=True))
        await h.program(cnn_program(layers, image, h.sizes, Mode[mode]))
    await h.bench.finish()


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
@cocotb.parametrize(mode=["BASE", "DUET"])
@cocotb.parametrize(kind=["LSTM", "GRU"])
async def recurrent_cells(dut, kind, mode, stall):
    """Two cells over four steps, gate after gate."""
    h = Harness(dut)
    await h.begin(stall)
    cells = [random_cell(h.rng, h.sizes, Cell[kind], inputs, width) for inputs, width in ((5, 11), (9, 4))]
    inputs = [h.rng.integers(-32768, 32768, (4, cell.inputs)) for cell in cells]
    await h.program(rnn_program(cells, inputs, h.sizes, Mode[mode]))
    await h.bench.finish()


@cocotb.test()
@cocotb.parametrize(mode=["BOS", "DUET"])
async def parted_layers(dut, mode):
    """Layers whose weights do not fit in the GlobalBuffer: part after part, of tiles projected once."""
    h = Harness(dut)
    await h.begin()
    sizes = dataclasses.replace(h.sizes, lines=320)
    layers, image = network(int(h.rng.integers(1000)), sizes, (4, 4, 3), dict(out_channels=7, padding=1),
                            dict(out_channels=16, padding=1), dict(out_channels=15, kernel=2))
    program = cnn_program(layers, image, sizes, Mode[mode])
    assert max(len(parts) for parts in program.parts) > 1
    await h.program(dataclasses.replace(program, sizes=h.sizes))
    await h.bench.finish()


@cocotb.test()
@cocotb.parametrize(mode=[mode.name for mode in Mode])
async def layers_in_strips(dut, mode):
    """Layers that do not fit in the GlobalBuffer: strips and their halo through the DRAM; cycles too."""
    h = Harness(dut)
    await h.begin()
    await h.timed(strips(h, mode))
    await h.bench.finish()


@cocotb.test()
@cocotb.parametrize(mode=["BOS", "DUET"])
async def late_weights(dut, mode):
    """One part's weights in the GlobalBuffer at a time: the Executor waits for the next ones; cycles too."""
    h = Harness(dut)
    await h.begin()
    sizes = dataclasses.replace(h.sizes, lines=110, map_lines=110)
    layers, image = network(int(h.rng.integers(1000)), sizes, (2, 6, 8), dict(out_channels=3, padding=1),
                            dict(out_channels=12, padding=1), dict(out_channels=3, kernel=1))
    program = cnn_program(layers, image, sizes, Mode[mode])
    assert any(job.layer.late and job.part for job in program.jobs)
    await h.timed(dataclasses.replace(program, sizes=h.sizes))
    await h.bench.finish()


@cocotb.test()
async def stalled_strips(dut):
    """The same while the streams pause."""
    h = Harness(dut)
    await h.begin(0.4)
    await h.program(strips(h, "DUET", store_maps=True))
    await h.bench.finish()


def strips(h, mode, **options):
    """The program of random layers of which one at least is in strips, on a machine of less room."""
    sizes = dataclasses.replace(h.sizes, lines=200, map_lines=90)
    layers, image = network(int(h.rng.integers(1000)), sizes, (3, 7, int(h.rng.integers(12, 17))),
                            dict(out_channels=5, padding=1, pooling=(2, 1)), dict(out_channels=12, padding=1))
    program = cnn_program(layers, image, sizes, Mode[mode], **options)
    assert max(map(max, program.strips)) > 1
    return dataclasses.replace(program, sizes=h.sizes)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
async def load_tables(dut, stall):
    """Load tables of up to 16 entries, at random (a convolution has 9 at most); cycles too where nothing stalls."""
    h = Harness(dut)
    await h.begin(stall)
    for entries in (ENTRIES, ENTRIES, int(h.rng.integers(10, ENTRIES)), int(h.rng.integers(4, 10))):
        program = tile(h.sizes, h.rng, entries=entries, in_channels=2 * h.sizes.cols, height=9, width=7)
        await (h.program if stall else h.timed)(program)
    await h.bench.finish()


@cocotb.test()
async def cycles(dut):
    """Every command of every engine ends in the cycle that the cycle model says."""
    h = Harness(dut)
    await h.begin()
    for make in PROGRAMS.values():
        await h.timed(make(h.sizes, h.rng))
    for neurons in (1, h.sizes.executor.rows + 1, min(2 * h.sizes.line_words, h.config.max_channels) - 1):
        for function in (Function.NONE, Function.TANH):
            await h.timed(gate(h.sizes, h.rng, function=function, neurons=neurons,
                               inputs=int(h.rng.integers(1, 3 * h.sizes.line_words))))
    for mode in Mode:
        height, width = (int(side) for side in h.rng.integers(4, 10, 2))
        layers, image = network(int(h.rng.integers(1000)), h.sizes, (3, height, width),
                                dict(out_channels=int(h.rng.integers(1, 8)), padding=1, pooling=2),
                                dict(out_channels=int(h.rng.integers(1, 8)), padding=1), dict(out_channels=3, kernel=1))
        await h.timed(cnn_program(layers, image, h.sizes, mode))
        layers, image = network(int(h.rng.integers(1000)), h.sizes, (3, height, width),
                                dict(out_channels=int(h.rng.integers(1, 8)), padding=1, stride=2),
                                dict(out_channels=int(h.rng.integers(1, 8)), kernel=1, stride=(1, 2)),
                                dict(out_channels=3, padding=1, stride=(2, 1)))
        await h.timed(cnn_program(layers, image, h.sizes, mode, speculate_first=True))
    for kind in Cell:
        for mode in (Mode.BASE, Mode.DUET):
            cells = [random_cell(h.rng, h.sizes, kind, inputs, width) for inputs, width in ((5, 11), (9, 4))]
            inputs = [h.rng.integers(-32768, 32768, (3, cell.inputs)) for cell in cells]
            await h.timed(rnn_program(cells, inputs, h.sizes, mode))
    await h.bench.finish()


@cocotb.test()
async def random_programs(dut):
    """Networks, cells and gates of any size: results and the cycle of every command."""
    h = Harness(dut)
    await h.begin()
    for _ in range(h.ctx.options.get("programs", 6)):
        await h.timed(random_program(h.rng, h.sizes))
    await h.bench.finish()


@cocotb.test()
async def nothing_to_fetch(dut):
    """A gate none of whose neurons is sensitive."""
    h = Harness(dut)
    await h.begin()
    program = gate(h.sizes, h.rng)
    threshold = next(index for index, command in enumerate(program.commands)
                     if command.engine == Engine.SPEC and command.op == WorkOp.CONFIG and command.b == THRESHOLD)
    commands = list(program.commands)
    commands[threshold] = dataclasses.replace(commands[threshold], a=0xff)  # -1: no magnitude is so small
    _, golden = await h.program(dataclasses.replace(program, commands=tuple(commands)))
    assert golden.moved[CopyOp.FETCH] == 0
    coverage.hit("DMA FETCH none")
    await h.bench.finish()


@cocotb.test()
async def full_counter_of_tokens(dut):
    """255 tokens wait for their taker; the giver of one more is held up until one is taken. Own bits mean nothing."""
    h = Harness(dut)
    await h.begin()
    dram = np.zeros((100, h.sizes.line_words), int)
    give, own = 1 << Engine.EXEC, 1 << Engine.CELL
    tokens = [Command(Engine.CELL, CellOp.CONFIG, wait=own, signal=own | give, b=1, a=1)] * 260
    slow = Command(Engine.DMA, CopyOp.LOAD, signal=give, c=len(dram))
    take = [Command(Engine.EXEC, WorkOp.CONFIG, wait=own | (1 << Engine.DMA) * (k == 0), b=0x8000) for k in range(260)]
    before = [len(ends) for ends in h.ends]
    await h.program(Program(sizes=h.sizes, commands=(*tokens, slow, *take), dram=dram, results={}))
    dma, _, work, cell = (np.array(ends[skip:]) for ends, skip in zip(h.ends, before))
    assert len(cell) == len(work) == 260
    assert cell[254] < dma[0] < cell[255], "the last token that there is room for, the slow command, one more token"
    assert (cell[255:] < work[:5] + 3).all() and (np.diff(cell[:255]) == np.diff(cell[:255])[0]).all()
    coverage.hit("a counter of tokens is full")
    await h.bench.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind."""
    h = Harness(dut)
    await h.begin(0.2)
    makers = list(PROGRAMS.values())
    for _ in range(12):
        await h.part(makers[h.rng.integers(len(makers))](h.sizes, h.rng), int(h.rng.integers(1, 1500)))
        await h.program(makers[h.rng.integers(len(makers))](h.sizes, h.rng))
    await h.bench.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("duet_accelerator", POINTS, [simulate("duet_accelerator", preset="small", seed=1, timeout=1200)]).check()


@pytest.mark.slow
def test_many_random_programs():
    simulate("duet_accelerator", preset="small", seed=5, options={"programs": 80}, testcase="random_programs",
             timeout=3600)


@pytest.mark.slow
def test_fpga_size():
    simulate("duet_accelerator", preset="fpga", seed=4, timeout=3600,
             testcase=["cycles", "small_programs/stall=0.3", "convolutions/mode=DUET/stall=0.4", "reset_in_work"])


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="lines of the DRAM differ"):
        simulate("duet_accelerator", preset="small", options={"corrupt": True}, testcase="nothing_to_fetch")


def test_wrong_cycle_fails():
    with pytest.raises(AssertionError, match="ends in cycle"):
        simulate("duet_accelerator", preset="small", options={"late": True}, testcase="cycles")


@pytest.mark.parametrize("seed", [2, 3])
def test_cycles(seed):
    simulate("duet_accelerator", preset="small", seed=seed, testcase="cycles")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="reset in mid-work"):
        Coverage("duet_accelerator", POINTS).check()


@pytest.mark.parametrize("field, value", [("rows", 3), ("dram_bits", 48), ("dram_bits", 256), ("cell_lanes", 8),
                                          ("address_bits", 3), ("lut_entries", 5)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        DuetAcceleratorConfig.preset("small", {field: value})
