"""The house's arrows, enforced by reading imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path for room in ("trainer", "predictor", "deploy") for path in (ROOT / room).rglob("*.py"))
SHARED_WITH_PREDICTOR = ("trainer.imaging", "trainer.artifact", "trainer.storage", "trainer.flags")
SHARED_WITH_DEPLOY = (
    "trainer.artifact.manifest", "trainer.artifact.recorded", "trainer.storage", "trainer.flags", "trainer.plugins",
    "trainer.errors", "trainer.imaging", "trainer.config", "trainer.toml",
)  # fmt: skip


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Every module a file imports, ``from a import b`` as ``a.b``."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def inside(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_room_imports_only_what_its_arrows_allow(path):
    room = name(path).split("/")[0]
    ours = {module for module in imports(path) if inside(module, "trainer", "predictor", "deploy")}
    allowed = {
        "trainer": ("trainer",),
        "predictor": ("predictor", *SHARED_WITH_PREDICTOR),
        "deploy": ("deploy", *SHARED_WITH_DEPLOY),
    }[room]
    # "from trainer import storage" names the same module as "import trainer.storage"
    assert {module for module in ours if not inside(module, *allowed)} == set()


@pytest.mark.parametrize("path", [p for p in SOURCES if "/imaging/" in name(p)], ids=name)
def test_imaging_knows_only_numpy_pillow_and_opencv(path):
    stdlib = sys.stdlib_module_names
    outside = {module for module in imports(path) if module.split(".")[0] not in stdlib}
    # The command writes what layouts read back; the package itself knows no layout.
    allowed = ("trainer.flags", "trainer.progress", "trainer.corpora", "trainer.plugins")
    command_line = allowed if path.name == "__main__.py" else ()
    assert {m for m in outside if not inside(m, "numpy", "PIL", "cv2", "trainer.imaging", *command_line)} == set()


@pytest.mark.parametrize("path", [p for p in SOURCES if "/artifact/" in name(p)], ids=name)
def test_the_artefact_imports_no_tensorflow_at_import(path):
    assert not {m for m in imports(path, top_level_only=True) if inside(m, "tensorflow", "keras", "sklearn")}


def test_the_manifest_needs_only_the_standard_library():
    modules = imports(ROOT / "trainer/artifact/manifest.py")
    assert {m for m in modules if m.split(".")[0] not in sys.stdlib_module_names} == {"trainer.errors.UserError"}


def test_only_storage_imports_cloud_storage():
    users = {name(p) for p in SOURCES if any(inside(m, "google.cloud.storage") for m in imports(p))}
    assert users == {"trainer/storage/objects.py"}


def test_only_two_files_import_the_vertex_sdk():
    sdk = ("google.cloud.aiplatform", "google.cloud.aiplatform_v1", "vertexai")
    users = {name(p) for p in SOURCES if any(inside(m, *sdk) for m in imports(p))}
    assert users == {"deploy/vertex.py", "trainer/experiments.py"}


@pytest.mark.parametrize("module", ["predictor.app", "predictor.offline", "predictor.request", "deploy.__main__"])
def test_serving_and_deploying_load_no_tensorflow(module):
    heavy = "{'tensorflow', 'keras', 'sklearn', 'matplotlib', 'scipy'}"
    code = f"import sys, {module}; loaded = {heavy} & set(sys.modules); assert not loaded, loaded"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_file_says_what_it_is_for_and_stays_readable(path):
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), "the first lines say what the file is for"
    assert text.count("\n") <= 300


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_every_public_function_and_class_has_a_docstring_where_it_is_not_one_line(path):
    tree = ast.parse(path.read_text())
    missing = [
        node.name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and node.end_lineno - node.lineno > 4
    ]
    assert missing == []
