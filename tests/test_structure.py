"""The house keeps its plan: layers, small files, one owner of the conductances, no pickles."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src/secateur").rglob("*.py"))
OUTSIDE_THE_CHIP = [path for path in SOURCES if "chip" not in path.parts[-2:-1]]
PAGES = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))]

# What a pulse writes to: no name of these may be touched outside the room that owns the cells.
CELL_STATE = {
    "_conductance", "_status", "_stuck", "_difference", "_deviation", "_address",
    "_change", "_switch", "_relax", "_break_down",
}  # fmt: skip


def touched(source: str) -> set[str]:
    """Attributes a module reads, writes or names in a string (for `setattr` and its like)."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


def test_nothing_outside_the_chip_room_touches_the_state_of_cells() -> None:
    for path in OUTSIDE_THE_CHIP:
        source = path.read_text(encoding="utf-8")
        reached = {
            node.attr
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Attribute)
            and node.attr in CELL_STATE
            # A class of another room may have a `_status` of its own, not one of a chip.
            and not (isinstance(node.value, ast.Name) and node.value.id == "self")
        }
        assert not reached, path
        assert not touched(source) & {"_conductance", "_change"}, path


def test_the_search_for_touched_state_finds_it() -> None:
    assert "_conductance" in touched("chip._conductance[3] = 1.0")
    assert "_conductance" in touched('setattr(chip, "_conductance", 1)')
    assert "_change" in touched("chip._change(cells, values)")
    assert touched("law.high_conductance") == {"high_conductance"}


def test_every_room_imports_only_the_rooms_above_it() -> None:
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    command = command or shutil.which("lint-imports")
    if command is None:
        pytest.skip("import-linter is not installed: pip install secateur[dev]")
    result = subprocess.run(
        [command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_files_stay_small() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PAGES}
    assert not {str(path): number for path, number in lines.items() if number > 400}


def names_of_imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_nothing_is_unpickled() -> None:
    """A checkpoint from elsewhere must not be able to run code."""
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not {"pickle", "cPickle", "dill"} & set(names_of_imports(tree)), path
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "weights_only"):
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is (node.arg == "weights_only"), path
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert any(keyword.arg == "weights_only" for keyword in node.keywords), path


def test_no_file_is_a_drawer_for_anything_and_no_state_is_global() -> None:
    for path in SOURCES:
        assert path.stem not in ("utils", "helpers", "misc", "common"), path
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)], path
