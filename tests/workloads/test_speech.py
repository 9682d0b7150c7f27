"""Recordings: rates, formats, parts."""

import wave

import numpy as np
import pytest

from golden.workloads.speech import read_wave, speech
from tests.workloads.models import speech as recorded


def _write(path, samples, rate=16_000, channels=1, width=2):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples)
    return path


def test_decimation_keeps_a_tone_and_removes_what_would_alias(tmp_path):
    time = np.arange(48_000) / 48_000
    for frequency, expected in ((1000, 0.5), (12_000, 0)):
        tone = (0.5 * 32767 * np.sin(2 * np.pi * frequency * time)).astype("<i2")
        samples = read_wave(_write(tmp_path / "x.wav", tone.tobytes(), 48_000))
        assert samples.shape == (16_000,) and abs(np.abs(samples[1000:-1000]).max() - expected) < 0.01


def test_channels_are_averaged(tmp_path):
    stereo = np.array([[100, 300], [-100, -300]], "<i2")
    assert np.allclose(read_wave(_write(tmp_path / "x.wav", stereo.tobytes(), channels=2)) * 2 ** 15, [200, -200])


@pytest.mark.parametrize("options, reason", [({"rate": 44_100}, "44100 Hz"), ({"width": 1}, "8 bits")])
def test_other_formats_are_refused(tmp_path, options, reason):
    with pytest.raises(ValueError, match=f"speech = .*{reason}"):
        read_wave(_write(tmp_path / "x.wav", bytes(8), **options))


def test_bad_files_and_parts(tmp_path):
    (tmp_path / "x.wav").write_text("no sound")
    for name in ("x.wav", "absent.wav"):
        with pytest.raises(ValueError, match="readable WAV"):
            read_wave(tmp_path / name)
    with pytest.raises(ValueError, match="part = 'test'"):
        speech("test")


def test_recordings():
    assert len(recorded("calibration")) > 40 * 16_000 and len(recorded("evaluation")) > 9 * 16_000
