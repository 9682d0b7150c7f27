"""The CellUnit's golden model: worked examples, error against float, refusals."""

import numpy as np
import pytest

from golden.duet.cell_unit import gru, lstm

HALF = 1 << 14  # .5 in Q0.15


def test_worked_examples():
    # c = 1.0 (256), f = .5, i = .5, g = .5: c' = .75 = 192; h' = .5 tanh(.75) = .3176
    h, c = lstm(*(np.array([value]) for value in (HALF, HALF, HALF, HALF, 256)))
    assert c.tolist() == [192] and abs(h[0] / 32768 - 0.31757) < 3e-5
    # n = tanh(.5 + .5 * 1) = .7616, h = -.5, z = .5: h' = (.7616 - .5) / 2 = .1308
    h = gru(*(np.array([value]) for value in (HALF, HALF, 1024, 2048, -HALF)))
    assert abs(h[0] / 32768 - 0.130797) < 3e-5


def test_saturation():
    greatest, least = np.array([32767]), np.array([-32768])
    assert lstm(greatest, greatest, greatest, greatest, greatest)[1].tolist() == [32767]
    assert lstm(greatest, greatest, least, greatest, least)[1].tolist() == [-32768]
    assert gru(greatest, 0 * greatest, greatest, greatest, least).tolist() == [32767]
    assert gru(greatest, greatest, least, least, least).tolist() == [-32768]


def operands(rng, steps, gates, others):
    """Random operands of one step or of many (steps, 1000)."""
    return ([rng.integers(0, 1 << 15, (steps, 1000)) for _ in range(gates)],
            [rng.integers(-spread, spread + 1, (steps, 1000)) for spread in others])


@pytest.mark.parametrize("c_fraction, error", [(8, 66), (11, 10)])
def test_lstm_against_float(c_fraction, error):
    """One step from equal states; ``error`` of h in units of 2^-15, mostly that of rounding c."""
    rng = np.random.default_rng(1)
    (i, f, o), (g, c) = operands(rng, 100, 3, (32767, 4 << c_fraction))
    h, new_c = lstm(i, f, g, o, c, c_fraction=c_fraction)
    exact_c = f / 2**15 * c / 2**c_fraction + i / 2**15 * g / 2**15
    exact_h = o / 2**15 * np.tanh(exact_c)
    c_error = np.abs(new_c - exact_c * 2**c_fraction).max()
    h_error = np.abs(h - exact_h * 2**15).max()
    from_c = np.abs(h - o * np.tanh(new_c / 2**c_fraction)).max()
    print(f"LSTM, c_fraction {c_fraction}: greatest error of c {c_error:.3f} units, of h {h_error:.1f} / 2^15, "
          f"given the new c {from_c:.2f} / 2^15")
    assert c_error <= 0.5 and h_error <= error and from_c < 1.5


def test_gru_against_float():
    """One step from equal states, in units of 2^-15."""
    (r, z), (nx, nh, h) = operands(np.random.default_rng(2), 100, 2, (8192, 8192, 32767))
    exact_n = np.tanh(nx / 2**11 + r / 2**15 * nh / 2**11)
    exact = exact_n + z / 2**15 * (h / 2**15 - exact_n)
    error = np.abs(gru(r, z, nx, nh, h) - exact * 2**15).max()
    print(f"GRU: greatest error of h {error:.2f} / 2^15")
    assert error < 9.5


def test_many_steps_against_float():
    """Errors over 100 steps: gates that let c through forget old errors as they forget old values."""
    rng = np.random.default_rng(3)
    (i, f, o), (g,) = operands(rng, 100, 3, (32767,))
    for c_fraction in (8, 11):
        c, exact_c = np.zeros(1000, dtype=np.int64), np.zeros(1000)
        worst = 0
        for step in range(100):
            h, c = lstm(i[step], f[step], g[step], o[step], c, c_fraction=c_fraction)
            exact_c = f[step] / 2**15 * exact_c + i[step] / 2**15 * g[step] / 2**15
            worst = max(worst, np.abs(h / 2**15 - o[step] / 2**15 * np.tanh(exact_c)).max())
        print(f"LSTM, c_fraction {c_fraction}: greatest error of h over 100 steps {worst:.5f}")
        assert worst < 2.5 * 2.0**-c_fraction


@pytest.mark.parametrize("name, value", [("i", -1), ("f", 1 << 15), ("o", -1), ("g", 1 << 15), ("c", -(1 << 15) - 1)])
def test_lstm_refuses(name, value):
    with pytest.raises(ValueError, match=f"{name} holds"):
        lstm(**{**{key: np.array([0]) for key in "ifgoc"}, name: np.array([value])})


@pytest.mark.parametrize("name, value", [("r", -1), ("z", 1 << 15), ("nx", 1 << 15), ("nh", 1 << 15), ("h", 1 << 15)])
def test_gru_refuses(name, value):
    with pytest.raises(ValueError, match=f"{name} holds"):
        gru(**{**{key: np.array([0]) for key in ("r", "z", "nx", "nh", "h")}, name: np.array([value])})


def test_refuses_shapes():
    one, two = np.array([0]), np.array([0, 0])
    with pytest.raises(ValueError, match=r"'c': \(1,\)} are not allowed: they must be equal"):
        lstm(two, two, two, two, one)
    with pytest.raises(ValueError, match="they must be equal"):
        gru(two, two, two, two, one)


@pytest.mark.parametrize("c_fraction", [3, 12])
def test_refuses_c_fraction(c_fraction):
    with pytest.raises(ValueError, match="c_fraction"):
        lstm(*[np.array([0])] * 5, c_fraction=c_fraction)
