"""Every shell command of the README and the docs works as written."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(<!-- not run[^>]*-->\n)?```sh\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)\)")
ONLY_SMALL = {
    "DEMO_FLAGS": "--writers 12 --epochs 1"
}  # of the demo's training; everything else is as a newcomer has it


def pages_with_commands():
    return [page for page in PAGES if BLOCK.search(page.read_text())]


@pytest.mark.parametrize("page", pages_with_commands(), ids=lambda page: page.name)
def test_every_shell_block_runs_in_the_order_of_its_page(page, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    commands = "\n".join(block for skipped, block in BLOCK.findall(page.read_text()) if not skipped)
    (tmp_path / "installed").touch()
    (tmp_path / "Makefile").symlink_to(ROOT / "Makefile")
    (tmp_path / "requirements.txt").touch()
    os.utime(tmp_path / "requirements.txt", (0, 0))
    binaries = str(Path(sys.executable).parent)
    environment = {
        **os.environ, **ONLY_SMALL, "PATH": binaries + os.pathsep + os.environ["PATH"], "PYTHONPATH": str(ROOT),
        "BIN": binaries, "VENV": str(tmp_path), "PORT": port,
    }  # fmt: skip
    stop_servers = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"  # also when a command fails
    script = f"set -eu -o pipefail\nset -m\n{stop_servers}\n" + commands.replace("8080", port)
    how = {"capture_output": True, "text": True, "timeout": 200, "stdin": subprocess.DEVNULL}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, **how)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    if page.name == "README.md":
        assert done.stdout.count('"label"') == 4, "the demo and the serving section ask about two images each"
        assert (tmp_path / "answers.csv").read_text().count("\n") == 101


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_our_own_files_lead_somewhere(page):
    broken = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert broken == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 100
