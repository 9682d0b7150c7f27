"""The MFU's golden model against float64, against plain definitions, and its refusals."""

import json
import math

import numpy as np
import pytest

from golden.arith.precision import Precision
from golden.dota import mfu as golden
from golden.dota.mfu import MfuOp
from resilin import cli
from resilin.jobs import softmax as job


def test_error_is_below_the_bar_and_below_the_proven_bound():
    for kind, by_length in job.measure(seed=7).items():
        for length, error in by_length.items():
            assert error <= sum(golden.error_budget(length).values()) <= golden.ERROR_BOUND, (kind, length)


def test_the_error_measurement_can_fail(monkeypatch, tmp_path):
    real = golden.softmax
    monkeypatch.setattr(golden, "softmax", lambda *args: real(*args) - 17)  # 17 units are just more than 2^-11
    monkeypatch.setattr(job, "LENGTHS", (2,))
    assert cli.main(["run", "softmax", "-o", str(tmp_path)]) == 1


def test_the_job_writes_its_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(job, "LENGTHS", (2, 8))
    assert cli.main(["run", "softmax", "-o", str(tmp_path / "out"), "--json"]) == 0
    results = json.loads((tmp_path / "out" / "softmax.json").read_text())
    assert json.loads(capsys.readouterr().out) == results
    assert 0 < results["max_error"] < results["allowed"] == 2**-11
    assert (tmp_path / "out" / "softmax.svg").read_text().startswith("<svg")


@pytest.mark.parametrize("real", [0.0, 1e-12, 1e-5, 0.125, 1.0, math.log(2), 11.09])
def test_softmax_scale_is_as_close_as_its_bits_allow(real):
    scale, scale_shift = golden.softmax_scale(real)
    got, wanted = scale * 2.0**-scale_shift, real * math.log2(math.e) * 2.0**golden.EXP_FRACTION
    assert 0 <= scale < 65536 and 0 <= scale_shift <= 31
    assert abs(got - wanted) <= max(wanted * 2.0**-16, 2.0**-32)


def test_a_real_scale_keeps_the_bar():
    assert job.measure_scale(seed=3) <= golden.ERROR_BOUND


def test_masked_entries_do_not_exist():
    rng = np.random.default_rng(5)
    scores, mask = rng.integers(-32768, 32768, (20, 40)), rng.random((20, 40)) < 0.3
    mask[0] = False
    weights = golden.softmax(scores, mask, *golden.softmax_scale(1e-3))
    assert weights.dtype == np.int16 and not weights[~mask].any() and not weights[0].any()
    for row, chosen, got in zip(scores[1:], mask[1:], weights[1:]):
        alone = golden.softmax(row[chosen][None], None, *golden.softmax_scale(1e-3))
        assert (alone[0] == got[chosen]).all()


@pytest.mark.parametrize("precision", list(Precision))
def test_conversions_equal_their_definition(precision):
    values, bits = np.arange(-32768, 32768), precision.bits
    least, most = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    narrow = np.arange(least, most + 1)
    for shift in (*range(20), 31, 32, 33, 63):
        rounded = np.floor(values / 2.0**shift + 0.5) if shift else values
        assert (golden.quantize(values, shift, precision) == np.clip(rounded, least, most)).all()
        wide = np.clip(narrow * 2.0**shift, -32768, 32767)
        assert (golden.dequantize(narrow, shift, precision) == wide).all()


def test_pack_and_unpack_are_inverse():
    values = np.array([-2, 1, 0, -1])
    assert golden.pack(values, 2) == 0b11_00_01_10
    assert (golden.unpack(golden.pack(values, 2), 2, 4) == values).all()


@pytest.mark.parametrize("call, words", [
    (lambda: golden.softmax_scale(-1.0), "real = -1.0"), (lambda: golden.softmax_scale(12.0), "real = 12.0"),
    (lambda: golden.softmax_scale(math.nan), "real = nan"),
    (lambda: golden.softmax(np.full((1, 2), 32768), None, 1, 0), "scores holds 32768"),
    (lambda: golden.softmax(np.zeros((1, 2), int), np.ones(2, bool), 1, 0), "must be one"),
    (lambda: golden.softmax(np.zeros((1, 1025), int), None, 1, 0), "1025"),
    (lambda: golden.softmax(np.zeros((1, 2), int), None, 65536, 0), "scale holds 65536"),
    (lambda: golden.softmax(np.zeros((1, 2), int), None, 1, 32), "scale_shift = 32"),
    (lambda: golden.quantize([40000], 0, Precision.INT8), "values holds 40000"),
    (lambda: golden.quantize([1], 64, Precision.INT8), "shift = 64"),
    (lambda: golden.dequantize([2], 0, Precision.INT2), "values holds 2"),
])
def test_refuses_what_is_out_of_range(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def beat(**fields):
    return {"data": 0, "count": 4, "last": 0, "op": MfuOp.SOFTMAX, "precision": 0, "shift": 0} | fields


@pytest.mark.parametrize("beats, words", [
    ([beat(count=5)], "count = 5"), ([beat()] * 3, "ends inside"), ([beat()], "ends inside"),
    ([beat(), beat(op=MfuOp.QUANTIZE)], "QUANTIZE is not allowed"),
])
def test_process_refuses_broken_rows(beats, words):
    with pytest.raises(ValueError, match=words):
        golden.process(beats, lanes=4, max_row=8, scale=1, scale_shift=0)


def test_long_row_is_cut():
    beats = [beat(data=golden.pack([300 * k, 0, 7, -9], 16), last=int(k == 4)) for k in range(5)]
    settings = dict(lanes=4, max_row=8, scale=4096, scale_shift=0)
    parts = [beats[0], beats[1] | {"last": 1}, beats[2], beats[3] | {"last": 1}, beats[4]]
    assert golden.process(beats, **settings) == golden.process(parts, **settings)
