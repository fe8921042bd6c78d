"""The rules of the code, checked in its syntax trees: which package imports which, docstrings, lengths of files."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("trainer", "predictor", "deploy")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
SHARED = (
    "trainer.console",
    "trainer.documents",
    "trainer.enrolment",
    "trainer.imaging",
    "trainer.parallel",
    "trainer.ready",
    "trainer.settings",
    "trainer.storage",
)
ALLOWED = {
    "trainer": ("trainer",),
    "predictor": (
        "predictor",
        "trainer.artifact",
        *(f"trainer.beam.{name}" for name in ("options", "running", "work_folder")),
        *SHARED,
    ),
    "deploy": (
        "deploy",
        *(f"trainer.artifact.{name}" for name in ("card", "manifest", "golden_file", "monitoring")),
        *SHARED,
    ),
}
MAX_LINES = 300  # lines of a file


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Return the names of the modules that a file imports; ``from a import b`` is ``a.b``."""
    tree = ast.parse(path.read_text())
    modules = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


def inside(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def below(folder: str) -> list[Path]:
    """Return the sources in a folder, which must not be empty, because a test of no file proves nothing."""
    paths = [path for path in SOURCES if path.is_relative_to(ROOT / folder)]
    assert paths
    return paths


def test_a_package_imports_only_the_modules_that_are_allowed_for_it():
    forbidden = [
        f"{name(path)} imports {module}"
        for package, allowed in ALLOWED.items()
        for path in below(package)
        for module in imports(path)
        if inside(module, *PACKAGES) and not inside(module, *allowed)
    ]
    assert not forbidden, "\n".join(forbidden)


def test_imaging_imports_only_numpy_pillow_and_opencv():
    forbidden = [
        f"{name(path)} imports {module}"
        for path in below("trainer/imaging")
        for module in imports(path)
        if module.split(".")[0] not in sys.stdlib_module_names
        and not inside(module, "numpy", "PIL", "cv2", "trainer.imaging")
    ]
    assert not forbidden, "\n".join(forbidden)


def test_documents_import_only_numpy_pillow_pypdfium2_and_imaging():
    forbidden = [
        f"{name(path)} imports {module}"
        for path in below("trainer/documents")
        for module in imports(path)
        if module.split(".")[0] not in sys.stdlib_module_names
        and not inside(module, "numpy", "PIL", "pypdfium2_raw", "trainer.imaging", "trainer.documents")
    ]
    assert not forbidden, "\n".join(forbidden)


def test_the_artefact_imports_no_tensorflow_at_import():
    forbidden = [
        f"{name(path)} imports {module}"
        for path in below("trainer/artifact")
        for module in imports(path, top_level_only=True)
        if inside(module, "tensorflow", "keras", "sklearn")
    ]
    assert not forbidden, "\n".join(forbidden)


def test_the_manifest_needs_only_the_standard_library():
    modules = imports(ROOT / "trainer/artifact/manifest.py")
    foreign = {m for m in modules if m.split(".")[0] not in sys.stdlib_module_names}
    assert foreign == {"trainer.console.errors.UserError"}


def test_only_storage_imports_cloud_storage():
    users = {name(p) for p in SOURCES if any(inside(m, "google.cloud.storage") for m in imports(p))}
    assert users == {"trainer/storage/objects.py"}


def test_only_two_files_import_the_vertex_sdk():
    sdk = ("google.cloud.aiplatform", "google.cloud.aiplatform_v1", "vertexai")
    users = {name(p) for p in SOURCES if any(inside(m, *sdk) for m in imports(p))}
    assert users == {"deploy/vertex.py", "trainer/vertex/experiments.py"}


@pytest.mark.parametrize("module", ["predictor.app", "predictor.offline", "predictor.request", "deploy.__main__"])
def test_serving_and_deploying_load_no_tensorflow(module):
    heavy = "{'tensorflow', 'keras', 'sklearn', 'matplotlib', 'scipy', 'pyarrow', 'apache_beam'}"
    code = f"import sys, {module}; loaded = {heavy} & set(sys.modules); assert not loaded, loaded"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_file_has_a_docstring():
    missing = [name(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not missing, "\n".join(missing)


def test_no_file_is_too_long():
    num_lines = {name(path): path.read_text().count("\n") for path in SOURCES}
    too_long = [f"{path}: {count} lines" for path, count in num_lines.items() if count > MAX_LINES]
    assert not too_long, "\n".join(too_long)


def test_every_public_function_and_class_of_more_than_a_few_lines_has_a_docstring():
    missing = [
        f"{name(path)}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and node.end_lineno - node.lineno > 4
    ]
    assert not missing, "\n".join(missing)
