"""Every Python block of docs/python.md runs in the order of the page, in one namespace, as a reader would type it."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "python.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def reader_dir(artifact, verifier_artifact, scans, verification_data, tmp_path, monkeypatch) -> Path:
    """A folder with what the page's first paragraph names, and the PNG file that it opens; the working directory."""
    for name, target in {
        "runs/mine/model": artifact,
        "runs/verifier/model": verifier_artifact,
        "scans": scans,
        "writers": verification_data,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(target)
    assert (tmp_path / "scans" / "signature" / "001_000.png").exists()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_python_block_runs_in_the_order_of_the_page(reader_dir, capsys):
    text = PAGE.read_text()
    namespace = {"__name__": "__main__"}
    for block in BLOCK.finditer(text):
        first_line = text[: block.start()].count("\n") + 1
        code = compile("\n" * first_line + block[1], str(PAGE), "exec")  # so that a traceback names the page's line
        exec(code, namespace)  # the page is ours
    printed = capsys.readouterr().out
    assert "unreadable_image - " in printed, "the first of the errors that the page shows"
    assert "does not answer verify" in printed
    assert "verify takes 1 to 255" in printed
    assert len(namespace["decisions"]) == len(namespace["genuine"])


def test_every_block_of_the_page_is_python():
    fences = re.findall(r"^```(\w*)$", PAGE.read_text(), re.MULTILINE)
    assert fences[::2] == ["python"] * len(BLOCK.findall(PAGE.read_text()))
