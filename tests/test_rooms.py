"""The rooms of docs/architecture.md, measured from imports: no circles, no two-way folders, short chains, thin root."""

import ast
import graphlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("trainer", "predictor", "deploy")
FILES = {path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
MAX_LEVELS = 8  # files in the longest chain of imports
COMMANDS = {"task", "prepare", "evaluate", "enrol", "calibrate", "variant", "preprocess", "twin"}  # twin: a former name


def find_file(module: str) -> str | None:
    """Return the file of a module of this project, else None."""
    base = module.replace(".", "/")
    return next((file for file in (f"{base}.py", f"{base}/__init__.py") if file in FILES), None)


def is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


@cache
def list_imports(file: str) -> frozenset[str]:
    """Return the files of this project that a file imports, also inside functions, but not for type checkers alone."""
    tree = ast.parse((ROOT / file).read_text())
    skipped = {id(inner) for node in ast.walk(tree) if is_for_type_checkers(node) for inner in ast.walk(node)}
    imported = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            imported |= {find_file(f"{node.module}.{alias.name}") or find_file(node.module) for alias in node.names}
        elif isinstance(node, ast.Import):
            imported |= {find_file(alias.name) for alias in node.names}
    return frozenset(imported - {None, file})  # type: ignore[arg-type]


def find_folder(file: str) -> str | None:
    """Return the folder of a file below a package, as ``trainer/data``, else None."""
    parts = file.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else None


def test_no_files_import_each_other_in_a_circle():
    graphlib.TopologicalSorter({file: list_imports(file) for file in FILES}).prepare()  # raises CycleError


def test_no_chain_of_imports_is_too_long():
    @cache
    def measure_level(file: str) -> int:
        return 1 + max(map(measure_level, list_imports(file)), default=0)

    assert [file for file in FILES if measure_level(file) > MAX_LEVELS] == []


def test_no_two_folders_import_each_other():
    arrows = {(find_folder(file), find_folder(imported)) for file in FILES for imported in list_imports(file)}
    assert [(a, b) for a, b in arrows if a and b and a < b and (b, a) in arrows] == []


def test_only_commands_lie_at_the_root_of_trainer():
    assert {path.stem for path in (ROOT / "trainer").glob("*.py")} == {"__init__", *COMMANDS}


def test_the_picture_of_the_architecture_names_every_room():
    page = (ROOT / "docs" / "architecture.md").read_text()
    rooms = {path.parent.name for path in (ROOT / "trainer").glob("*/__init__.py")}
    assert [room for room in rooms if f"{room}/" not in page] == []
