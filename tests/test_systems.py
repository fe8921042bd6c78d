"""What Windows and macOS lack is not needed: requirements by system, and runs without the missing modules.

The modules are hidden on this machine; neither system itself is tried here.
"""

import ast
import os
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT, SMALL_RUN, serving
from tests.test_layers import SOURCES, imports, name

POSIX_ONLY = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
ELSEWHERE = """
import ctypes, subprocess, sys, types  # subprocess before: by msvcrt it knows Windows
def locking(descriptor, mode, size):
    if ctypes.CDLL(None).flock(descriptor, 2 if mode == 1 else 6):
        raise PermissionError(13, "held")
sys.modules.update(fcntl=None, uvloop=None, msvcrt=types.SimpleNamespace(locking=locking, LK_LOCK=1, LK_NBLCK=2))
"""


def stated(tree: ast.Module) -> list[str]:
    """Every requirement in setup.py."""
    lists = [node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)]
    return [item.value for each in lists for item in each.elts]


@pytest.mark.parametrize(("system", "expected"), [("win32", False), ("darwin", True), ("linux", True)])
def test_uvloop_is_asked_for_only_where_it_can_be_installed(system, expected):
    asked = {"setup.py": stated(ast.parse((ROOT / "setup.py").read_text()))}
    for file in ("predictor/requirements.in", "predictor/requirements.txt", "requirements.txt", "requirements-dev.txt"):
        asked[file] = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")]
    environment = {"sys_platform": system, "platform_python_implementation": "CPython", "python_version": "3.11"}
    for file, lines in asked.items():
        (found,) = [parsed for parsed in map(Requirement, lines) if parsed.name == "uvloop"]
        assert (found.marker is None or found.marker.evaluate(environment)) == expected, file


def test_one_file_imports_what_only_posix_has_and_does_without():
    users = {name(path) for path in SOURCES if POSIX_ONLY & {module.split(".")[0] for module in imports(path)}}
    assert users == {"trainer/storage/lock.py"}


@pytest.fixture
def elsewhere(tmp_path):
    """The environment of a process that finds no fcntl and no uvloop, and locks files as Windows does."""
    (tmp_path / "sitecustomize.py").write_text(ELSEWHERE)
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}


@pytest.mark.slow
def test_a_run_is_prepared_and_locked_without_fcntl(elsewhere, scans, tmp_path):
    code = """
import sys
from trainer import prepare, task
from deploy import __main__
from trainer.storage import lock
assert prepare.main(sys.argv[1:]) == 0
with open(sys.argv[2] + "/../held", "w") as one, open(sys.argv[2] + "/../held", "w") as two:
    assert lock.hold(one.fileno())
    assert not lock.hold(two.fileno())
    one.close()
    lock.wait(two.fileno())
print("done")
"""
    command = [sys.executable, "-c", code, "--train-dir", str(scans), "--job-dir", str(tmp_path / "job"), *SMALL_RUN]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **elsewhere}, capture_output=True, text=True)
    assert done.stdout.endswith("done\n"), done.stderr[-2000:]


def test_the_server_answers_without_uvloop(elsewhere, artifact):
    with serving("--model", str(artifact), **elsewhere):
        pass  # ready means: golden answers reproduced
