"""The Quantizer's golden model: worked examples, error over all inputs, refusals."""

import numpy as np
import pytest

from golden.duet import quantizer as golden


def test_examples():
    x = [[-32768, -4097, -4096, -1], [0, 4095, 4096, 32767]]
    np.testing.assert_array_equal(golden.quantize(np.array(x)), [[-8, -2, -1, -1], [0, 0, 1, 7]])
    np.testing.assert_array_equal(golden.quantize([-8, 7], in_bits=4, out_bits=4), [-8, 7])
    np.testing.assert_array_equal(golden.quantize([-8, -1, 7], in_bits=4, out_bits=1), [-1, -1, 0])


def test_error_over_all_inputs():
    x = np.arange(-32768, 32768)
    code = golden.quantize(x)
    error = code - x / 4096
    assert error.max() == 0 and error.min() == -4095 / 4096
    assert code.min() == -8 and code.max() == 7
    assert (np.diff(code) >= 0).all()


@pytest.mark.parametrize("x, bits, error, message", [
    ([32768], {}, ValueError, "x holds 32768, outside -32768 to 32767"), ([0.5], {}, TypeError, "integer type"),
    ([8], {"in_bits": 4}, ValueError, "outside -8 to 7"), ([0], {"out_bits": 0}, ValueError, "from 1 to in_bits = 16"),
    ([0], {"out_bits": 17}, ValueError, "out_bits = 17 is not allowed"),
])
def test_refuses(x, bits, error, message):
    with pytest.raises(error, match=message):
        golden.quantize(np.array(x), **bits)
