"""The voice detector: speech, silence, noise; its gates can be replaced."""

import numpy as np

from golden.workloads.layers import dense_gate
from golden.workloads.silero import CHUNK, RATE
from tests.workloads.models import silero, speech


def test_speech_is_told_from_silence_and_noise():
    model, samples = silero(), speech("evaluation")[:3 * RATE]
    found = model.probabilities(model.features(samples))
    assert found.max() > 0.99 and 0.4 < (found > 0.5).mean() < 0.9
    noise = np.random.default_rng(0).normal(0, 0.05, RATE)
    for quiet in (np.zeros(RATE), noise):
        assert model.probabilities(model.features(quiet)).max() < 0.2


def test_a_last_chunk_is_filled_up_and_earlier_ones_do_not_change():
    model, samples = silero(), speech("evaluation")[RATE:2 * RATE]
    whole = model.features(samples)
    assert whole.shape == (-(-RATE // CHUNK), 128)
    assert np.allclose(model.features(samples[:CHUNK * 5]), whole[:5], atol=1e-5)


def test_gates_saturate_as_measured_and_can_be_replaced():
    model, gates = silero(), {}

    def gate(cell, name, x, h):
        gates.setdefault(name, []).append(dense_gate(cell, name, x, h))
        return gates[name][-1]

    features = model.features(speech("evaluation"))
    assert np.array_equal(model.probabilities(features, gate), model.probabilities(features))
    values = {name: np.array(value) for name, value in gates.items()}
    assert 0.35 < (values["i"] < 0.05).mean() < 0.45 and 0.3 < (values["f"] > 0.95).mean() < 0.4
    silent = model.probabilities(features, lambda cell, name, x, h: np.zeros(cell.width))
    assert np.ptp(silent) < 1e-6
