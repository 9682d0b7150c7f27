"""Golden model of the multicast bus: a Y-bus that feeds X-buses, each of which feeds its elements (thesis 5.1, NoC).

Row IDs are of the X-buses (one a row of the Executor, the last one the Speculator's), column IDs of the elements.
Destinations with equal IDs receive the same data.
"""

import numpy as np

from golden.arith.fixed import as_integers, check_range

__all__ = ["deliver", "gate"]


def deliver(row_ids, col_ids, row_tag, col_tag, row_all=False, col_all=False):
    """Who receives a message: (X-buses bool (rows + 1,), elements bool (rows, cols)).

    Parameters: ``row_ids`` (rows + 1,) and ``col_ids`` (rows, cols), the configured IDs; ``row_tag``, ``col_tag`` the
    message's. ``row_all``: every X-bus of the Executor, never the Speculator's; ``col_all``: every element of a
    selected X-bus. Raises ``ValueError`` for an ID or tag that does not fit in the bits that number the X-buses or
    columns.
    """
    row_ids, col_ids = as_integers("row_ids", row_ids), as_integers("col_ids", col_ids)
    if row_ids.ndim != 1 or col_ids.ndim != 2 or len(row_ids) != len(col_ids) + 1:
        raise ValueError(f"row_ids has shape {row_ids.shape} and col_ids {col_ids.shape}: they must be (rows + 1,) and "
                         "(rows, cols)")
    for name, values, count in (("row_ids", row_ids, len(row_ids)), ("row_tag", row_tag, len(row_ids)),
                                ("col_ids", col_ids, col_ids.shape[1]), ("col_tag", col_tag, col_ids.shape[1])):
        check_range(name, values, (count - 1).bit_length(), signed=False)
    buses = row_ids == row_tag
    if row_all:
        buses = np.arange(len(row_ids)) < len(col_ids)
    return buses, buses[:-1, None] & ((col_ids == col_tag) | bool(col_all))


def gate(data, selected):
    """What destinations see: ``data`` (...,) where ``selected`` (n, ...), zeros elsewhere."""
    data, selected = as_integers("data", data), np.asarray(selected, dtype=bool)
    return np.where(selected.reshape(*selected.shape, *[1] * data.ndim), data, 0)
