"""Images of text lines: disjoint parts, the same pixels everywhere, users' pictures."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from golden.workloads import lines


def test_parts_share_no_line_and_lines_are_short():
    calibration, evaluation = (lines.line_texts(part, 60) for part in ("calibration", "evaluation"))
    assert not set(calibration) & set(evaluation) and len(set(calibration)) == 60
    assert all(0 < len(line) <= 24 for line in calibration + evaluation)
    assert max(map(len, lines.line_texts("evaluation", 20, 50))) > 24
    with pytest.raises(ValueError, match="count = 1000000"):
        lines.line_texts("evaluation", 10 ** 6)


def test_rendering_is_the_same_everywhere():
    image = lines.render("Sparse accelerators, 2 to 4!")
    assert image.shape == (64, 479) and image.dtype == np.uint8 and image.min() == 0 and image.max() == 255
    # The freetype inside the pinned Pillow draws it, so the pixels are the same on every machine.
    assert hashlib.sha256(image.tobytes()).hexdigest()[:16] == "e405a8357f138ec0"
    assert np.array_equal(lines.render("a", seed=3), lines.render("a", seed=3))
    assert not np.array_equal(lines.render("a", seed=3), lines.render("a", seed=4))
    whole = lines.render("Qgjpqy|", 46)
    assert (whole[[0, -1]] == 255).all() and (whole[:, [0, -1]] == 255).all()


def test_users_picture(tmp_path):
    path = tmp_path / "line.png"
    Image.fromarray(lines.render("own")).resize((200, 32)).save(path)
    assert lines.read_line(path).shape == (64, 400)
    Image.fromarray(np.zeros((10, 3000), np.uint8)).save(path)
    with pytest.raises(ValueError, match="3000 x 10"):
        lines.read_line(path)


@pytest.mark.parametrize("content, reason", [(None, "readable file"), (b"text", "picture")])
def test_bad_pictures(tmp_path, content, reason):
    path = tmp_path / "line.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=f"image = .*{reason}"):
        lines.read_line(path)
