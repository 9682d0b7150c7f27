"""The text reader: it reads, and its layers can be replaced."""

import numpy as np
import pytest

from golden.workloads.easyocr import CHARACTERS, Crnn, character_accuracy, edit_distance
from golden.workloads.layers import dense_convolution, dense_gate
from golden.workloads.lines import render, rendered_lines
from tests.workloads.models import crnn, page_lines


def test_edit_distance():
    assert edit_distance("kitten", "sitting") == 3 and edit_distance("", "ab") == 2 and edit_distance("ab", "ab") == 0
    assert character_accuracy(["abc", "x"], ["abd", "x"]) == 0.75
    with pytest.raises(ValueError):
        character_accuracy(["a"], [])


def test_decoding_leaves_out_blanks_and_repetitions():
    best = [0, CHARACTERS.index("a") + 1, CHARACTERS.index("a") + 1, 0, CHARACTERS.index("a") + 1, 1]
    assert Crnn.decode(np.eye(97)[best]) == "aa0"


def test_rendered_lines_are_read():
    model, lines = crnn(), rendered_lines("evaluation", 6)
    assert character_accuracy([model.read(image) for image, _ in lines], [text for _, text in lines]) > 0.97


def test_scanned_page_is_read():
    model, lines = crnn(), page_lines()[::5]
    assert character_accuracy([model.read(image) for image, _ in lines], [text for _, text in lines]) > 0.97


def test_convolutions_and_gates_can_be_replaced():
    model, image, seen = crnn(), render("Sparse"), []

    def convolution(layer, x):
        y = dense_convolution(layer, x)
        seen.append((layer.name, x.shape[0], y.shape[0], round(float((y == 0).mean()), 1)))
        return y

    def gate(cell, name, x, h):
        if cell.name not in seen:
            seen.append(cell.name)
        return dense_gate(cell, name, x, h)

    assert model.read(image, convolution, gate) == "Sparse"
    assert [entry[:3] for entry in seen[:7]] == [
        ("conv0", 1, 32), ("conv3", 32, 64), ("conv6", 64, 128), ("conv8", 128, 128), ("conv11", 128, 256),
        ("conv14", 256, 256), ("conv18", 256, 256)]
    assert all(0.4 <= entry[3] <= 0.95 for entry in seen[:7])  # zeros after ReLU, measured: .52 to .86
    assert seen[7:] == ["lstm0", "lstm0_reverse", "lstm1", "lstm1_reverse"]
    assert model.read(image, lambda layer, x: 0 * dense_convolution(layer, x)) != "Sparse"


def test_images_of_another_height_are_refused():
    with pytest.raises(ValueError, match="64"):
        Crnn.features(None, np.zeros((32, 100)))
