"""Tables of text for the terminal."""

__all__ = ["table"]


def table(headings, rows):
    """Lines of a table with right-aligned columns, the first left-aligned; floats get three decimals."""
    cells = [headings, *([f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    return ["  ".join(cell.ljust(width) if not column else cell.rjust(width)
                      for column, (cell, width) in enumerate(zip(row, widths))) for row in cells]
