"""Generation: what comes out means what went in, once a distinct module, the same bytes every time."""

import os
import re
import subprocess
import sys

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Assert, Module, Signal, signed
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw import hierarchy
from hw.generate import GenerateError, generate, yosys
from hw.shared import shared
from resilin import registry, verilog
from synth.lint import lint

WORD = data.StructLayout({"low": 4, "high": signed(4)})


class Element(wiring.Component):
    """A register, a memory and an accumulator: state of every kind, of a given width."""

    def __init__(self, width, step=1):
        self.step = step
        super().__init__({"a": In(signed(width)), "b": In(signed(width)), "write": In(1), "unused": In(3),
                          "acc": Out(signed(2 * width)), "word": Out(width)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.mem = mem = memory.Memory(shape=len(self.a), depth=2, init=[1, 2])
        write, read = mem.write_port(), mem.read_port()
        m.d.comb += [write.addr.eq(self.a[0]), write.data.eq(self.b), write.en.eq(self.write), read.addr.eq(self.b[0]),
                     self.word.eq(read.data)]
        with m.If(self.write):
            m.d.sync += self.acc.eq(self.acc + self.a * self.b)
        with m.Else():
            m.d.sync += self.acc.eq(self.acc + self.step)
        return m


class Row(wiring.Component):
    """Elements in a chain, with constants and shared nets at their ports, and a submodule without a signature."""

    def __init__(self, widths, steps=None, element=Element):
        self.elements = [element(width, step) for width, step in zip(widths, steps or [1] * len(widths))]
        super().__init__({"i": In(stream.Signature(WORD)), "o": Out(stream.Signature(WORD)), "sum": Out(8)})

    def elaborate(self, platform):
        m = Module()
        before = self.i.payload.as_value()
        for index, element in enumerate(self.elements):
            m.submodules[f"element_{index}"] = element
            m.d.comb += [element.a.eq(before), element.b.eq(3 if index == 0 else before),
                         element.write.eq(self.i.valid)]
            before = element.acc
        m.submodules.count = count = Module()
        beats = Signal(3)
        count.d.sync += beats.eq(beats + self.i.valid)
        m.d.comb += [self.sum.eq(before ^ self.elements[0].word), self.o.payload.eq(before),
                     self.o.valid.eq(beats == 7), self.i.ready.eq(1)]
        return m


class Checked(wiring.Component):
    i: In(2)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += Assert(self.i != 3, "three is not allowed")
        return m


def modules(verilog):
    return re.findall(r"^module (\S+?) ?\(", verilog, re.MULTILINE)


def equivalent(gold, gate):
    """Whether Yosys proves two RTLIL designs, both with top ``top``, equal: every output and every register."""
    prepare = "hierarchy -top top; proc; flatten; memory; opt -full; rename top"
    files = yosys(f"""
        read_rtlil gold.il
        {prepare} gold; design -stash gold
        read_rtlil gate.il
        {prepare} gate; design -stash gate
        design -copy-from gold -as gold gold
        design -copy-from gate -as gate gate
        equiv_make gold gate both
        hierarchy -top both
        equiv_simple -undef
        equiv_induct -undef
        tee -o result.txt equiv_status both
    """, {"gold.il": gold, "gate.il": gate})
    proven = re.search(r"(\d+) are proven and (\d+) are unproven", files["result.txt"])
    assert int(proven[1]) > 20, "the proof compared next to nothing"
    return int(proven[2]) == 0


def plain(component):
    return rtlil.convert(component, name="top", emit_src=False)


def test_equal_elements_are_one_module():
    assert modules(generate(Row([4] * 6), "row")) == ["row", "row_count", "row_element"]


def test_different_parameters_are_different_modules():
    verilog = generate(Row([4, 4, 4, 4], steps=[1, 2, 1, 2]), "row")
    assert modules(verilog) == ["row", "row_count", "row_element", "row_element_2"]
    kinds = re.findall(r"^  row_(element\S*) (element_\d) ", verilog, re.MULTILINE)
    assert sorted((name, kind) for kind, name in kinds) == [
        ("element_0", "element"), ("element_1", "element_2"), ("element_2", "element"), ("element_3", "element_2")]


@pytest.mark.parametrize("widths, steps", [([4, 4, 4], [1, 1, 1]), ([4, 4, 4], [1, 2, 1]), ([3, 4, 5], [1, 1, 1])])
def test_netlist_equals_amaranths_own(widths, steps):
    assert equivalent(plain(Row(widths, steps)), hierarchy.convert(Row(widths, steps), "top"))


def test_verilog_equals_amaranths_own():
    verilog = generate(Row([4, 4]), "top")
    files = yosys("read_verilog -sv top.v\nproc\nwrite_rtlil top.il", {"top.v": verilog})
    assert equivalent(plain(Row([4, 4])), files["top.il"])


def test_the_proof_can_fail():
    assert not equivalent(plain(Row([4, 4, 4])), hierarchy.convert(Row([4, 4, 4], [1, 2, 1]), "top"))


def test_shared_components_are_elaborated_once():
    made = []

    @shared
    class Counted(Element):
        def elaborate(self, platform):
            made.append(self)
            return super().elaborate(platform)

    def row(steps):
        return Row([4] * len(steps), steps, Counted)

    text = hierarchy.convert(row([1, 2, 1, 2, 1]), "top")
    assert len(made) == 2
    assert equivalent(plain(row([1, 2, 1, 2, 1])), text)
    assert len(made) == 7, "elaborated as usual outside of generation"


def test_ports_are_those_of_the_signature_in_its_order():
    verilog = generate(Row([4, 4]), "row")
    assert "module row(clk, rst, i__payload, i__valid, o__ready, i__ready, o__payload, o__valid, sum);" in verilog
    assert "module row_element(clk, rst, a, b, write, unused, acc, word);" in verilog


def test_assertions_are_in_the_verilog():
    assert re.search(r"^ *assert ", generate(Checked(), "checked"), re.MULTILINE)


def test_header():
    assert generate(Checked(), "checked", ["one", "", "two"]).startswith("// one\n//\n// two\n\nmodule checked(")


def test_equal_memory_contents_are_a_loop():
    class Store(wiring.Component):
        a: In(3)
        q: Out(8)

        def elaborate(self, platform):
            m = Module()
            m.submodules.mem = mem = memory.Memory(shape=8, depth=8, init=[7] * 8)
            read = mem.read_port()
            m.d.comb += [read.addr.eq(self.a), self.q.eq(read.data)]
            return m

    verilog = generate(Store(), "top")
    assert "for (i = 0; i <= 7; i = i + 1) mem[i] = 8'h07;" in verilog
    files = yosys("read_verilog -sv top.v\nproc\nmemory\nopt\nstat\nwrite_rtlil top.il", {"top.v": verilog})
    assert "8'00000111" in files["top.il"]


def test_same_bytes_under_any_hash_seed():
    code = ("from tests.test_generate import Row, generate; import sys; "
            "sys.stdout.write(generate(Row([4, 5, 4, 5]), 'row', ['header']))")
    outputs = {subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, check=True,
                              capture_output=True, text=True).stdout for seed in ("0", "1", "77")}
    assert len(outputs) == 1 and "module row(" in outputs.pop()


def test_yosys_error_is_told():
    with pytest.raises(GenerateError, match="No such command"):
        yosys("no_such_pass", {})


def write_and_lint(block, preset, folder):
    """Generate a registered block, expect no lint warning, and return its Verilog."""
    path, _ = verilog.write_block(block, block.config_class.preset(preset), folder)
    assert lint(path) == []
    return path.read_text()


@pytest.mark.parametrize("block", registry.BLOCKS, ids=lambda block: block.name)
def test_blocks_are_clean(block, tmp_path):
    text = write_and_lint(block, "small", tmp_path)
    assert modules(text)[0] == block.name and "assert" not in text
    # A name with a backslash is a word of Verilog: an instance in a user's own file would not compile.
    ports = re.search(rf"module {block.name}\((.*?)\);", text, re.S)[1]
    assert "clk" in ports and "\\" not in ports


@pytest.mark.slow
@pytest.mark.parametrize("block", registry.BLOCKS, ids=lambda block: block.name)
def test_blocks_of_the_paper_are_clean(block, tmp_path):
    # Equal modules are one: the sixteen by sixteen elements of an array, for example.
    assert len(modules(write_and_lint(block, "paper", tmp_path))) < 100
