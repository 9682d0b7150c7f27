"""Images of text lines for the reader: rendered ones, the lines of a scanned page, and the user's own.

Rendered lines take their words from ``golden.workloads.text``, so those for calibration and for evaluation come from
texts that share no long paragraph. The font is the one that Pillow carries (Aileron): nothing depends on the machine.
"""

import itertools

import numpy as np
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from golden.workloads.easyocr import CHARACTERS, HEIGHT
from golden.workloads.fetch import fetch
from golden.workloads.text import texts

__all__ = ["line_texts", "page", "page_lines", "read_line", "render", "rendered_lines"]

_LETTERS = 24  # of a line, at most
_SIZES = (34, 38, 42, 46)
_WIDEST = 4096  # pixels of a user's line

#: Boxes (left, top, right, bottom) and texts of the lines of scikit-image's ``page.png``.
_PAGE = (((2, 10, 300, 36), "Region-based segmentation"),
         ((2, 47, 382, 65), "Let us first determine markers of the coins and the"),
         ((2, 65, 382, 84), "background. These markers are pixels that we can label"),
         ((2, 83, 382, 101), "unambiguously as either object or background. Here,"),
         ((2, 100, 382, 119), "the markers are found at the two extreme parts of the"),
         ((2, 116, 176, 136), "histogram of grey values:"))


def line_texts(part, count, letters=_LETTERS):
    """``count`` lines of at most ``letters`` characters from one part ("calibration" or "evaluation") of the texts.

    Lines are whole words, taken in turn from each text; words with characters that the reader does not know, or
    without a letter or digit, are left out. No line occurs twice.
    """
    sources = [_lines(text, letters) for text in texts(part)]
    fill = object()
    turns = itertools.chain.from_iterable(itertools.zip_longest(*sources, fillvalue=fill))
    lines = list(itertools.islice(dict.fromkeys(line for line in turns if line is not fill), count))
    if len(lines) < count:
        raise ValueError(f"count = {count} is not allowed: the texts hold {len(lines)} lines of {letters} characters")
    return lines


def _lines(text, letters):
    line = ""
    for word in text.split():
        if not set(word) <= set(CHARACTERS) or len(word) > letters or not any(c.isalnum() for c in word):
            continue
        if len(line) + 1 + len(word) > letters and line:
            yield line
            line = ""
        line = f"{line} {word}" if line else word


def render(text, size=38, seed=None):
    """The image (64, width) of a line of text, uint8, black on white; ``size`` of the font in pixels.

    With a ``seed``: grey ink on grey paper, noise, and a resolution of 16 to 64 pixels a line, as a scan would have.
    """
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(text, anchor="ls")
    image = Image.new("L", (int(right - left) + 24, HEIGHT), 255)
    ascent, descent = font.getmetrics()
    ImageDraw.Draw(image).text((12 - left, (HEIGHT + ascent - descent) // 2), text, font=font, fill=0, anchor="ls")
    if seed is None:
        return np.asarray(image)
    rng = np.random.default_rng(seed)
    height = int(rng.integers(16, HEIGHT + 1))
    coarse = image.resize((max(1, image.width * height // HEIGHT), height), Image.Resampling.BICUBIC)
    pixels = np.asarray(coarse.resize(image.size, Image.Resampling.BICUBIC)) / 255.0
    ink, paper = rng.uniform(0, 80), rng.uniform(180, 255)
    noisy = ink + (paper - ink) * pixels + rng.normal(0, rng.uniform(0, 10), pixels.shape)
    return np.clip(noisy.round(), 0, 255).astype(np.uint8)


def rendered_lines(part, count):
    """``count`` (image, text) of one part, of several sizes, shades and resolutions; the same on every machine."""
    return [(render(text, _SIZES[number % len(_SIZES)], seed=number), text)
            for number, text in enumerate(line_texts(part, count))]


def _scaled(image):
    width = max(HEIGHT, round(image.width * HEIGHT / image.height))
    if width > _WIDEST:
        raise ValueError(f"image of {image.width} x {image.height} pixels is not allowed: at 64 pixels of height a "
                         f"line must be at most {_WIDEST} wide")
    return np.asarray(image.resize((width, HEIGHT), Image.Resampling.BICUBIC))


def page_lines(progress=print):
    """The 6 whole lines of a scanned, curved page: list of (image, text). Nothing is calibrated on them.

    Raises ``fetch.FetchError`` when the page cannot be had.
    """
    picture = Image.fromarray(page(progress))
    return [(_scaled(picture.crop(box)), text) for box, text in _PAGE]


def page(progress=print):
    """The whole scanned page, uint8 (191, 384). Raises ``fetch.FetchError`` when it cannot be had."""
    with Image.open(fetch("scikit-image", progress) / "page.png") as picture:
        return np.asarray(picture.convert("L"))


def read_line(path):
    """The user's picture of one line of text, dark on light, as an image (64, width). Raises ``ValueError``."""
    try:
        with Image.open(path) as image:
            return _scaled(image.convert("L"))
    except (UnidentifiedImageError, Image.DecompressionBombError):
        raise ValueError(f"image = {str(path)!r} is not allowed: it must be a picture (PNG, JPEG, ...)") from None
    except OSError as error:
        reason = error.strerror or "broken file"
        raise ValueError(f"image = {str(path)!r} is not allowed: it must be a readable file ({reason})") from None
