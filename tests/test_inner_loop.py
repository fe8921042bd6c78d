"""Development: a single test starts without TensorFlow, and tests that need TensorFlow can be skipped."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

LIGHT = "tests/trainer/imaging/test_limits.py::test_nan_and_infinity_are_paper"
HEAVY = "tests/trainer/losses/test_losses.py"  # imports Keras at the top
CODE = """
import sys, pytest

class Report:
    def pytest_sessionfinish(self, session):
        print("processes:", session.config.getoption("numprocesses", None))

status = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:randomly", *sys.argv[1:]], plugins=[Report()])
print("tensorflow:", "tensorflow" in sys.modules)
sys.exit(status)
"""


def run(*arguments: str) -> str:
    """Run pytest in a subprocess; return what it prints, its number of processes and whether it imported TensorFlow."""
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_test_that_needs_no_tensorflow_neither_imports_it_nor_starts_other_processes():
    printed = run(LIGHT)
    assert "1 passed" in printed
    assert "processes: None" in printed
    assert "tensorflow: False" in printed


@pytest.mark.slow
def test_without_tensorflow_a_file_that_imports_it_is_skipped_with_the_reason():
    printed = run("--without-tensorflow", LIGHT, HEAVY)
    assert "1 passed, 1 skipped" in printed
    assert "needs TensorFlow" in printed
    assert "tensorflow: False" in printed
