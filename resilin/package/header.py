"""The C header of a block, from ``BLOCK.json``: parameters, enumerations, ports and registers with their fields."""

import re

__all__ = ["header"]

_ACCESS = """\
/* A port's bits as 32-bit words, the lowest bits first: fields are read and written with these, width 1 to 64. */
static inline uint64_t {block}_get(const uint32_t *words, unsigned offset, unsigned width)
{{
    uint64_t value = 0;
    for (unsigned bit = 0; bit < width; bit++)
        value |= (uint64_t)(words[(offset + bit) / 32] >> (offset + bit) % 32 & 1) << bit;
    return value;
}}

static inline int64_t {block}_get_signed(const uint32_t *words, unsigned offset, unsigned width)
{{
    uint64_t sign = UINT64_C(1) << (width - 1);
    return (int64_t)(({block}_get(words, offset, width) ^ sign) - sign);
}}

static inline void {block}_put(uint32_t *words, unsigned offset, unsigned width, uint64_t value)
{{
    for (unsigned bit = 0; bit < width; bit++) {{
        uint32_t mask = UINT32_C(1) << (offset + bit) % 32;
        uint32_t *word = &words[(offset + bit) / 32];
        *word = value >> bit & 1 ? *word | mask : *word & ~mask;
    }}
}}
"""


class _Lines:
    """Lines of a header; refuses to define a macro twice."""

    def __init__(self, block):
        self.prefix = block.upper()
        self.lines = []
        self.names = set()

    def define(self, name, value, comment="", arguments=""):
        name = f"{self.prefix}_{name}"
        assert name not in self.names, f"{name} would be defined twice"
        self.names.add(name)
        self.lines.append(f"#define {name}{arguments} {value}" + (f" /* {comment} */" if comment else ""))

    def title(self, text):
        self.lines += ["", f"/* {text} */"]


def _macro(name):
    return re.sub(r"\W+", "_", name).upper()


def _snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)


def _enum(lines, name, members):
    """An enumeration; its constants begin with the block's name, so that packages do not collide."""
    stem = _snake(name).upper().removeprefix(f"{lines.prefix}_")
    constants = [f"{lines.prefix}_{stem}_{member} = {value}" for member, value in members.items()]
    lines.names.update(constant.split(" ")[0] for constant in constants)
    lines.title(name)
    lines.lines += [f"enum {lines.prefix.lower()}_{stem.lower()} {{",
                    *(f"    {constant}," for constant in constants), "};"]


def _arrays(fields):
    """Fields with array elements put together: (name without indices, first field, strides, one an index).

    ``picks.0.id`` and ``picks.1.id`` become ``picks.id`` with one stride. The elements of an array are equally far
    apart by construction.
    """
    groups = {}
    for field in fields:
        parts = field["name"].split(".")
        index = tuple(int(part) for part in parts if part.isdigit())
        groups.setdefault(".".join(part for part in parts if not part.isdigit()), {})[index] = field
    for name, elements in groups.items():
        zero = (0,) * len(next(iter(elements)))
        first, strides = elements[zero], []
        for place in range(len(zero)):
            second = elements.get((*zero[:place], 1, *zero[place + 1:]), first)
            strides.append(second["offset"] - first["offset"])
        for index, field in elements.items():
            offset = first["offset"] + sum(stride * at for stride, at in zip(strides, index))
            assert field["offset"] == offset, f"{field['name']} does not lie where its array says"
        yield name, first, strides, [max(at) + 1 for at in zip(*elements)]


def _mask(width):
    return f"UINT64_C({(1 << width) - 1:#x})"


def _port(lines, port):
    """Width of a port, and for each of its fields offset, width and mask; an array's offset takes the indices."""
    stem = _macro(port["name"].removesuffix("__payload"))
    kind = (", signed" if port["signed"] else "") + (f", {port['enum']}" if "enum" in port else "")
    lines.title(f"{port['name']}: {port['direction']}, {port['width']} bits{kind}")
    lines.define(f"{stem}_WIDTH", port["width"])
    if port.get("fields"):
        lines.define(f"{stem}_WORDS", -(-port["width"] // 32), "32-bit words")
        _fields(lines, stem, port["fields"])


def _register(lines, register):
    """Address and width of a register, and where its fields lie; an array's address takes the index."""
    stem = _macro("_".join(filter(None, ("reg", register["group"], register["name"]))))
    kind = (", signed" if register["signed"] else "") + (f", {register['enum']}" if "enum" in register else "")
    group = f"{register['group']}." if register["group"] else ""
    lines.title(f"{group}{register['name']}: register, {register['width']} bits{kind}")
    if register["count"] is None:
        lines.define(f"{stem}_ADDRESS", register["address"])
    else:
        lines.define(f"{stem}_ADDRESS", f"({register['address']} + (i))", f"i < {register['count']}", "(i)")
    lines.define(f"{stem}_WIDTH", register["width"])
    _fields(lines, stem, register["fields"])


def _fields(lines, stem, fields):
    for name, field, strides, lengths in _arrays(fields):
        macro = f"{stem}_{_macro(name)}" if name else f"{stem}_ELEMENT"
        about = [*(["signed"] if field["signed"] else []), *([field["enum"]] if "enum" in field else [])]
        letters = "ijkl"[:len(strides)]
        if strides:
            about.append(", ".join(f"{letter} < {length}" for letter, length in zip(letters, lengths)))
            terms = [str(field["offset"]), *(f"{stride} * ({letter})" for stride, letter in zip(strides, letters))]
            lines.define(f"{macro}_OFFSET", f"({' + '.join(terms)})", "; ".join(about), f"({', '.join(letters)})")
        else:
            lines.define(f"{macro}_OFFSET", field["offset"], "; ".join(about))
        lines.define(f"{macro}_WIDTH", field["width"])
        if field["width"] <= 64:
            lines.define(f"{macro}_MASK", _mask(field["width"]))


def header(description):
    """The text of the header. ``description`` is what ``BLOCK.json`` holds, see :func:`resilin.verilog.describe`."""
    block = description["block"]
    lines = _Lines(block)
    guard = f"RESILIN_{block.upper()}_H"
    lines.lines = [
        f"/* {block}: {description['summary']}", " *", f" * Generated by resilin {description['resilin']}; made by: "
        f"{description['command']}", " *",
        " * OFFSET and WIDTH of a field count bits of its port or register; MASK is that of its value, not shifted.",
        " * Fields of more than 64 bits have no mask.", " */", f"#ifndef {guard}", f"#define {guard}", "",
        "#include <stdint.h>"]
    for title, key in (("Parameters", "config"), ("Values that follow from the parameters", "derived")):
        if description[key]:
            lines.title(title)
            for name, value in description[key].items():
                shown = f'"{value}"' if isinstance(value, str) else int(value)
                lines.define(_macro(name), shown, description["descriptions"][name])
    for name, members in description["enums"].items():
        _enum(lines, name, members)
    for port in description["ports"]:
        if port["width"] > 1 or port.get("fields"):
            _port(lines, port)
    for register in description["registers"]:
        _register(lines, register)
    return "\n".join([*lines.lines, "", _ACCESS.format(block=block), f"#endif /* {guard} */", ""])
