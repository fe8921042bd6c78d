"""docs/countersign.ipynb is stored without outputs and runs from top to bottom; ``make test-docs`` executes it."""

import asyncio
import json

import pytest

from tests.conftest import ROOT

NOTEBOOK = ROOT / "docs" / "countersign.ipynb"


def test_the_notebook_is_short_and_stored_without_outputs():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert 0 < len(code) < len(cells) < 25
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert not any("attachments" in cell for cell in cells), "pictures are drawn when the notebook runs"


@pytest.mark.pages
@pytest.mark.timeout(900)
def test_every_cell_of_the_notebook_runs(tmp_path, monkeypatch):
    import nbclient
    import nbformat

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    asyncio.run(client.async_execute())
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert len(pictures) >= 10
    assert all(text in printed for text in ("answered signature", "skilled forgery: ", "another writer: "))
    assert not list(tmp_path.glob("countersign-tour-*")), "the last cell removes the files"
