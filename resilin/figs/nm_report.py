"""The record of ``resilin run nm`` as text."""

from resilin.tables import table

__all__ = ["text"]


def text(record):
    """Lines: what was run, cycles and input, quality, area."""
    config = record["config"]
    how = "whole layer on the golden engines: Y = W X" + (
        f"; on the RTL {record['rtl_outputs']} outputs and {record['rtl_tokens']} tokens: every sum, and the cycle of "
        "every word by the cycle model" if record["rtl"] else "; no RTL")
    lines = [
        f"MiniLM, last feed-forward block, {record['layer']} layer: {record['outputs']} outputs, {record['inputs']} "
        f"inputs, {record['tokens']} tokens, INT{config['weight_bits']}; "
        + (f"trained to the pattern by the FiGS recipe, {record['epochs']} epochs, seed {record['seed']}"
           if record["epochs"] else "greatest magnitudes, no training"),
        f"{config['rows']} x {config['columns'] * config['beta']} multipliers in every engine; {how}", "",
        *table(("ratio", "engine", "cycles", "speed-up", "used %", "held", "x bits", "port", "program bits", "both",
                "loaded Kbit"), [
            (row["ratio"], row["engine"], f"{row['cycles']:,}", f"{row['speedup']:.2f}",
             f"{100 * row['utilisation']:.1f}", f"{row['held']:,}", f"{row['activation_bits']:.0f}",
             f"{row['port_bits']:,}", f"{row['program_bits']:.0f}",
             f"{row['activation_bits'] + row['program_bits']:.0f}", f"{row['loaded_bits'] / 1024:,.0f}")
            for row in record["rows"]]),
        "", "speed-up: over the dense array. used: non-zero weights a multiplier and cycle, whole layer. held: cycles,",
        "of one pass of every tile, in which a beat was held. x bits: of activations that come in a schedule cycle, on",
        "average; port: width of their port. program bits: weights and control that a schedule cycle uses, from the",
        "memory in the engine. loaded: programs, once; loading them is not in the cycles.",
        "", *table(("ratio", "patterns", "missed", "cosine", "sentence"), _quality(record["rows"])), "",
        "missed: variance of the block's outputs that it gets wrong; cosine to the dense block's outputs; sentence:",
        "cosine of the sentence vectors; block in integers, evaluation text.",
    ]
    if "area" in record["rows"][0]:
        mapped = "least area" if record["period_ns"] is None else f"a period of {record['period_ns']:g} ns"
        tools = ", ".join(f"{name} {version}" for name, version in record["rows"][0]["area"]["tools"].items())
        headings = ("engine", "logic", "multipliers", "interconnect", "of the logic %", "memory bits", "MHz")
        lines += ["", f"areas: nangate45, um2, mapped for {mapped}, {tools}",
                  *table(headings, _areas(record["rows"])), "",
                  "multipliers: with the sums and the registers that they leave from. interconnect: all else.",
                  "memory bits: of programs."]
    return "\n".join(lines) + "\n"


def _quality(rows):
    seen = {}
    for row in rows:
        which = "shared by an element" if row["shared"] else "own"
        seen.setdefault((row["ratio"], which), row["quality"])
    return [(ratio, which, f"{quality['missed']:.3f}", f"{quality['cosine']:.3f}", f"{quality['sentence']:.3f}")
            for (ratio, which), quality in seen.items()]


def _areas(rows):
    seen = {}
    for row in rows:
        if row["engine"] != "FiGS, own patterns":
            seen.setdefault(row["engine"], row["area"])
    return [(name, f"{area['engine']:,.0f}", f"{area['lanes']:,.0f}", f"{area['interconnect']:,.0f}",
             f"{100 * area['interconnect'] / area['engine']:.1f}", f"{area['memory_bits']:,}",
             f"{area['mhz']:,.0f}") for name, area in seen.items()]
