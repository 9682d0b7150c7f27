"""One head as an integer job: folding, scales, every stage, agreement with real attention."""

import dataclasses

import numpy as np
import pytest

from golden.arith.fixed import requantize
from golden.arith.precision import Precision
from golden.dota.dsa import integer_head, output_error, prediction_accuracy, retained_mass
from golden.workloads.fold import CONSTANT, append_column, replace_column
from golden.workloads.head_job import minilm_head_job, selected_count, synthetic_head_job
from tests.workloads.models import minilm

LOW = (Precision.INT8, Precision.INT4, Precision.INT2)


def test_both_folds_keep_every_product():
    rng = np.random.default_rng(0)
    gain, offset = rng.uniform(0.2, 1.5, 24), rng.standard_normal(24)
    normal = rng.standard_normal((10, 24))
    x = (normal - normal.mean(1, keepdims=True)) / normal.std(1, keepdims=True) * gain + offset
    weight, bias = rng.standard_normal((5, 24)), rng.standard_normal(5)
    for fold, columns in ((append_column(24), 25), (replace_column(gain, offset), 24)):
        inputs = fold.inputs(x)
        assert inputs.shape == (10, columns) and np.all(inputs[:, fold.column] == CONSTANT)
        assert np.allclose(inputs @ fold.weights(weight, bias).T, x @ weight.T + bias)
    assert replace_column(gain, offset).column == np.argmin(gain)
    with pytest.raises(ValueError, match="gain"):
        replace_column(np.zeros(3), np.zeros(3))


@pytest.mark.parametrize("tokens, retention, count", [(128, 0.1, 13), (64, 0.05, 3), (8, 0.01, 1), (8, 1, 8)])
def test_selected_count(tokens, retention, count):
    assert selected_count(tokens, retention) == count


@pytest.mark.parametrize("retention", [0, -0.1, 1.1])
def test_bad_retention(retention):
    with pytest.raises(ValueError, match="retention = .* is not allowed"):
        selected_count(8, retention)


def _check_formats(job):
    """Every operand fits its format, every shift and setting its field."""
    bits = job.precision.bits
    for values, width in ((job.x, 16), (job.wq, 16), (job.wk, 16), (job.wv, 16),
                          (job.wq_low, bits), (job.wk_low, bits)):
        assert values.dtype == np.int64 and -2 ** (width - 1) <= values.min() and values.max() < 2 ** (width - 1)
    assert job.p is None or set(np.unique(job.p)) <= {-1, 0, 1}
    shifts = [value for name, value in vars(job).items() if name.startswith("shift_")]
    assert len(shifts) == 10 and all(isinstance(shift, int) and 0 <= shift <= 47 for shift in shifts)
    assert 1 <= job.count <= job.tokens and -128 <= job.threshold <= 127 and 0 < job.softmax_scale < 11


@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize("kind", ["ternary", "svd"])
def test_synthetic_job(kind, precision):
    job = synthetic_head_job(tokens=24, precision=precision, kind=kind, seed=3)
    _check_formats(job)
    assert job.x.shape == (24, 32) and job.width == 8 and (job.p is None) == (kind == "svd")
    dense = integer_head(job)
    assert output_error(dense["z"] * job.scales["z"], job.reference_z) < 0.002
    found = integer_head(job, "balanced")
    assert (found["mask"].sum(1) == job.count).all() and found["weights"][~found["mask"]].max() == 0
    assert prediction_accuracy(job.reference_scores, found["mask"]) > job.count / 24
    assert np.array_equal(integer_head(job, "threshold")["mask"], found["scores_low"] >= job.threshold)


def test_jobs_are_reproducible_and_depend_on_the_seed():
    first, again, other = (synthetic_head_job(seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.x, again.x) and np.array_equal(first.wq_low, again.wq_low)
    assert not np.array_equal(first.x, other.x)


def test_stages_are_those_of_the_definition():
    job = synthetic_head_job()
    stages = integer_head(job, "balanced")
    for name in "qkv":
        product = job.x @ getattr(job, "w" + name).T
        assert np.array_equal(stages[name], requantize(product, getattr(job, "shift_" + name), 16))
    low = requantize(requantize(job.x, job.shift_x, 4) @ job.p.T, job.shift_p, 4)
    q, k = requantize(low @ job.wq_low.T, job.shift_q_low, 4), requantize(low @ job.wk_low.T, job.shift_k_low, 4)
    assert np.array_equal(stages["scores_low"], requantize(q @ k.T, job.shift_d, 8))
    assert np.array_equal(stages["z"], requantize(stages["weights"] @ stages["v"], job.shift_z, 16))
    with pytest.raises(ValueError, match="tokens = 1 is not allowed"):
        synthetic_head_job(tokens=1)
    with pytest.raises(ValueError, match="mode = 'sparse'"):
        integer_head(job, "sparse")


def test_zero_padding_changes_nothing():
    job = synthetic_head_job()

    def pad(values, rows, columns):
        return np.pad(values, ((0, rows), (0, columns)))

    wide = dataclasses.replace(
        job, x=pad(job.x, 0, 7), wq=pad(job.wq, 3, 7), wk=pad(job.wk, 3, 7), wv=pad(job.wv, 3, 7),
        p=pad(job.p, 5, 7), wq_low=pad(job.wq_low, 2, 5), wk_low=pad(job.wk_low, 2, 5))
    plain, padded = integer_head(job, "balanced"), integer_head(wide, "balanced")
    assert np.array_equal(plain["mask"], padded["mask"]) and np.array_equal(plain["z"], padded["z"][:, :job.width])


@pytest.mark.parametrize("layer, head, kind, precision", [
    (0, 3, "ternary", Precision.INT4), (2, 3, "svd", Precision.INT4), (5, 11, "ternary", Precision.INT8),
    (3, 0, "svd", Precision.INT2)])
def test_minilm_job(layer, head, kind, precision):
    job = minilm_head_job(minilm(), layer, head, tokens=64, kind=kind, precision=precision)
    _check_formats(job)
    assert job.x.shape == (64, 384) and job.count == 6 and len(job.source["tokens"]) == 64
    dense, found = integer_head(job), integer_head(job, "balanced")
    assert dense["saturated"] == 0
    assert output_error(dense["z"] * job.scales["z"], job.reference_z) < 0.002
    assert np.abs(dense["weights"] / 32768 - job.reference_weights).max() < 0.004
    assert prediction_accuracy(job.reference_scores, found["mask"]) > 0.25
    assert retained_mass(job.reference_weights, found["mask"]) <= retained_mass(job.reference_weights, job.oracle)
    assert integer_head(job, "threshold")["mask"].mean() < 0.3


def test_minilm_job_on_own_text(tmp_path):
    model = minilm()
    path = tmp_path / "own.txt"
    path.write_text("The quick brown fox jumps over the lazy dog. " * 5)
    job = minilm_head_job(model, 1, 2, tokens=32, text=path, retention=0.25)
    assert job.count == 8 and job.source["tokens"][:3] == ["[CLS]", "the", "quick"]
    with pytest.raises(ValueError, match="tokens = 256.*holds 0 passages"):
        minilm_head_job(model, 1, 2, tokens=256, text=path)


@pytest.mark.parametrize("field, options", [
    ("layer = 6", {"layer": 6}), ("head = 12", {"head": 12}), ("tokens = 600", {"tokens": 600}),
    ("retention = 0", {"retention": 0}), ("precision = FX16", {"precision": Precision.FX16}),
    ("kind = 'pca'", {"kind": "pca"}), ("sigma = 2", {"sigma": 2}), ("rank = 40", {"rank": 40}),
    ("text = ", {"text": "/nonexistent/file.txt"})])
def test_bad_input_is_one_clear_line(field, options):
    with pytest.raises(ValueError, match=field) as caught:
        minilm_head_job(minilm(), **{"layer": 0, "head": 0, "tokens": 32} | options)
    assert "is not allowed" in str(caught.value) and "\n" not in str(caught.value)
