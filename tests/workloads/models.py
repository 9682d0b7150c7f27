"""Trained models and data for tests that need them: they are skipped, with the reason, where they cannot be had."""

import functools

import pytest

from golden.workloads.digits import digits as load_digits
from golden.workloads.easyocr import Crnn
from golden.workloads.fetch import FetchError
from golden.workloads.g2p import G2p
from golden.workloads.lines import page_lines as load_page_lines
from golden.workloads.minilm import MiniLm
from golden.workloads.rapidocr import Recogniser
from golden.workloads.silero import SileroVad
from golden.workloads.smollm2 import SmolLm2
from golden.workloads.speech import speech as load_speech


@functools.cache
def _load(load, *arguments):
    try:
        return load(*arguments, progress=lambda message: None), None
    except FetchError as error:
        return None, str(error)


def _or_skip(name, load, *arguments):
    loaded, reason = _load(load, *arguments)
    if loaded is None:
        pytest.skip(f"{name} is not available: {reason}")
    return loaded


def minilm():
    """The MiniLM encoder, or skip the calling test."""
    return _or_skip("MiniLM", MiniLm.load)


def crnn():
    """EasyOCR's reader, or skip the calling test."""
    return _or_skip("EasyOCR", Crnn.load)


def silero():
    """The voice detector, or skip the calling test."""
    return _or_skip("Silero", SileroVad.load)


def g2p():
    """The converter of letters to phonemes, or skip the calling test."""
    return _or_skip("g2p-en", G2p.load)


def smollm2():
    """The language model, or skip the calling test."""
    return _or_skip("SmolLM2", SmolLm2.load)


def recogniser():
    """RapidOCR's reader of lines, or skip the calling test."""
    return _or_skip("RapidOCR", Recogniser.load)


def speech(part):
    """A recording, or skip the calling test."""
    return _or_skip("speech", load_speech, part)


def page_lines():
    """The lines of the scanned page, or skip the calling test."""
    return _or_skip("the scanned page", load_page_lines)


def digits():
    """The digits to train and to evaluate on, or skip the calling test."""
    return _or_skip("digits", load_digits)
