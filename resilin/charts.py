"""Charts as SVG text, without any plotting library.

Colours are those of Okabe and Ito, told apart with any colour vision; series differ in their markers as well. Every
chart has a title, and a description for screen readers.
"""

import bisect
import html
import math
import re

__all__ = ["bar_chart", "heat_map", "line_chart", "shades", "tree_map"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 440, 90, 190, 50, 70


def _text(x, y, words, *, anchor="middle", size=13, turn=None):
    turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn is not None else ""
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"{turned}>'
            f'{html.escape(str(words))}</text>')


class _Axis:
    """Maps values to positions, and chooses ticks."""

    def __init__(self, values, start, end, log2):
        values = [value for value in values if not log2 or value > 0]
        if not values:
            raise ValueError("values = [] is not allowed: a chart needs at least one value that its axis can show")
        low, high = min(values), max(values)
        self.log2, self.start, self.end = log2, start, end
        if log2:
            low, high = math.floor(math.log2(low)), math.ceil(math.log2(high))
            step = max(1, math.ceil((high - low) / 10))
        else:
            low = min(low, 0)
            span = (high - low) or 1
            step = 10.0 ** math.floor(math.log10(span))
            step = next(step * factor for factor in (0.1, 0.2, 0.5, 1, 2) if span / (step * factor) <= 8)
            high = low + step * math.ceil(span / step)
        self.low, self.high = low, max(high, low + step)
        self.ticks = [low + step * k for k in range(int((self.high - low) / step + 1.5)) if low + step * k <= self.high]

    def at(self, value):
        value = math.log2(value) if self.log2 else value
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def labelled(self):
        """Position and label of each tick."""
        for tick in self.ticks:
            power = f"2^{tick}" if tick < 0 or tick > 12 else f"{2**tick}"
            yield self.start + (tick - self.low) / (self.high - self.low) * (self.end - self.start), (
                power if self.log2 else f"{tick:.6g}")


def _frame(title, x_label, y_label, body):
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
             'font-family="sans-serif">',
             f"<title>{html.escape(title)}</title>",
             f"<desc>{html.escape(f'{y_label} over {x_label}')}</desc>",
             f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
             _text(middle, 26, title, size=16), _text(middle, _HEIGHT - 18, x_label),
             _text(22, (_TOP + _HEIGHT - _BOTTOM) / 2, y_label, turn=-90), *body, "</svg>"]
    return "\n".join(parts) + "\n"


def _grid(axis, vertical):
    lines = []
    for place, label in axis.labelled():
        if vertical:
            lines += [f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{place:.1f}" y2="{place:.1f}" stroke="#dddddd"/>',
                      _text(_LEFT - 8, place + 4, label, anchor="end", size=12)]
        else:
            lines += [f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" '
                      'stroke="#dddddd"/>',
                      _text(place, _HEIGHT - _BOTTOM + 18, label, size=12)]
    return lines


def _legend(names):
    lines = []
    for index, name in enumerate(names):
        y = _TOP + 12 + 22 * index
        lines += [_marker(index, _WIDTH - _RIGHT + 18, y),
                  _text(_WIDTH - _RIGHT + 30, y + 4, name, anchor="start", size=12)]
    return lines


def _marker(index, x, y):
    colour = COLOURS[index % len(COLOURS)]
    shapes = (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>',
              f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{colour}"/>',
              f'<path d="M{x:.1f} {y - 5:.1f}l5 9h-10z" fill="{colour}"/>',
              f'<path d="M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z" fill="{colour}"/>')
    return shapes[index % len(shapes)]


def line_chart(title, x_label, y_label, series, *, x_log2=False, y_log2=False):
    """Lines with markers. ``series``: name -> list of (x, y). Labels should end in the unit, in square brackets.

    Raises ``ValueError`` when there is nothing to show. On a logarithmic axis values of 0 and less are left out.
    """
    shown = {name: [(x, y) for x, y in points if (x > 0 or not x_log2) and (y > 0 or not y_log2)]
             for name, points in series.items()}
    xs = [x for points in shown.values() for x, _ in points]
    ys = [y for points in shown.values() for _, y in points]
    across = _Axis(xs, _LEFT, _WIDTH - _RIGHT, x_log2)
    up = _Axis(ys, _HEIGHT - _BOTTOM, _TOP, y_log2)
    body = _grid(across, False) + _grid(up, True)
    for index, points in enumerate(shown.values()):
        places = [(across.at(x), up.at(y)) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        colour = COLOURS[index % len(COLOURS)]
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        body += [_marker(index, x, y) for x, y in places]
    return _frame(title, x_label, y_label, body + _legend(shown))


def bar_chart(title, x_label, y_label, bars):
    """Bars from zero. ``bars``: group -> {series name -> value}; every group has the same series.

    Raises ``ValueError`` when there is nothing to show or the groups differ in their series.
    """
    names = list(next(iter(bars.values()), {}))
    for group, values in bars.items():
        if list(values) != names:
            raise ValueError(f"bars[{group!r}] = {list(values)} is not allowed: it must have the series {names}")
    up = _Axis([value for values in bars.values() for value in values.values()], _HEIGHT - _BOTTOM, _TOP, False)
    body, pitch = _grid(up, True), (_WIDTH - _RIGHT - _LEFT) / max(1, len(bars))
    width = 0.8 * pitch / max(1, len(names))
    for place, (group, values) in enumerate(bars.items()):
        left = _LEFT + pitch * (place + 0.1)
        for index, value in enumerate(values.values()):
            top, foot = sorted((up.at(value), up.at(0)))
            body.append(f'<rect x="{left + width * index:.1f}" y="{top:.1f}" width="{width:.1f}" '
                        f'height="{foot - top:.1f}" fill="{COLOURS[index % len(COLOURS)]}"/>')
        body.append(_text(_LEFT + pitch * (place + 0.5), _HEIGHT - _BOTTOM + 18, group, size=12))
    return _frame(title, x_label, y_label, body + _legend(names))


def shades(values, edges):
    """Numbers sorted into steps, for :func:`heat_map`: (indexes, classes).

    ``values`` rows of numbers; ``edges`` ascending limits: the classes are below ``edges[0]``, then from each edge up
    to the next, then from the last. Light is low, dark is high, in one hue. Raises ``ValueError`` for edges that do
    not ascend.
    """
    if list(edges) != sorted(set(edges)) or not edges:
        raise ValueError(f"edges = {list(edges)} is not allowed: it must be numbers in ascending order")
    names = [f"below {edges[0]:g}", *(f"{low:g} to {high:g}" for low, high in zip(edges, edges[1:])),
             f"{edges[-1]:g} and more"]
    classes = []
    for index, name in enumerate(names):
        share = index / (len(names) - 1)
        classes.append((name, "#" + "".join(f"{round(low + (high - low) * share):02x}"
                                            for low, high in zip((0xf3, 0xf6, 0xfa), (0x06, 0x28, 0x52)))))
    return [[bisect.bisect_right(edges, value) for value in row] for row in values], classes


def heat_map(title, x_label, y_label, values, classes, *, x_names=None, y_names=None, side=560):
    """A matrix as coloured squares, row 0 on top.

    ``values``: rows of indexes into ``classes``, a list of (name, colour). ``x_names``, ``y_names``: names of columns
    and rows; as many are shown as there is room for, all of a small matrix. ``side``: width of the matrix.

    Raises ``ValueError`` when there is nothing to show, rows differ in length, or names do not fit the matrix.
    """
    rows, columns = len(values), len(values[0]) if len(values) else 0
    if not columns or any(len(row) != columns for row in values):
        raise ValueError("values is not allowed: it must have rows of one length, and at least one number")
    for name, names, count in (("x_names", x_names, columns), ("y_names", y_names, rows)):
        if names is not None and len(names) != count:
            raise ValueError(f"{name} = {len(names)} names is not allowed: there must be {count}")
    cell = side / max(rows, columns)
    left, top = (120 if y_names is not None else 70), (130 if x_names is not None else 70)
    right, bottom = left + cell * columns, top + cell * rows
    width, height = right + 190, bottom + 20
    runs = {}
    for row, line in enumerate(values):
        for index, start, length in _runs(line):
            runs.setdefault(index, []).append(f"M{left + cell * start:.1f} {top + cell * row:.1f}h{cell * length:.1f}"
                                              f"v{cell:.1f}h{-cell * length:.1f}z")
    body = [f'<path d="{"".join(paths)}" fill="{classes[index][1]}"/>' for index, paths in sorted(runs.items())]
    body.append(f'<rect x="{left}" y="{top}" width="{right - left:.1f}" height="{bottom - top:.1f}" fill="none" '
                'stroke="#000000"/>')
    step, size = max(1, math.ceil(9 / cell)), min(12, max(8, cell))
    for place in range(0, columns, step):
        if x_names is not None:
            x = left + cell * (place + 0.5) + size / 3
            body.append(_text(x, top - 5, x_names[place], anchor="start", size=f"{size:.1f}", turn=-90))
    for place in range(0, rows, step):
        if y_names is not None:
            body.append(_text(left - 5, top + cell * (place + 0.5) + size / 3, y_names[place], anchor="end",
                              size=f"{size:.1f}"))
    for place, (name, colour) in enumerate(classes):
        y = top + 12 + 22 * place
        body += [f'<rect x="{right + 16:.1f}" y="{y - 8}" width="14" height="14" fill="{colour}" stroke="#000000"/>',
                 _text(right + 38, y + 4, name, anchor="start", size=12)]
    middle = (left + right) / 2
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        'font-family="sans-serif">', f"<title>{html.escape(title)}</title>",
        f"<desc>{html.escape(f'{y_label} down, {x_label} across')}</desc>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>', _text(middle, 26, title, size=16),
        _text(middle, 48, x_label), _text(20, (top + bottom) / 2, y_label, turn=-90), *body, "</svg>"]) + "\n"


def _runs(line):
    """Stretches of one value: (value, start, length)."""
    start = 0
    for place in range(1, len(line) + 1):
        if place == len(line) or line[place] != line[start]:
            yield int(line[start]), start, place - start
            start = place


def tree_map(title, unit, tiles, classes, *, width=560, height=440):
    """Rectangles in rectangles, squarified: everything drawn has the area of its share of the whole.

    ``tiles``: list of (path, value, index into ``classes``); ``path`` is a tuple of names from the outside in, and
    tiles whose paths begin with the same names lie together in a frame. ``unit``: what values are counted in.
    ``classes``: list of (name, colour); the legend has each one's share. Tiles of value 0 are left out.

    Raises ``ValueError`` when there is nothing to show, a value is negative, or a path is used twice.
    """
    root, shares = {}, [0.0] * len(classes)
    for path, value, index in tiles:
        if value < 0:
            raise ValueError(f"tiles: {' / '.join(path)} = {value} is not allowed: it must be at least 0")
        if value > 0:
            _plant(root, path, value, index)
            shares[index] += value
    total = sum(shares)
    if not total:
        raise ValueError("tiles is not allowed: a chart needs at least one value above 0")
    legend = [(f"{name}: {share / total:.1%}", colour) for (name, colour), share in zip(classes, shares) if share]
    left, top = 20, 46
    body, frames = [], []
    for path, value, index, place in _leaves(root, (), (left, top, width, height), frames):
        words = f"{' / '.join(path)}: {value:,.0f} {unit}, {value / total:.1%}"
        x, y, w, h = place
        body.append(f'<g><title>{html.escape(words)}</title><rect x="{x:.2f}" y="{y:.2f}" width="{w:.2f}" '
                    f'height="{h:.2f}" fill="{classes[index][1]}" stroke="#ffffff" stroke-width="0.6"/>'
                    + "".join(_label(path, f"{value / total:.1%}", place)) + "</g>")
    body += [f'<rect x="{x:.2f}" y="{y:.2f}" width="{w:.2f}" height="{h:.2f}" fill="none" stroke="#000000" '
             f'stroke-width="{2.4 / depth:.1f}"/>' for depth, (x, y, w, h) in sorted(frames, reverse=True)]
    for place, (name, colour) in enumerate(legend):
        y = top + 12 + 22 * place
        body += [f'<rect x="{left + width + 16}" y="{y - 8}" width="14" height="14" fill="{colour}" stroke="#000000"/>',
                 _text(left + width + 38, y + 4, name, anchor="start", size=12)]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 250} {top + height + 20}" role="img" '
        'font-family="sans-serif">', f"<title>{html.escape(title)}</title>",
        f"<desc>{html.escape(f'{total:,.0f} {unit} in all. ' + ', '.join(name for name, _ in legend))}</desc>",
        f'<rect width="{left + width + 250}" height="{top + height + 20}" fill="#ffffff"/>',
        _text(left + width / 2, 26, title, size=16), *body, "</svg>"]) + "\n"


def _plant(node, path, value, index):
    """Put a tile into nested dicts: name -> dict of what is inside, or (value, index) of a tile."""
    for name in path[:-1]:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            break
    if not isinstance(node, dict) or path[-1] in node:
        raise ValueError(f"tiles: {' / '.join(path)} is not allowed: this path is taken")
    node[path[-1]] = value, index


def _value(node):
    return sum(map(_value, node.values())) if isinstance(node, dict) else node[0]


def _leaves(node, path, place, frames):
    """(path, value, index, rectangle) of every tile below a node; ``frames`` gets (depth, rectangle) of the groups."""
    inside = sorted(((_value(child), name) for name, child in node.items()), key=lambda item: (-item[0], item[1]))
    for (value, name), rectangle in zip(inside, _squarified([value for value, _ in inside], *place)):
        child = node[name]
        if isinstance(child, dict):
            frames.append((len(path) + 1, rectangle))
            yield from _leaves(child, (*path, name), rectangle, frames)
        else:
            yield (*path, name), value, child[1], rectangle


def _squarified(values, x, y, width, height):
    """Rectangles of the areas ``values`` (descending) that fill a rectangle, each as square as can be: rows are laid
    along the shorter side and closed when one more would make them longer (Bruls, Huizing and van Wijk 2000)."""
    scale, rest, found = width * height / sum(values), list(values), []
    while rest:
        side, count = max(min(width, height), 1e-9), 1  # rounding may use up the room before the last crumbs
        while count < len(rest) and _worst(rest[:count + 1], side, scale) <= _worst(rest[:count], side, scale):
            count += 1
        row, rest = rest[:count], rest[count:]
        depth, at = sum(row) * scale / side, 0.0
        for value in row:
            length = value * scale / depth
            found.append((x, y + at, depth, length) if width >= height else (x + at, y, length, depth))
            at += length
        if width >= height:
            x, width = x + depth, width - depth
        else:
            y, height = y + depth, height - depth
    return found


def _worst(row, side, scale):
    """The greatest ratio of sides in a row of areas along ``side``."""
    depth = sum(row) * scale / side
    return max(max(depth * depth / (value * scale), value * scale / (depth * depth)) for value in (row[0], row[-1]))


def _label(path, share, place):
    """As much of a tile's path as there is room for: its own name first, then its share, then the groups'."""
    x, y, width, height = place
    for size, turned in ((11, False), (11, True), (9, False), (9, True)):
        room, across = (width - 4, height - 6) if turned else (height - 4, width - 6)
        pitch = size + 3
        chosen = _wrapped(path[-1], size, across)
        if not chosen or len(chosen) * pitch > room:
            continue
        if (len(chosen) + 1) * pitch <= room and _wide(share, size) <= across:
            chosen = [*chosen, share]
        for name in reversed(path[:-1]):
            if (len(chosen) + 1) * pitch > room or _wide(name, size) > across:
                break
            chosen = [name, *chosen]
        offs = [(number - (len(chosen) - 1) / 2) * pitch + size / 3 for number in range(len(chosen))]
        return [_text(x + width / 2 + off, y + height / 2, words, size=size, turn=-90) if turned else
                _text(x + width / 2, y + height / 2 + off, words, size=size) for off, words in zip(offs, chosen)]
    return []


def _wrapped(words, size, across):
    """A text in lines of at most a width, broken after blanks and underscores; ``None`` when that cannot be."""
    lines = [""]
    for part in re.findall(r"[^ _]*[ _]?", words):
        if _wide((lines[-1] + part).rstrip(), size) > across and lines[-1]:
            lines.append("")
        lines[-1] += part
    lines = [line.rstrip() for line in lines]
    return lines if all(_wide(line, size) <= across for line in lines) else None


def _wide(words, size):
    """Width of a text in pixels, about."""
    return 0.58 * size * len(words)
