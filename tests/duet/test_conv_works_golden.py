"""Works from maps equal those that the golden machine's run leaves; the cycles of layers are told apart."""

import dataclasses

import numpy as np
import pytest

from golden.duet.cnn_program import cnn_program
from golden.duet.conv_works import conv_works
from golden.duet.cycles import CycleModel
from golden.duet.mode import Mode
from golden.duet.timeline import Timeline
from resilin.duet.layer_cycles import layer_cycles
from resilin.duet.program_run import golden_runs
from resilin.duet_machine import machine_timing, sizes_of
from tests.duet.network_programs import network
from tests.duet.test_cnn_job import SMALL, stack
from tests.duet.test_cnn_program_golden import STRIDED, plain_network


def content(work):
    """What is in a work, as numbers in lists."""
    if dataclasses.is_dataclass(work):
        return [(field.name, content(getattr(work, field.name))) for field in dataclasses.fields(work)]
    return [content(each) for each in work] if isinstance(work, (list, tuple, np.ndarray)) else work


STRIPS = dataclasses.replace(sizes_of(SMALL), lines=260, map_lines=100)
"""A machine that has room for strips and parts only."""


@pytest.mark.parametrize("sizes", [sizes_of(SMALL), STRIPS], ids=["whole", "strips"])
@pytest.mark.parametrize("mode", Mode)
def test_equal_to_the_golden_machine(mode, sizes):
    given = stack(crop=(7, 8))  # ragged tiles, ragged channels, pooling
    program = given.program(sizes, mode)
    assert (max(map(max, program.strips)) > 1) == (sizes is STRIPS)
    recorded, found = golden_runs({"": program}, SMALL)[""].works, given.works(program)
    assert recorded.keys() == found.keys()
    assert all(content(work) == content(found[number]) for number, work in recorded.items())
    assert any(step.active < step.rows for work in found.values() if hasattr(work, "steps") for step in work.steps) == (
        mode.speculates)


@pytest.mark.parametrize("mode", Mode)
def test_strides(mode):
    """Tiles of fewer outputs than a segment has words, windows that leave pixels out."""
    sizes, shape, *layers = STRIDED
    layers, image = network(7, sizes, shape, *layers, plain=(3,))
    program = cnn_program(layers, image, sizes, mode)
    maps, results = zip(*plain_network(layers, image, sizes, program.speculated))
    recorded = golden_runs({"": program}, SMALL)[""].works
    found = conv_works(program, [image, *results], maps)
    assert recorded.keys() == found.keys()
    assert all(content(work) == content(found[number]) for number, work in recorded.items())


def test_wrong_maps_differ():
    given = stack(crop=(7, 8))
    program = given.program(sizes_of(SMALL), Mode.DUET)
    found, layers = given.works(program), given.layers
    layers[1] = layers[1].at_budget(0.5)
    assert any(content(work) != content(found[number]) for number, work in given.works(program).items())


@pytest.mark.parametrize("sizes", [sizes_of(SMALL), STRIPS], ids=["whole", "strips"])
@pytest.mark.parametrize("mode", [Mode.BASE, Mode.DUET])
def test_cycles_add_up(mode, sizes):
    given = stack()
    program = given.program(sizes, mode)
    run = golden_runs({"": program}, SMALL)[""]
    ends, total = run.model_ends, 0
    for layer, places in zip(layer_cycles(run), _last_tiles(program)):
        assert all(part >= 0 for part in dataclasses.astuple(layer))
        assert layer.work_cycles == layer.cycles - layer.dram
        total += layer.cycles
        assert total == ends[2][places]
        assert (layer.speculation > 0) == (mode.speculates and places != _last_tiles(program)[0])
    model = CycleModel(machine_timing(SMALL), program.commands, run.works)
    assert model.ends == ends


def _last_tiles(program):
    """Place of the last tile of each layer among EXEC's commands."""
    tiles = [place for place, command in enumerate(c for c in program.commands if c.engine == 2) if command.op]
    counts = np.cumsum([len(parts) * np.prod(mapping.tile_grid) for mapping, parts
                        in zip(program.mappings, program.parts)])  # in how many strips they ever are
    return [tiles[count - 1] for count in counts]


def test_timeline():
    timeline = Timeline(4)
    timeline.issue(3, np.array([[2, 0], [5, 1]]))
    timeline.issue(np.array([10, 5000]), np.array([1, 2]))
    timeline.drain(7, 11)
    timeline.waits[2] += [(0, 1, 4), (1, 2, 3)]
    assert np.flatnonzero(timeline.issuing(6000)).tolist() == [3, 4, 5, 6, 7, 10, 5000, 5001]
    assert np.flatnonzero(timeline.draining(20)).tolist() == [8, 9, 11]
    assert np.flatnonzero(timeline.waiting(2, 0, 20)).tolist() == [1, 2, 3]
    assert not timeline.waiting(0, 0, 20).any() and len(timeline.issuing(5)) == 5
