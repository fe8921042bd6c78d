"""Windows and macOS: requirements by system, and runs without the modules that these systems do not have.

The modules are hidden on this machine; neither system itself is tested.
"""

import ast
import os
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from tests.conftest import CLASSIFIER_FLAGS, ROOT, serving
from tests.test_layers import SOURCES, imports, name

POSIX_ONLY = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
HIDE_MODULES = """
import ctypes, subprocess, sys, types  # subprocess first, because it detects Windows by msvcrt
def locking(descriptor, mode, size):
    if ctypes.CDLL(None).flock(descriptor, 2 if mode == 1 else 6):
        raise PermissionError(13, "held")
sys.modules.update(fcntl=None, uvloop=None, msvcrt=types.SimpleNamespace(locking=locking, LK_LOCK=1, LK_NBLCK=2))
"""


def list_requirements(tree: ast.Module) -> list[str]:
    """Return every requirement in setup.py, the strings in its lists but those of ``COMMANDS``."""
    assigned = [node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)]
    lists = [node.value for node in assigned if node.targets[0].id != "COMMANDS"]
    return [item.value for requirements in lists for item in requirements.elts]


@pytest.mark.parametrize(("system", "expected"), [("win32", False), ("darwin", True), ("linux", True)])
def test_uvloop_is_required_only_where_it_can_be_installed(system, expected):
    required = {"setup.py": list_requirements(ast.parse((ROOT / "setup.py").read_text()))}
    for file in ("predictor/requirements.in", "predictor/requirements.txt", "requirements.txt", "requirements-dev.txt"):
        required[file] = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")]
    environment = {"sys_platform": system, "platform_python_implementation": "CPython", "python_version": "3.11"}
    for file, lines in required.items():
        (uvloop,) = [parsed for parsed in map(Requirement, lines) if parsed.name == "uvloop"]
        assert (uvloop.marker is None or uvloop.marker.evaluate(environment)) == expected, file


def test_only_two_files_import_a_module_that_only_posix_has():
    users = {name(path) for path in SOURCES if POSIX_ONLY & {module.split(".")[0] for module in imports(path)}}
    assert users == {"trainer/documents/render.py", "trainer/storage/lock.py"}


@pytest.fixture
def other_system(tmp_path):
    """The environment of a process without fcntl and uvloop, which locks files as on Windows."""
    (tmp_path / "sitecustomize.py").write_text(HIDE_MODULES)
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}


@pytest.mark.slow
def test_a_run_is_prepared_and_locked_without_fcntl(other_system, scans, tmp_path):
    code = """
import sys
from trainer import prepare, task
from deploy import __main__
from trainer.storage import lock
assert prepare.main(sys.argv[1:]) == 0
with open(sys.argv[2] + "/../locked", "w") as first, open(sys.argv[2] + "/../locked", "w") as second:
    assert lock.try_acquire(first.fileno())
    assert not lock.try_acquire(second.fileno())
    first.close()
    lock.acquire(second.fileno())
print("done")
"""
    arguments = ["--train-dir", str(scans), "--job-dir", str(tmp_path / "job"), *CLASSIFIER_FLAGS]
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **other_system}, capture_output=True, text=True)
    assert done.stdout.endswith("done\n"), done.stderr[-2000:]


def test_the_server_answers_without_uvloop(other_system, artifact):
    with serving("--artifact", str(artifact), **other_system):
        pass  # the server is ready after it has replayed the golden answers
