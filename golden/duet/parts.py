"""Output channels of a layer in parts, whose weights are in the GlobalBuffer one after another."""

__all__ = ["divisions"]


def divisions(outputs, unit):
    """Ways to divide output channels into parts (first, n), multiples of ``unit``: those with few parts first.

    Two parts are in the GlobalBuffer at a time, of which one can be of the next layer: parts of two sizes in turn,
    small ones at the ends, need less room than as many equal ones. Ways that save nothing against fewer parts are left
    out.
    """
    units, best, found = -(-outputs // unit), {}, []
    for odd in range(1, units + 1):
        for even in range(1, units + 1):
            sizes, left = [], units
            while left:
                sizes.append(min((odd, even)[len(sizes) % 2], left))
                left -= sizes[-1]
            room = max(map(sum, zip(sizes, [*sizes[1:], 0])))
            best.setdefault((len(sizes), max(sizes[0], sizes[-1])), []).append((room, max(sizes), sizes))
    for (_, ends), ways in sorted(best.items()):
        room, _, sizes = min(ways)
        if all(room < other_room or ends < other_ends for other_room, other_ends, _ in found):
            found.append((room, ends, sizes))
    return [[(unit * sum(sizes[:k]), min(unit * size, outputs - unit * sum(sizes[:k]))) for k, size in enumerate(sizes)]
            for *_, sizes in found]
