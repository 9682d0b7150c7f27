"""The shape of the repository: who imports whom, what every block has, and that the documentation is true."""

import ast
import importlib
import pathlib
import re
import shlex

import pytest
from amaranth.hdl import Fragment

from resilin import cli, jobs, registry

ROOT = pathlib.Path(__file__).resolve().parents[1]
OURS = ("hw", "golden", "sim", "synth", "resilin", "tests")
SHARED = ("hw.arith", "hw.stream", "hw.memory", "hw.bus", "hw.config", "hw.registers", "hw.shared")
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path):
    """Full names of everything of ours that a Python file imports, at any depth."""
    package = name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[:len(package) - node.level + 1]) if node.level else ""
            base = ".".join(filter(None, [base, node.module]))
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return {name for name in found if name.split(".")[0] in OURS}


def files(folder):
    return sorted((ROOT / folder).rglob("*.py"))


def test_imports_are_seen():
    assert "resilin.registry" in imports(ROOT / "resilin" / "simulate.py")
    assert "hw.generate.generate" in imports(ROOT / "resilin" / "simulate.py")


@pytest.mark.parametrize("folder, allowed", [
    ("hw", {"hw"}), ("golden", {"golden"}), ("sim", {"sim"}), ("synth", {"synth"}),
    ("resilin", {"hw", "golden", "sim", "synth", "resilin"}),
])
def test_imports_go_one_way(folder, allowed):
    wrong = [f"{name_of(path)} imports {name}" for path in files(folder) for name in sorted(imports(path))
             if name.split(".")[0] not in allowed]
    assert not wrong, "\n".join(wrong)


def test_systems_do_not_import_each_other():
    systems = {block.system for block in registry.BLOCKS}
    wrong = []
    for path in files("hw"):
        place = path.relative_to(ROOT / "hw").parts[0]
        allowed = (*SHARED, f"hw.{place}") if place in systems else ("hw",)
        for name in sorted(imports(path)):
            if not name.startswith(tuple(allowed)) or place not in systems and name.split(".")[1] in systems:
                wrong.append(f"{name_of(path)} imports {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("block", registry.BLOCKS, ids=lambda block: block.name)
def test_every_block_is_whole(block):
    missing = [path for path in (f"hw/{block.system}/{block.name}.py", f"golden/{block.system}/{block.name}.py",
                                 f"tests/{block.system}/test_{block.name}.py", block.page)
               if not (ROOT / path).is_file()]
    assert not missing, f"{block.name} lacks {', '.join(missing)}"
    assert issubclass(block.component_class, object) and block.component_class.__doc__
    importlib.import_module(block.golden)


def first_column(page, heading):
    """The names in backticks in the first column of the table under a heading."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    return re.findall(r"^\| `(\w+)`", section[1], re.MULTILINE) if section else []


@pytest.mark.parametrize("block", registry.BLOCKS, ids=lambda block: block.name)
def test_page_lists_every_parameter_and_port(block):
    page = (ROOT / block.page).read_text()
    assert sorted(first_column(page, "Parameters")) == sorted(block.config_class().to_dict())
    small = block.component_class(block.config_class.preset("small"))
    Fragment.get(small, None)  # Amaranth warns of a component that is dropped
    assert sorted(first_column(page, "Ports")) == sorted(small.signature.members)


def spans(page):
    """Everything a page shows as code: inline spans and the lines of blocks."""
    blocks = re.findall(r"^```.*?\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL))
    return [*inline, *(line for block in blocks for line in block.splitlines())]


def options(*words):
    """All option strings of the parser that a command line reaches."""
    parser, found = cli.build_parser(words), set()
    for word in (None, *words):
        choices = next((action.choices for action in parser._actions if hasattr(action, "add_parser")), None)
        if word is not None and choices and word in choices:
            parser = choices[word]
        found.update(option for action in parser._actions for option in action.option_strings)
    return found


def documented_commands():
    """Command lines of ours in README.md and docs/."""
    for path in PAGES:
        for span in spans(path.read_text()):
            span = re.sub(r"^\s*\$ ", "", span).split("#")[0].strip()
            if re.match(r"(\.venv/bin/)?resilin( |$)", span):
                yield pytest.param(span, id=f"{path.stem}: {span}")


@pytest.mark.parametrize("command", list(documented_commands()))
def test_documented_command_exists(command):
    _, *words = shlex.split(command.replace("[", "").replace("]", ""))
    plain = [word for word in words if not word.startswith("-")]
    assert not plain or plain[0] in (*cli.COMMANDS, "COMMAND"), command
    if plain[:1] == ["run"] and len(plain) > 1:
        assert plain[1] in (*jobs.names(), "JOB"), command
    for word in words:
        if word.startswith("-"):
            assert word.split("=")[0] in options(*words), f"{command}: there is no {word}"


def test_documented_make_targets_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in PAGES:
        for span in spans(path.read_text()):
            if used := re.match(r"(?:\$ )?make ([a-z-]+)$", span):
                assert used[1] in targets, f"{path.name}: {span}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_lines_are_short():
    long = [f"{path.relative_to(ROOT)}:{number}" for folder in OURS for path in files(folder)
            for number, line in enumerate(path.read_text().splitlines(), 1) if len(line) > 120]
    assert not long, "\n".join(long)


def test_lock_file_pins_the_dependencies():
    pins = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().splitlines()
                if line and not line.startswith("#"))
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    declared = re.search(r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    for name, exact in re.findall(r'"([\w-]+)(?:==([^"]+))?[^"]*"', declared[1]):
        assert name.lower() in pins and exact in ("", pins[name.lower()]), name
