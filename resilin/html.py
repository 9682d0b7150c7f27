"""Pages of reports: one HTML file each, no scripts, nothing from outside."""

from html import escape

__all__ = ["bullets", "code", "document", "figure", "folded", "number", "percent", "prose", "section", "table"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a;
  background: #ffffff; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #999999; }
table { border-collapse: collapse; margin: 1rem 0; } caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { border: 1px solid #999999; padding: .2rem .5rem; text-align: right; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child, .long { text-align: left; } th { background: #eeeeee; }
.long { overflow-wrap: anywhere; min-width: 8rem; } section { overflow-x: auto; }
svg { max-width: 100%; height: auto; } code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { background: #f3f3f3; padding: .6rem; white-space: pre-wrap; } figure { margin: 1.5rem 0; }
figcaption, .note { color: #444444; font-size: .95em; } summary { cursor: pointer; font-weight: 600; }
"""


def number(value):
    """A cell of a table as text: thousands separated, fractions to three or four places."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 0.01 else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def percent(share):
    """A share as per cent, with a decimal where it has one."""
    return f"{share:.0%}" if round(share * 100) == round(share * 100, 6) else f"{share:.1%}"


def table(caption, headings, rows):
    """A table; cells go through :func:`number`, long ones may be broken anywhere."""
    head = "".join(f'<th scope="col">{escape(str(heading))}</th>' for heading in headings)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>\n" for row in rows)
    return f"<table><caption>{escape(caption)}</caption>\n<tr>{head}</tr>\n{body}</table>\n"


def _cell(value):
    text = number(value)
    style = ' class="long"' if len(text) > 24 else ""
    return f"<td{style}>{escape(text)}</td>"


def figure(chart, caption):
    """A chart (SVG text) over its caption."""
    return f"<figure>\n{chart}<figcaption>{escape(caption)}</figcaption>\n</figure>\n"


def prose(text):
    """A paragraph."""
    return f"<p>{escape(text)}</p>\n"


def code(text):
    """Lines to be typed as they are."""
    return f"<pre>{escape(text)}</pre>\n"


def bullets(lines):
    """A list of sentences."""
    points = "".join(f"<li>{escape(line)}</li>\n" for line in lines)
    return f"<ul>\n{points}</ul>\n"


def folded(summary, *parts):
    """Parts that are shown when the reader asks for them."""
    return f"<details><summary>{escape(summary)}</summary>\n{''.join(parts)}</details>\n"


def section(heading, *parts):
    """Parts under a heading."""
    return f"<section>\n<h2>{escape(heading)}</h2>\n{''.join(parts)}</section>\n"


def document(title, *parts):
    """The whole page."""
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n<title>{escape(title)}</title>\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"/>\n<style>{_STYLE}</style>\n'
            f"</head>\n<body>\n<main>\n<h1>{escape(title)}</h1>\n{''.join(parts)}</main>\n</body>\n</html>\n")
