"""Programs with layers in strips: results are those of the whole layers, in every mode, whatever the order."""

import dataclasses

import numpy as np
import pytest

from golden.duet.cnn_program import cnn_program
from golden.duet.command import CopyOp, Engine, WorkOp
from golden.duet.mode import Mode
from tests.duet.network_programs import SMALL, network, run, without_wait
from tests.duet.test_cnn_program_golden import check_network

POOLED = (dataclasses.replace(SMALL, lines=220, map_lines=110), (3, 9, 18), dict(out_channels=5, padding=1, pooling=2),
          dict(out_channels=6, padding=1), dict(out_channels=3, kernel=1))
RAGGED = (dataclasses.replace(SMALL, lines=150, map_lines=60), (2, 7, 16), dict(out_channels=3, padding=1,
          pooling=(2, 1)), dict(out_channels=9, kernel=2), dict(out_channels=5, kernel=(3, 2), padding=1))
PARTED = (dataclasses.replace(SMALL, lines=138, map_lines=80), (2, 6, 8), dict(out_channels=3, padding=1),
          dict(out_channels=12, padding=1), dict(out_channels=3, kernel=1))
MIXED = (dataclasses.replace(SMALL, lines=200, map_lines=90), (3, 12, 12), dict(out_channels=4, padding=1, pooling=2),
         dict(out_channels=5, padding=1, pooling=2), dict(out_channels=4, padding=1), dict(out_channels=2, kernel=1))
STRIDED = (dataclasses.replace(SMALL, lines=190, map_lines=90), (3, 11, 17), dict(out_channels=5, padding=1, stride=2),
           dict(out_channels=6, kernel=1, stride=(1, 2)), dict(out_channels=5, kernel=2, padding=1))
LATE = (dataclasses.replace(PARTED[0], lines=110, map_lines=110), *PARTED[1:])
CASES = {"pooled": POOLED, "ragged": RAGGED, "parted": PARTED, "mixed": MIXED, "strided": STRIDED, "late": LATE}


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("case", CASES)
def test_cnn(case, mode):
    sizes, shape, *layers = CASES[case]
    layers, image = network(2, sizes, shape, *layers)
    for options in (dict(), dict(speculate_first=True, store_maps=True)):
        program = cnn_program(layers, image, sizes, mode, **options)
        strips = [counts[0] * counts[1] for counts in program.strips]
        assert max(strips) > 1
        if case == "mixed":
            assert min(strips) == 1
        if case == "parted" and mode is not Mode.BASE:
            assert any(len(parts) > 1 and count > 1 for parts, count in zip(program.parts, strips))
        if case == "late" and mode is not Mode.BASE:
            assert any(job.layer.late and job.part for job in program.jobs)
        check_network(program, run(program, queue_depth=1), layers, image)
        machine = run(program, np.random.default_rng(3))
        check_network(program, machine, layers, image)
    with pytest.raises(AssertionError):  # the check can fail
        machine.dram[program.results["output"][0], 0] += 1
        check_network(program, machine, layers, image)


@pytest.mark.parametrize("seed", range(10))
def test_random_networks(seed):
    """Any layers on any machine that has room for the smallest strips."""
    rng, shape, layers = np.random.default_rng(100 + seed), (3, 13, 15), []
    height, width = shape[1:]
    for _ in range(3):
        kernel, pooling = int(rng.integers(1, 4)), tuple(int(side) for side in rng.integers(1, 3, 2))
        padding = int(rng.integers(0, kernel))
        height, width = ((side + 2 * padding - kernel + 1) // pool for side, pool in zip((height, width), pooling))
        layers.append(dict(out_channels=int(rng.integers(1, 12)), kernel=kernel, padding=padding, pooling=pooling))
    sizes = dataclasses.replace(SMALL, lines=int(rng.integers(270, 400)), map_lines=int(rng.integers(90, 200)))
    layers, image = network(seed, sizes, shape, *layers)
    program = cnn_program(layers, image, sizes, list(Mode)[seed % 5], speculate_first=seed % 2 == 1,
                          store_maps=seed % 3 == 0)
    assert max(map(max, program.strips)) > 1
    check_network(program, run(program, np.random.default_rng(seed)), layers, image)


def test_what_fits_stays_whole():
    sizes, shape, *layers = POOLED
    layers, image = network(2, SMALL, shape, *layers)
    program = cnn_program(layers, image, dataclasses.replace(SMALL, lines=2000, map_lines=2000), Mode.DUET)
    assert program.strips == ((1, 1),) * 3 and program.parts == (((0, 5),), ((0, 6),), ((0, 3),))
    stores = [c for c in program.commands if (c.engine, c.op) == (Engine.DMA, CopyOp.STORE)]
    assert len(stores) == 1  # the result of the last layer


def test_weights_are_loaded_once():
    """Part by part, whatever the number of strips; inputs with their halo once for each part."""
    sizes, shape, *layers = PARTED
    program = cnn_program(*network(2, sizes, shape, *layers), sizes, Mode.DUET)
    loads = [c for c in program.commands if (c.engine, c.op) == (Engine.DMA, CopyOp.LOAD) and not c.flags]
    loaded = np.bincount(np.concatenate([np.arange(c.a, c.a + c.c) for c in loads]))
    assert loaded.max() == 1
    inputs = sum(c.c for c in program.commands if (c.engine, c.op, c.flags) == (Engine.DMA, CopyOp.LOAD, 1))
    jobs = [job for job in program.jobs if job.strip.whole is not job.mapping]
    expected = sum(job.mapping.in_map.lines for job in jobs if job.layer.grid.count > 2 or job.place < 2)
    assert len(program.jobs) == len(jobs) and inputs >= expected > sum(
        mapping.in_map.lines for mapping in program.mappings)


def test_speculation_is_one_job_ahead():
    """In the stream the Speculator's first tile of a strip comes before the Executor's last of the strip before."""
    sizes = dataclasses.replace(SMALL, lines=1200, map_lines=300)
    program = cnn_program(*network(2, sizes, (8, 8, 24), dict(out_channels=8, padding=1),
                                   dict(out_channels=24, padding=1)), sizes, Mode.DUET)
    spec, execution = (iter([place for place, command in enumerate(program.commands)
                             if (command.engine, command.op) == (engine, WorkOp.TILE)])
                       for engine in (Engine.SPEC, Engine.EXEC))
    ahead, before = [], -1
    for job in program.jobs:
        if job.layer.speculation:
            first = [next(spec) for _ in range(job.strip.tiles)][0]
            if job.place:  # the first strip of a layer can need the last one of the layer before
                ahead.append(first < before)
        before = [next(execution) for _ in range(job.strip.tiles)][-1]
    assert all(ahead) and len(ahead) > 1


@pytest.mark.parametrize("nth, engine, op", [
    (1, Engine.SPEC, WorkOp.TILE), (-1, Engine.SPEC, WorkOp.TILE), (-1, Engine.SPEC, WorkOp.FILL),
    (0, Engine.EXEC, WorkOp.TILE), (-1, Engine.EXEC, WorkOp.TILE), (0, Engine.DMA, CopyOp.LOAD),
    (-1, Engine.DMA, CopyOp.LOAD), (-1, Engine.DMA, CopyOp.STORE)])
def test_broken_strips_race(nth, engine, op):
    """A command that does not wait."""
    sizes, shape, *layers = POOLED
    program = cnn_program(*network(2, sizes, shape, *layers), sizes, Mode.DUET)
    with pytest.raises(ValueError, match="race at line"):
        run(without_wait(program, nth, engine, op))


def test_late_weights_race_without_tokens():
    """They come when the job before is done, which reads what was there, and the job that reads them waits."""
    sizes, shape, *layers = LATE
    program = cnn_program(*network(2, sizes, shape, *layers), sizes, Mode.DUET)
    tiles = [place for place, c in enumerate(program.commands) if (c.engine, c.op) == (Engine.EXEC, WorkOp.TILE)]
    first, late = 0, []
    for job in program.jobs:
        if job.layer.late and job.strip_number == 0 and job.part:
            late.append((job, tiles[first]))
        first += job.strip.tiles
    assert late
    for job, tile in late:
        lines = job.n * job.layer.row_lines
        loads = [place for place, c in enumerate(program.commands[:tile]) if (c.engine, c.op, c.flags, c.c) == (
            Engine.DMA, CopyOp.LOAD, 0, lines) and c.wait >> Engine.EXEC & 1]
        for place, giver in ((loads[-1], Engine.EXEC), (tile, Engine.DMA)):
            commands = list(program.commands)
            assert commands[place].wait >> giver & 1
            commands[place] = dataclasses.replace(commands[place], wait=commands[place].wait & ~(1 << giver))
            with pytest.raises(ValueError, match="race at line"):
                run(dataclasses.replace(program, commands=tuple(commands)))


def test_too_small():
    sizes, shape, *layers = POOLED
    layers, image = network(2, sizes, shape, *layers)
    with pytest.raises(ValueError, match=r"map memory has 30 lines, too few: at time \d+ it needs .*in\[\d\]\.0 "):
        cnn_program(layers, image, dataclasses.replace(sizes, map_lines=30), Mode.DUET)
    with pytest.raises(ValueError, match=r"has 80 lines, too few: at time \d+ it needs .*weights\[1\.0\] 54"):
        cnn_program(layers, image, dataclasses.replace(sizes, lines=80), Mode.DUET)
