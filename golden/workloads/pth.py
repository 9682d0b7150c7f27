"""Arrays out of a PyTorch checkpoint (``.pth``), without PyTorch and without running anything that the file says.

A checkpoint is a pickle that names classes to build. Only dictionaries of tensors are read: the few names that such a
file needs are understood here, any other is refused.
"""

import collections
import io
import pickle
import zipfile

import numpy as np

__all__ = ["load_pth"]

_TYPES = {"FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8", "LongStorage": "<i8",
          "IntStorage": "<i4", "ByteStorage": "u1"}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_DIMENSIONS = 8  # more than any tensor has


def load_pth(path):
    """The arrays of the checkpoint at ``path``: dict of name -> ndarray, nested where the file is.

    Reads both formats of ``torch.save``: the zip file and the older sequence of pickles. Raises ``ValueError`` for
    anything else, or a file that names anything but tensors in dictionaries.
    """
    try:
        if zipfile.is_zipfile(path):
            return _load_zip(path)
        with open(path, "rb") as file:
            return _load_legacy(file)
    except (pickle.UnpicklingError, EOFError, KeyError, IndexError, AttributeError, TypeError, UnicodeDecodeError,
            zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a readable checkpoint of tensors: {error}") from error


class _Tensor:
    """A tensor of the file before its storage has been read."""

    def __init__(self, storage, offset, size, stride, *_):
        self.storage, self.offset, self.size, self.stride = storage, offset, tuple(size), tuple(stride)

    def array(self, storages):
        data = storages[self.storage]
        if len(self.size) > _DIMENSIONS or len(self.size) != len(self.stride) or min(
                (*self.size, *self.stride, self.offset), default=0) < 0:
            raise pickle.UnpicklingError(f"a tensor of size {self.size} and stride {self.stride}")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride))
        if all(self.size) and last >= data.size:
            raise pickle.UnpicklingError("a tensor reaches past its storage")
        strides = [step * data.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(data[self.offset:], self.size, strides).copy()


class _Unpickler(pickle.Unpickler):
    """Understands tensors, their storages and OrderedDict; ``types`` collects storage key -> dtype."""

    def __init__(self, file):
        super().__init__(file)
        self.types = {}

    def find_class(self, module, name):
        if module == "collections" and name == "OrderedDict":
            return collections.OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch._utils" and name == "_rebuild_parameter":
            return lambda tensor, *_: tensor
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is refused")

    def persistent_load(self, pid):
        _, dtype, key, *_ = pid
        self.types[key] = dtype
        return key


def _arrays(value, storages):
    if isinstance(value, _Tensor):
        return value.array(storages)
    if isinstance(value, dict):
        return {name: _arrays(item, storages) for name, item in value.items()}
    return value


def _load_zip(path):
    with zipfile.ZipFile(path) as archive:
        index = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
        if index is None:
            raise pickle.UnpicklingError("it holds no data.pkl")
        unpickler = _Unpickler(io.BytesIO(archive.read(index)))
        content = unpickler.load()
        folder = index.removesuffix(".pkl") + "/"
        storages = {key: np.frombuffer(archive.read(folder + key), dtype) for key, dtype in unpickler.types.items()}
    return _arrays(content, storages)


def _load_legacy(file):
    if _Unpickler(file).load() != _LEGACY_MAGIC:
        raise pickle.UnpicklingError("it is of no known format")
    for _ in range(2):  # protocol version, system information
        _Unpickler(file).load()
    unpickler = _Unpickler(file)
    content = unpickler.load()
    storages = {}
    for key in _Unpickler(file).load():
        count, dtype = int.from_bytes(file.read(8), "little"), np.dtype(unpickler.types[key])
        data = file.read(count * dtype.itemsize)
        if len(data) != count * dtype.itemsize:
            raise EOFError("it ends in the middle of a tensor")
        storages[key] = np.frombuffer(data, dtype)
    return _arrays(content, storages)
