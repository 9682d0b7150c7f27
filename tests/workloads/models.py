"""The trained model for tests that need it: they are skipped, with the reason, where it cannot be had."""

import functools

import pytest

from golden.workloads.fetch import FetchError
from golden.workloads.minilm import MiniLm


@functools.cache
def _load():
    try:
        return MiniLm.load(progress=lambda message: None), None
    except FetchError as error:
        return None, str(error)


def minilm():
    """The MiniLM encoder, or skip the calling test."""
    model, reason = _load()
    if model is None:
        pytest.skip(f"MiniLM is not available: {reason}")
    return model
