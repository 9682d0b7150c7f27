"""The SVG charts: well formed, everything in the frame, refusals."""

import re
import xml.etree.ElementTree

import pytest

from resilin.charts import bar_chart, heat_map, line_chart, shades, tree_map

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


TREE = [(("pe",), 60, 0), (("rows", "4 x row", "adder"), 20, 1), (("rows", "4 x row", "row itself"), 10, 1),
        (("rows", "rows itself"), 0, 1), (("memory 8 x 8",), 10, 2)]
CLASSES = [("pe", "#111111"), ("rows", "#222222"), ("memory", "#333333")]


def rectangles(chart):
    """Name -> (x, y, width, height) of the tiles of a tree map, and the list of those of the frames."""
    root = xml.etree.ElementTree.fromstring(chart)

    def place(rectangle):
        return tuple(float(rectangle.get(name)) for name in ("x", "y", "width", "height"))
    tiles = {tile.find(f"{SVG}title").text.split(":")[0]: place(tile.find(f"{SVG}rect")) for tile in
             root.iter(f"{SVG}g")}
    return tiles, [place(frame) for frame in root.iter(f"{SVG}rect") if frame.get("fill") == "none"]


def test_tiles_of_a_tree_map_have_the_areas_of_their_values():
    chart = tree_map("T < U", "um2", TREE, CLASSES, width=500, height=200)
    tiles, frames = rectangles(chart)
    values = {" / ".join(path): value for path, value, _ in TREE if value}
    assert {name: w * h for name, (_, _, w, h) in tiles.items()} == {
        name: pytest.approx(value / 100 * 500 * 200, rel=0.001) for name, value in values.items()}
    # The frames of ``rows`` and ``4 x row`` hold their tiles and no other.
    assert len(frames) == 2
    for x, y, w, h in frames:
        inside = {name for name, (left, top, wide, high) in tiles.items()
                  if left >= x - .02 and top >= y - .02 and left + wide <= x + w + .02 and top + high <= y + h + .02}
        assert inside == {"rows / 4 x row / adder", "rows / 4 x row / row itself"}


def test_tiles_of_a_tree_map_do_not_overlap_and_are_not_slivers():
    values = [1000 / (k + 1) ** 1.5 for k in range(60)]
    tiles, _ = rectangles(tree_map("T", "um2", [((f"u{k}",), value, 0) for k, value in enumerate(values)],
                                   [("all", "#111111")]))
    places = list(tiles.values())
    assert len(places) == 60
    for index, (x, y, w, h) in enumerate(places):
        assert max(w / h, h / w) < 4
        for left, top, wide, high in places[:index]:
            assert min(x + w, left + wide) - max(x, left) < .02 or min(y + h, top + high) - max(y, top) < .02


def test_a_tree_map_tells_names_and_shares():
    chart = tree_map("T < U", "um2", TREE, CLASSES)
    assert {"T < U", "pe", "60.0%", "rows: 30.0%", "4 x row", "adder", "memory: 10.0%"} <= set(texts(chart))
    root = xml.etree.ElementTree.fromstring(chart)
    assert "100 um2 in all" in root.find(f"{SVG}desc").text and "rows: 30.0%" in root.find(f"{SVG}desc").text
    titles = [element.text for element in root.iter(f"{SVG}title")]
    assert "rows / 4 x row / adder: 20 um2, 20.0%" in titles


def test_labels_of_a_tree_map_stay_in_their_tiles():
    chart = tree_map("T", "um2", [(("a name that is longer than its tile",), 1, 0), (("b",), 99, 0)],
                     [("all", "#111111")], width=300, height=100)
    assert "b" in texts(chart) and "a name that is longer than its tile" not in texts(chart)


def test_a_value_next_to_nothing_keeps_its_tile():
    tiles, _ = rectangles(tree_map("T", "um2", [(("a",), 1e9, 0), (("b",), 1e-9, 0), (("c",), 1e-9, 0)],
                                   [("all", "#111111")]))
    assert set(tiles) == {"a", "b", "c"} and all(w >= 0 and h >= 0 for _, _, w, h in tiles.values())


@pytest.mark.parametrize("tiles, message", [
    ([(("a",), 0, 0)], "at least one value above 0"), ([(("a",), -1, 0)], "a = -1 is not allowed"),
    ([(("a",), 1, 0), (("a",), 1, 0)], "a is not allowed: this path is taken"),
    ([(("a",), 1, 0), (("a", "b"), 1, 0)], "a / b is not allowed: this path is taken"),
])
def test_a_tree_map_refuses(tiles, message):
    with pytest.raises(ValueError, match=message):
        tree_map("T", "um2", tiles, [("all", "#111111")])
