"""Layouts of feature maps and vectors: worked examples, there and back, refusals."""

import numpy as np
import pytest

from golden.duet import layout
from golden.duet.layout import FeatureMap


def test_example_of_a_feature_map():
    """Three channels of 3 x 5 in blocks of 2 x 2, two columns: 2 x 3 blocks of two lines."""
    image = np.arange(1, 46).reshape(3, 3, 5)
    place = FeatureMap(channels=3, height=3, width=5, cols=2, block=(2, 2))
    lines = place.pack(image)
    assert (place.blocks, place.groups, place.lines) == ((2, 3), 2, 12)
    assert lines[place.line(0, 0, 0)].tolist() == [1, 2, 6, 7, 16, 17, 21, 22]
    assert lines[place.line(0, 2, 0)].tolist() == [5, 0, 10, 0, 20, 0, 25, 0]
    assert lines[place.line(1, 1, 1)].tolist() == [43, 44, 0, 0, 0, 0, 0, 0]
    np.testing.assert_array_equal(place.unpack(lines), image)
    np.testing.assert_array_equal(place.valid, lines != 0)
    np.testing.assert_array_equal(place.unpack(lines > 7), image > 7)


def test_every_word_is_where_the_page_says():
    rng = np.random.default_rng(12)
    for _ in range(20):
        block = tuple(1 << rng.integers(0, 4, 2))
        channels, height, width, cols = rng.integers(1, 12, 4).tolist()
        place = FeatureMap(channels=channels, height=height, width=width, cols=cols, block=block)
        image = rng.integers(-32768, 32768, (channels, height, width))
        lines = place.pack(image)
        (th, tw), blocks_x, words = block, -(-width // block[1]), 0
        for (n, y, x), value in np.ndenumerate(image):
            line = (y // th * blocks_x + x // tw) * place.groups + n // cols
            assert lines[line, th * tw * (n % cols) + y % th * tw + x % tw] == value
            words += value != 0
        assert np.count_nonzero(lines) == words
        np.testing.assert_array_equal(place.unpack(lines), image)


@pytest.mark.parametrize("segment, block", [(1, (1, 1)), (2, (1, 2)), (4, (2, 2)), (8, (2, 4)), (16, (4, 4))])
def test_default_block(segment, block):
    assert layout.block_shape(segment) == block


def test_vectors():
    assert layout.pack_vector(np.arange(1, 6), 4).tolist() == [[1, 2, 3, 4], [5, 0, 0, 0]]
    many = np.arange(20).reshape(2, 10)
    lines = layout.pack_vector(many, 8)
    assert lines.shape == (2, 2, 8) and layout.vector_lines(10, 8) == 2
    np.testing.assert_array_equal(layout.unpack_vector(lines, 10), many)


@pytest.mark.parametrize("call, message", [
    (lambda place: place.pack(np.zeros((3, 3, 4), int)), "image has shape"),
    (lambda place: place.pack(np.full((3, 3, 5), 32768)), "image holds 32768"),
    (lambda place: place.unpack(np.zeros((11, 8))), "lines has shape"),
    (lambda place: layout.pack_vector(np.array([-32769]), 8), "vector holds -32769"),
])
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call(FeatureMap(channels=3, height=3, width=5, cols=2, block=(2, 2)))
