"""What programs of the accelerator are made of: queues, the image of the DRAM, whole tiles."""

import numpy as np
import pytest

from golden.duet.command import Command, CopyOp, Engine, WorkOp
from golden.duet.layer import ConvLayer
from golden.duet.mapping import map_conv
from golden.duet.program import DramImage, Queues
from tests.duet.network_programs import SMALL


def test_queues():
    """The stream keeps each engine's order, and a command after those whose tokens it takes."""
    queues = Queues()
    late = Command(Engine.EXEC, WorkOp.CONFIG, wait=1 << Engine.DMA, b=1)
    queues.add(late)
    queues.add([Command(Engine.DMA, CopyOp.LOAD, c=1),
                Command(Engine.DMA, CopyOp.LOAD, c=2, signal=1 << Engine.EXEC)], 9)
    queues.add(Command(Engine.SPEC, WorkOp.CONFIG, b=1), 5)
    assert [(c.engine, c.c) for c in queues.merge()] == [(0, 1), (1, 0), (0, 2), (2, 0)]
    queues.add(late)
    with pytest.raises(ValueError, match="tokens of these commands never come: EXEC CONFIG"):
        queues.merge()
    queues = Queues()
    queues.add([Command(Engine.DMA, CopyOp.LOAD, c=1, signal=1 << Engine.EXEC)] * 256)
    with pytest.raises(ValueError, match="more than 255 tokens from DMA to EXEC"):
        queues.merge()


def test_queues_with_room():
    """A command comes as soon as its engine's queue has room; it does not wait behind another engine's many."""
    queues = Queues(depth=4)
    queues.add([Command(Engine.EXEC, WorkOp.CONFIG, b=k) for k in range(20)], 3)
    queues.add([Command(Engine.DMA, CopyOp.LOAD, c=k) for k in range(1, 7)], 50)
    stream = queues.merge()
    for engine, field in ((Engine.EXEC, "b"), (Engine.DMA, "c")):
        assert [getattr(c, field) for c in stream if c.engine == engine] == sorted(
            getattr(c, field) for c in stream if c.engine == engine)
    places = [k for k, c in enumerate(stream) if c.engine == Engine.DMA]
    assert places[2] < 9  # the first begins at once, two have room
    assert places[4] > 18 and len(stream) == 26  # the fifth has none before the second begins, in cycle 50
    late = Queues()
    late.add([Command(Engine.EXEC, WorkOp.CONFIG, b=k) for k in range(20)], 3)
    late.add([Command(Engine.DMA, CopyOp.LOAD, c=k) for k in range(1, 7)], 50)
    assert [k for k, c in enumerate(late.merge()) if c.engine == Engine.DMA][1] > 15
    queues.add(Command(Engine.EXEC, WorkOp.CONFIG, wait=1 << Engine.DMA))
    with pytest.raises(ValueError, match="tokens of these commands never come: EXEC CONFIG"):
        queues.merge()


def test_dram_image():
    image = DramImage(2)
    assert (image.place(np.ones((3, 2), int)), image.reserve(2), image.lines) == (0, 3, 5)
    assert image.image().tolist() == [[1, 1]] * 3 + [[0, 0]] * 2
    with pytest.raises(ValueError, match="lines has shape"):
        image.place(np.ones((3, 3), int))


def test_mapping_needs_whole_tiles():
    """What the machine's registers cannot say: tiles of fewer outputs than a segment has words."""
    layer = ConvLayer(in_channels=1, out_channels=1, height=8, width=8, stride=2)
    assert map_conv(layer, SMALL.executor).tile == (1, 1)
