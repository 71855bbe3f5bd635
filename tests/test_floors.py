"""The order of the house: imports go downward only, the lowest floors know no JAX, files stay small."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "jaxicm"
FLOORS = (
    {"errors"},
    {"configuration", "compilation", "interruption", "memory", "processors", "stopwatch"},
    {"bits", "media"},
    {"ops"},
    {"nn"},
    {"entropy"},
    {"models", "tasks"},
    {"objectives", "adapt"},
    {"codecs"},
    {"train", "evaluate"},
    {"cli"},
)
"""From the ground up. What stands on one floor does not import its neighbours either."""
FLOOR = {name: level for level, names in enumerate(FLOORS) for name in names}
JAX = {"jax", "jaxlib", "flax", "optax", "orbax", "chex"}
WITHOUT_JAX = {"errors", "configuration", "interruption", "memory", "processors", "bits", "media"}
"""Packages that import no JAX, not even inside a function."""
LINES = 350
VAGUE = {"utils.py", "util.py", "helpers.py", "helper.py", "common.py", "misc.py"}


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(tree: ast.AST, module: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the full dotted name of everything imported below `tree`, relative imports resolved.

    Args:
      tree: of the file or a part of it.
      module: parts of the file's own name, its last part the file.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module[: len(module) - node.level] if node.level else ()
            named = tuple(node.module.split(".")) if node.module else ()
            yield from ((*base, *named, alias.name) for alias in node.names)


def part_of(path: Path) -> str:
    """Return the package or top module of `jaxicm` that a file belongs to."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported(path: Path) -> list[tuple[str, ...]]:
    module = ("jaxicm", *path.relative_to(PACKAGE).with_suffix("").parts)
    return list(imports(ast.parse(path.read_text(encoding="utf-8")), module))


def test_every_package_has_a_floor():
    parts = {part_of(path) for path in files()} - {"__init__"}
    assert parts <= FLOOR.keys(), "give a new package its place in the order"


def test_imports_go_downward_only():
    wrong = []
    for path in files():
        own = part_of(path)
        for name in imported(path):
            if name[0] != "jaxicm" or own == "__init__" or len(name) < 2:
                continue
            other = name[1]
            # The interface `jaxicm.load` and so on belongs to those who stand above the codecs.
            level = FLOOR.get(other, FLOOR["codecs"])
            if other != own and level >= FLOOR[own]:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {'.'.join(name)}")
    assert not wrong


def test_the_public_interface_is_imported_only_above_the_codecs():
    users = {part_of(path) for path in files() if ("jaxicm",) in imported(path)}
    assert users <= {"__init__", "train", "evaluate", "cli"}


def test_the_lowest_floors_name_no_jax():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {'.'.join(name)}"
        for path in files()
        if part_of(path) in WITHOUT_JAX | {"__init__"}
        for name in imported(path)
        if name[0] in JAX
    ]
    assert not wrong


def test_codecs_do_not_train_and_nothing_needs_the_command_line():
    for path in files():
        parts = {name[1] for name in imported(path) if name[0] == "jaxicm" and len(name) > 1}
        assert "cli" not in parts or part_of(path) == "cli", path
        assert "train" not in parts or part_of(path) in {"train", "cli"}, path


QUICK = [
    "jaxicm",
    "jaxicm.bits.rans",
    "jaxicm.media.pictures",
    "jaxicm.codecs.zoo",
    "jaxicm.cli.main",
]


@pytest.mark.parametrize("module", QUICK)
def test_importing_it_imports_no_jax(module):
    program = f"import sys, {module}; sys.exit(' '.join({JAX!r} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_imports_nothing_heavy():
    program = "import sys, jaxicm; sys.exit(' '.join({'numpy', 'PIL', 'typer'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_files_hold_one_concept():
    long = {str(path.relative_to(PACKAGE)): n for path in files() if (n := len(path.read_text().splitlines())) > LINES}
    assert not long, f"files of more than {LINES} lines: split them by concept"
    assert not [path for path in files() if path.name in VAGUE]


def test_an_upward_import_is_found():
    """The test of the test: each spelling of an import is resolved."""
    source = "from ..codecs import image\nimport jaxicm.train.loop\nfrom . import tables\n"
    source += "def f():\n    from jaxicm.cli import main\n"
    found = list(imports(ast.parse(source), ("jaxicm", "bits", "rans")))
    assert [".".join(name) for name in found] == [
        "jaxicm.codecs.image", "jaxicm.train.loop", "jaxicm.bits.tables", "jaxicm.cli.main",
    ]  # fmt: skip
