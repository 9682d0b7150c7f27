"""The SVG charts: well formed, everything in the frame, refusals."""

import xml.etree.ElementTree

import pytest

from resilin.charts import bar_chart, line_chart

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


def test_refusals():
    with pytest.raises(ValueError, match="at least one value"):
        line_chart("T", "x", "y", {"one": [(1, 0)]}, y_log2=True)
    with pytest.raises(ValueError, match="must have the series"):
        bar_chart("T", "x", "y", {"a": {"one": 1}, "b": {"two": 1}})
