"""The worked example of CONTRIBUTING.md: three new files, and they train."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.artifact import manifest

ROOT = Path(__file__).parent.parent
EXAMPLE = re.compile(r"```python example=(\S+)\n(.*?)```", re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(600)  # generates, tests and trains in three processes
def test_the_worked_example_trains(tmp_path):
    shutil.copytree(ROOT / "trainer", tmp_path / "trainer", ignore=shutil.ignore_patterns("__pycache__"))
    examples = EXAMPLE.findall((ROOT / "CONTRIBUTING.md").read_text())
    assert {Path(path).parent.name for path, _ in examples} == {"backbones", "corpora", "problems"}
    for path, code in examples:
        (tmp_path / path).write_text(code)
    scans = tmp_path / "scans"
    run(tmp_path, "trainer.samples", "generated", "--writers", "12", "--genuine", "2", "--forged", "0", "--text", "2")
    scans.mkdir()
    for number, image in enumerate(sorted((tmp_path / "generated").rglob("*.*"))):
        if image.parent.name in ("signature", "text"):
            label = {"signature": "signature", "text": "stamp"}[image.parent.name]
            shutil.copy(image, scans / f"{label}-{image.stem.split('_')[0]}-{number}{image.suffix}")
    size = ("--image-height", "32", "--image-width", "64", "--epochs", "1", "--batch-size", "8")
    named = ("--problem", "stamp_vs_signature", "--backbone", "tiny", "--train-dir", "scans", "--job-dir", "job")
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    contract = ("tests/contract/test_models.py", "-k", "tiny and stamp_vs_signature and features", "-n", "0", "-q")
    assert "1 passed" in run(tmp_path, "pytest", *contract)
    output = run(tmp_path, "trainer.task", *named, *size)
    assert "dashed_names" in output, "the layout was detected"
    trained = manifest.read(tmp_path / "job" / "model")
    assert (trained.problem, trained.backbone, trained.labels) == ("stamp_vs_signature", "tiny", ["signature", "stamp"])


def run(folder: Path, module: str, *arguments: str) -> str:
    """Run a command of the copy; return what it printed."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
