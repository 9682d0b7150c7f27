"""Layout of ENMC's data in DRAM: every nibble and byte where the page says, there and back, refusals."""

import struct

import numpy as np
import pytest

from golden.enmc import layout
from golden.enmc.layout import Layout


def nibble(data, burst, number):
    """Nibble ``number`` of a burst, signed: through one integer of 512 bits."""
    word = int.from_bytes(bytes(data[64 * burst:64 * burst + 64]), "little")
    value = word >> 4 * number & 15
    return value - 16 if value > 7 else value


def random_screening(rng, classes, k):
    return (rng.integers(-8, 8, (classes, k)), rng.integers(0, 1 << 16, classes),
            rng.integers(-(1 << 31), 1 << 31, classes))


@pytest.mark.parametrize("classes, k", [(1, 1), (8, 16), (9, 17), (64, 144), (130, 33), (65, 512)])
def test_screening_weights_and_parameters(classes, k):
    weight, scale, bias = random_screening(np.random.default_rng(classes + k), classes, k)
    data = layout.pack_screening(weight, scale, bias)
    bursts, padded = -(-k // 16) + 1, -(-classes // 64) * 64
    assert data.dtype == np.uint8 and data.size == padded // 8 * bursts * 64
    assert data.size == Layout(classes=classes, hidden=4, k=k, items=1).screening_bytes
    for c in range(padded):
        group, i = divmod(c, 8)
        for feature in range(16 * (bursts - 1)):
            expected = weight[c, feature] if c < classes and feature < k else 0
            assert nibble(data, group * bursts + feature // 16, i * 16 + feature % 16) == expected
        place = (group * bursts + bursts - 1) * 64 + 8 * i
        expected = (bias[c], scale[c], 0) if c < classes else (-(1 << 31), 0, 0)
        assert struct.unpack("<iHH", bytes(data[place:place + 8])) == expected
    for packed, unpacked in zip((weight, scale, bias), layout.unpack_screening(data, classes, k)):
        np.testing.assert_array_equal(packed, unpacked)


@pytest.mark.parametrize("classes, hidden", [(1, 1), (3, 15), (5, 16), (7, 576)])
def test_rows(classes, hidden):
    rng = np.random.default_rng(hidden)
    weight = rng.standard_normal((classes, hidden)).astype(np.float32)
    bias = rng.standard_normal(classes).astype(np.float32)
    data = layout.pack_rows(weight, bias)
    bursts = -(-(hidden + 1) // 16)
    assert data.size == classes * bursts * 64
    for c in range(classes):
        row = struct.unpack(f"<{16 * bursts}f", bytes(data[c * bursts * 64:(c + 1) * bursts * 64]))
        assert row[:hidden] == tuple(weight[c]) and row[hidden] == bias[c] and not any(row[hidden + 1:])
    for packed, unpacked in zip((weight, bias), layout.unpack_rows(data, classes, hidden)):
        np.testing.assert_array_equal(packed, unpacked)
    features = layout.pack_features(weight)
    np.testing.assert_array_equal(layout.unpack_features(features, classes, hidden), weight)
    assert (layout.unpack_rows(features, classes, hidden)[1] == 1).all()


@pytest.mark.parametrize("items, k", [(1, 1), (1, 512), (2, 24), (3, 144), (4, 128)])
def test_items(items, k):
    values = np.random.default_rng(k).integers(-8, 8, (items, k))
    data, chunks = layout.pack_items(values), -(-k // 16)
    assert data.size == -(-items * chunks * 8 // 64) * 64
    for number in range(data.size * 2):
        b, feature = divmod(number, 16 * chunks)
        expected = values[b, feature] if b < items and feature < k else 0
        assert nibble(data, number // 128, number % 128) == expected
    np.testing.assert_array_equal(layout.unpack_items(data, items, k), values)


def test_image_holds_every_part_and_nothing_else():
    rng = np.random.default_rng(4)
    place = Layout(classes=300, hidden=40, k=24, items=3, base=1 << 20)
    weight, bias = rng.standard_normal((300, 40)).astype(np.float32), rng.standard_normal(300).astype(np.float32)
    screening, items = random_screening(rng, 300, 24), rng.integers(-8, 8, (3, 24))
    features = rng.standard_normal((3, 40)).astype(np.float32)
    image = place.image(weight, bias, screening, items, features)
    bases = [place.screening_base, place.row_base, place.item_base, place.feature_base, place.result_base,
             place.log_base, place.end]
    assert bases[0] == 1 << 20 and bases == sorted(set(bases)) and not any(base % (1 << 15) for base in bases)
    assert image.size == place.result_base - place.base

    def part(start, size):
        taken = image[start - place.base:start - place.base + size].copy()
        image[start - place.base:start - place.base + size] = 0
        return taken

    np.testing.assert_array_equal(part(place.screening_base, place.screening_bytes),
                                  layout.pack_screening(*screening))
    np.testing.assert_array_equal(part(place.row_base, 300 * 3 * 64), layout.pack_rows(weight, bias))
    np.testing.assert_array_equal(layout.unpack_items(part(place.item_base, 64), 3, 24), items)
    np.testing.assert_array_equal(layout.unpack_features(part(place.feature_base, 3 * 192), 3, 40), features)
    assert not image.any()
    with pytest.raises(ValueError, match="part of 19200 bytes does not fit"):
        place.image(weight[:100], bias[:100], screening, items, features)


def test_sizes_of_the_real_layer():
    place = Layout(classes=49_152, hidden=576, k=144, items=1)
    assert (place.padded_classes, place.group_bursts, place.row_bursts) == (49_152, 10, 37)
    assert place.screening_bytes == 6144 * 640 and place.result_stride == 4 * 49_152
    assert place.end < 1 << 30  # a rank


@pytest.mark.parametrize("change, reason", [
    ({"classes": 0}, "classes = 0"), ({"hidden": 65_520}, "hidden = 65520"), ({"k": 513}, "k = 513"),
    ({"items": 5}, "items = 5"), ({"items": 4, "k": 144}, "items = 4 is not allowed with k = 144"),
    ({"base": 64}, "base = 64"), ({"base": -32768}, "base = -32768")])
def test_layouts_that_do_not_exist(change, reason):
    with pytest.raises(ValueError, match=reason):
        Layout(**{"classes": 10, "hidden": 10, "k": 16, "items": 1, **change})


def test_bad_input_is_refused():
    good = random_screening(np.random.default_rng(0), 3, 5)
    for number, bad, reason in ((0, good[0] + 8, "weight"), (1, good[1] + (1 << 16), "scale"),
                                (1, good[1][:2], "shape"), (2, good[2] * 0 + (1 << 31), "bias"),
                                (0, good[0][:0], "shape")):
        with pytest.raises(ValueError, match=reason):
            layout.pack_screening(*(bad if number == place else value for place, value in enumerate(good)))
    with pytest.raises(ValueError, match="items"):
        layout.pack_items(np.array([[8]]))
    with pytest.raises(TypeError, match="weight must be float32"):
        layout.pack_rows(np.zeros((2, 2)), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="bias has shape"):
        layout.pack_rows(np.zeros((2, 2), np.float32), np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="data is uint8 of shape"):
        layout.unpack_screening(np.zeros(63, np.uint8), 1, 1)
    with pytest.raises(ValueError, match="data is int64"):
        layout.unpack_rows(np.zeros(64, np.int64), 1, 1)
