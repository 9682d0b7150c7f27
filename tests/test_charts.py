"""The SVG charts: well formed, everything in the frame, refusals."""

import re
import xml.etree.ElementTree

import pytest

from resilin.charts import bar_chart, heat_map, line_chart, shades

SVG = "{http://www.w3.org/2000/svg}"


def texts(chart):
    return [element.text for element in xml.etree.ElementTree.fromstring(chart).iter(f"{SVG}text")]


def test_a_line_chart_shows_title_labels_and_every_point():
    chart = line_chart("A < B", "length [numbers]", "error [1]", {"one": [(1, 2**-12), (512, 2**-11)], "two": [(8, 1)]},
                       x_log2=True, y_log2=True)
    assert {"A < B", "length [numbers]", "error [1]", "one", "two", "512", "2^-12"} <= set(texts(chart))
    root = xml.etree.ElementTree.fromstring(chart)
    lines = [element.get("points").split() for element in root.iter(f"{SVG}polyline")]
    assert [len(points) for points in lines] == [2, 1]
    (x_0, y_0), (x_1, y_1) = (map(float, point.split(",")) for point in lines[0])
    assert 0 < x_0 < x_1 < 760 and 440 > y_0 > y_1 > 0


def test_bars_are_as_high_as_their_values():
    chart = bar_chart("T", "x", "y [um2]", {"a": {"one": 10, "two": 20}, "b": {"one": 5, "two": 0}})
    root = xml.etree.ElementTree.fromstring(chart)
    heights = [float(element.get("height")) for element in root.iter(f"{SVG}rect") if element.get("fill") != "#ffffff"]
    bars = [height for height in heights if height != 8]  # a legend's square is 8 high
    assert bars[0] / bars[1] == pytest.approx(0.5, abs=0.01) and bars[2] / bars[1] == pytest.approx(0.25, abs=0.01)
    assert bars[3] == 0


def test_a_heat_map_has_a_square_for_every_number():
    classes = [("low", "#111111"), ("high", "#222222")]
    chart = heat_map("T", "key [token]", "query [token]", [[0, 0, 1], [1, 0, 0]], classes, x_names=["a", "b<", "c"],
                     y_names=["d", "e"], side=300)
    assert {"T", "key [token]", "query [token]", "low", "high", "a", "b<", "c", "d", "e"} <= set(texts(chart))
    areas = {}
    for path in xml.etree.ElementTree.fromstring(chart).iter(f"{SVG}path"):
        widths = [float(width) for width in re.findall(r"h(\d+\.\d)v100.0", path.get("d"))]
        areas[path.get("fill")] = sum(widths)
    assert areas == {"#111111": 400, "#222222": 200}


def test_names_of_a_large_heat_map_are_thinned():
    names = [f"t{index}" for index in range(256)]
    chart = heat_map("T", "x", "y", [[0] * 256] * 256, [("all", "#111111")], x_names=names, y_names=names)
    assert "t0" in texts(chart) and 50 < len([text for text in texts(chart) if text.startswith("t")]) < 130


def test_shades():
    values, classes = shades([[0.1, 0.5], [0.69, 0.9]], (0.5, 0.7))
    assert values == [[0, 1], [1, 2]]
    assert [name for name, _ in classes] == ["below 0.5", "0.5 to 0.7", "0.7 and more"]
    assert len({colour for _, colour in classes}) == 3


def test_refusals():
    with pytest.raises(ValueError, match="rows of one length"):
        heat_map("T", "x", "y", [[0], [0, 0]], [("a", "#000000")])
    with pytest.raises(ValueError, match="x_names = 1 names"):
        heat_map("T", "x", "y", [[0, 0]], [("a", "#000000")], x_names=["one"])
    with pytest.raises(ValueError, match="ascending"):
        shades([[1]], (2, 1))
    with pytest.raises(ValueError, match="at least one value"):
        line_chart("T", "x", "y", {"one": [(1, 0)]}, y_log2=True)
    with pytest.raises(ValueError, match="must have the series"):
        bar_chart("T", "x", "y", {"a": {"one": 1}, "b": {"two": 1}})
