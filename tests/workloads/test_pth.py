"""Checkpoints without PyTorch: both formats, and refusal of everything that is not a tensor."""

import collections
import io
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest

from golden.workloads.pth import load_pth

MAGIC = 0x1950A86A20F9469CFC6C


class _Storage:
    def __init__(self, kind, key, count):
        self.pid = ("storage", kind, key, "cpu", count)


class _Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.pid if isinstance(value, _Storage) else None


class _Call:
    """Pickles as a call of ``function(*arguments)``."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.fixture
def torch(monkeypatch):
    """Names of PyTorch, so that the pickler can refer to them; nothing is ever called."""
    utils, top = types.ModuleType("torch._utils"), types.ModuleType("torch")
    names_of = {utils: ("_rebuild_tensor_v2", "_rebuild_parameter"), top: ("FloatStorage", "LongStorage")}
    for module, names in names_of.items():
        for name in names:
            function = types.FunctionType((lambda *_: None).__code__, {}, name)
            function.__module__, function.__qualname__ = module.__name__, name
            setattr(module, name, function)
    top._utils = utils
    monkeypatch.setitem(sys.modules, "torch", top)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return top


def _pickle(value):
    file = io.BytesIO()
    _Pickler(file, 2).dump(value)
    return file.getvalue()


def _tensor(torch, kind, key, count, offset, size, stride):
    return _Call(torch._utils._rebuild_tensor_v2, _Storage(getattr(torch, kind), key, count), offset, size, stride,
                 False, collections.OrderedDict())


def _content(torch, **changes):
    place = {"offset": 1, "size": (2, 2), "stride": (1, 2)} | changes
    parameter = _Call(torch._utils._rebuild_parameter, _tensor(torch, "LongStorage", "1", 2, 0, (2,), (1,)), False,
                      collections.OrderedDict())
    return collections.OrderedDict(a=_tensor(torch, "FloatStorage", "0", 5, **place), b={"c": parameter},
                                   scalar=_tensor(torch, "LongStorage", "1", 2, 1, (), ()))


DATA = {"0": np.arange(5, dtype="<f4"), "1": np.array([7, 8], "<i8")}


def _zip(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", content)
        for key, array in DATA.items():
            archive.writestr(f"model/data/{key}", array.tobytes())
    return path


def _legacy(path, content, cut=0):
    parts = [_pickle(MAGIC), _pickle(1001), _pickle({"little_endian": True}), content, _pickle(list(DATA))]
    parts += [len(array).to_bytes(8, "little") + array.tobytes() for array in DATA.values()]
    data = b"".join(parts)
    path.write_bytes(data[:len(data) - cut])
    return path


@pytest.mark.parametrize("write", [_zip, _legacy])
def test_both_formats(torch, tmp_path, write):
    arrays = load_pth(write(tmp_path / "x.pth", _pickle(_content(torch))))
    assert arrays["a"].dtype == np.float32 and arrays["a"].tolist() == [[1, 3], [2, 4]]
    assert arrays["b"]["c"].tolist() == [7, 8] and arrays["scalar"] == 8 and arrays["scalar"].shape == ()


@pytest.mark.parametrize("write", [_zip, _legacy])
def test_other_names_are_refused_and_not_called(torch, tmp_path, write):
    victim = tmp_path / "victim"
    path = write(tmp_path / "x.pth", _pickle({"a": _Call(open, str(victim), "w")}))
    with pytest.raises(ValueError, match="names .*open, which is refused"):
        load_pth(path)
    assert not victim.exists()


@pytest.mark.parametrize("changes", [{"size": (2, 3)}, {"offset": 2}, {"stride": (-1, 2)}, {"stride": (1,)}])
def test_tensors_outside_of_their_storage(torch, tmp_path, changes):
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        load_pth(_zip(tmp_path / "x.pth", _pickle(_content(torch, **changes))))


def test_broken_files(torch, tmp_path):
    with pytest.raises(ValueError, match="middle of a tensor"):
        load_pth(_legacy(tmp_path / "cut.pth", _pickle(_content(torch)), cut=1))
    (tmp_path / "text.pth").write_text("no checkpoint")
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        load_pth(tmp_path / "text.pth")
    (tmp_path / "number.pth").write_bytes(_pickle(1))
    with pytest.raises(ValueError, match="no known format"):
        load_pth(tmp_path / "number.pth")
    with zipfile.ZipFile(tmp_path / "empty.pth", "w") as archive:
        archive.writestr("other", b"")
    with pytest.raises(ValueError, match="no data.pkl"):
        load_pth(tmp_path / "empty.pth")
