"""Speech for the voice detector: two recordings of read English, one to calibrate on, the other to evaluate on."""

import pathlib
import wave

import numpy as np

from golden.workloads.fetch import fetch
from golden.workloads.silero import RATE

__all__ = ["read_wave", "speech"]

#: The recording of each part: of different readers and texts.
_FILES = {"calibration": "two_cities.wav", "evaluation": "beckett.wav"}
_TAPS = 32  # of the low-pass filter, to each side, for each step of the decimation


def speech(part, progress=print):
    """Samples (n,) at 16 kHz, -1 to 1, of one part: "calibration" (44 s) or "evaluation" (10 s).

    Raises ``fetch.FetchError`` when the recordings cannot be had.
    """
    if part not in _FILES:
        raise ValueError(f"part = {part!r} is not allowed: it must be one of {', '.join(_FILES)}")
    return read_wave(fetch("moonshine-voice", progress) / _FILES[part])


def read_wave(path):
    """Samples (n,) at 16 kHz, -1 to 1, of a WAV file of 16 bits at a whole multiple of 16 kHz; channels are averaged.

    Raises ``ValueError`` for another file.
    """
    try:
        with wave.open(str(pathlib.Path(path)), "rb") as file:
            channels, width, rate, frames, *_ = file.getparams()
            data = file.readframes(frames)
    except (OSError, EOFError, wave.Error) as error:
        raise ValueError(f"speech = {str(path)!r} is not allowed: it must be a readable WAV file ({error})") from None
    if width != 2 or rate % RATE:
        raise ValueError(f"speech = {str(path)!r} is not allowed: it has {8 * width} bits at {rate} Hz, it must have "
                         f"16 bits at a multiple of {RATE} Hz")
    samples = np.frombuffer(data, "<i2").reshape(-1, channels).mean(1) / 2 ** 15
    return _decimate(samples, rate // RATE)


def _decimate(samples, factor):
    """Every ``factor``-th sample after a low-pass filter (windowed sinc) at half the new rate."""
    if factor == 1:
        return samples.astype(np.float32)
    taps = np.arange(-_TAPS * factor, _TAPS * factor + 1)
    kernel = np.sinc(taps / factor) * np.hanning(len(taps) + 2)[1:-1]
    return np.convolve(samples, kernel / kernel.sum(), "same")[::factor].astype(np.float32)
