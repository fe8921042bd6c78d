"""The notebooks of docs are stored without outputs and run from top to bottom; ``make test-docs`` executes them."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))
TRAIN, VERIFY = (ROOT / "docs" / name for name in ("train_and_read_a_report.ipynb", "verify_with_your_own_scans.ipynb"))


def test_there_are_two():
    assert sorted([TRAIN, VERIFY]) == NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_and_stored_without_outputs(path):
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert 0 < len(code) < len(cells) < 25
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert not any("attachments" in cell for cell in cells), "pictures are drawn when the notebook runs"


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Execute a notebook, with another folder of scans if there is one; returns what it printed and its pictures."""
    import nbclient
    import nbformat

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))

    def run(path: Path, scans: Path | None = None) -> tuple[str, int]:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        (setting,) = (cell for cell in notebook.cells if 'SCANS = ""' in cell.source)
        if scans:
            setting.source = f"SCANS = {str(scans)!r}"
        client = nbclient.NotebookClient(
            notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
        )
        asyncio.run(client.async_execute())
        outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
        pictures = [output for output in outputs if "image/png" in output.get("data", {})]
        assert not list(tmp_path.glob("countersign-notebook-*")), "the last cell removes the files"
        return "".join(output.text for output in outputs if output.output_type == "stream"), len(pictures)

    return run


@pytest.mark.pages
@pytest.mark.timeout(900)
def test_a_model_is_trained_and_its_report_is_read(execute):
    printed, pictures = execute(TRAIN)
    assert pictures >= 6
    assert "accuracy" in printed
    assert "95 %: " in printed
    assert "images are answered with another label" in printed


@pytest.mark.pages
@pytest.mark.timeout(900)
@pytest.mark.parametrize("is_own", [False, True], ids=["generated people", "a folder of scans"])
def test_scans_are_verified_measured_and_put_on_file(execute, is_own, request):
    scans = request.getfixturevalue("verification_data") if is_own else None
    printed, pictures = execute(VERIFY, scans)
    assert pictures >= 8
    assert "genuine: accept" in printed
    assert "another person: reject" in printed
    assert "skilled forgeries: EER " in printed
    assert "genuine rejected   forgeries accepted" in printed
    assert "claimed by name: accept" in printed
    assert "who is this (001)? identified 001" in printed
    if scans:
        assert "16 people, 112 genuine, 48 forged" in printed
        assert (scans / "001").is_dir(), "scans of one's own are not deleted"


@pytest.mark.pages
@pytest.mark.timeout(900)
def test_two_people_with_two_signatures_are_enough_beside_files_that_are_no_images(
    execute, verification_data, tmp_path
):
    scans = tmp_path / "scans"
    for writer, name in (("001", "Ann"), ("002", "Bob"), ("003", "Eve")):
        (scans / name).mkdir(parents=True)
        (scans / name / ".DS_Store").write_bytes(b"no image")
        (scans / name / "notes.txt").write_text("no image")
        for path in sorted((verification_data / writer).iterdir())[: 1 if name == "Eve" else 2]:
            shutil.copy(path, scans / name)
    printed, _ = execute(VERIFY, scans)
    assert "2 people, 4 genuine, 0 forged" in printed, "somebody with one signature is left out"
    assert "random forgeries: EER " in printed
    assert "2 people are too few to rely on these rates" in printed
    assert "genuine rejected   other people accepted" in printed
    assert "not measured" not in printed
    assert "claimed by name: " in printed
