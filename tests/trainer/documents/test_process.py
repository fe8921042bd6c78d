"""The process that renders a PDF: it ends with its document, leaves nothing behind, and every end of it is an error."""

import concurrent.futures
import contextlib
import os
from pathlib import Path

import pytest

from tests.trainer.documents import pdf_files
from trainer.documents import DocumentLimits, DocumentTooComplex, UnreadableDocument, read_pages
from trainer.documents import render as protocol
from trainer.documents.pdf import Renderer
from trainer.imaging import ImageError, Limits

MANY_PAGES = pdf_files.pages(*[f"0 0 {side} 50" for side in range(20, 50)])
on_linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs the /proc of Linux")


def list_children() -> set[str]:
    children: set[str] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # of a thread that has ended
            children.update(path.read_text().split())
    return children


def read_all(data: bytes) -> list:
    return list(read_pages(data, 60))


@on_linux
def test_the_process_is_gone_when_the_iterator_is_closed_early():
    before = list_children()
    pages = read_pages(MANY_PAGES, 100)
    next(pages)
    assert len(list_children() - before) == 1
    pages.close()
    assert list_children() == before


@on_linux
def test_the_process_is_gone_after_the_last_page_and_after_an_error():
    before = list_children()
    read_all(pdf_files.one_page())
    with pytest.raises(UnreadableDocument):
        read_all(b"%PDF-1.7")
    with pytest.raises(DocumentTooComplex):
        list(read_pages(pdf_files.nested_forms(20, 10), 60, document_limits=DocumentLimits(page_seconds=0.3)))
    assert list_children() == before


@on_linux
def test_thirty_documents_leave_no_descriptor_open():
    documents = [MANY_PAGES, b"%PDF-1.7", pdf_files.encrypted(b"x")]
    read_all(pdf_files.one_page())
    before = os.listdir("/proc/self/fd")
    for index in range(30):
        with contextlib.suppress(ImageError), contextlib.closing(read_pages(documents[index % 3], 60)) as pages:
            next(pages)
    assert os.listdir("/proc/self/fd") == before


def test_documents_are_read_in_threads_at_the_same_time():
    documents = [pdf_files.pages(*[f"0 0 {side} 50"] * 3) for side in range(60, 140, 10)]
    expected = [[(50.0, float(side))] * 3 for side in range(60, 140, 10)]
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        results = threads.map(lambda data: [page.size for page in read_all(data)], documents)
    assert list(results) == expected


def renderer(program: str | None = None, limits: DocumentLimits = DocumentLimits()) -> Renderer:
    pixels = Limits().max_pixels
    return Renderer(9, limits, pixels, pixels, **({"program": program} if program else {}))


def test_the_process_ends_while_it_renders_when_its_parent_closes_the_pipe():
    data = pdf_files.nested_forms(20, 10)
    with renderer() as endless:
        assert endless.open(data) == 1
        endless.process.stdin.write(protocol.REQUEST.pack(0, 100))
        endless.process.stdin.close()
        assert endless.process.wait(30) == 0


@on_linux
def test_the_process_has_given_up_files_memory_and_core_dumps():
    with renderer(limits=DocumentLimits(seconds=7, memory_bytes=2**29)) as process:
        process.open(pdf_files.one_page())
        lines = Path(f"/proc/{process.process.pid}/limits").read_text().splitlines()
    limits = {line[:25].strip(): line[25:].split()[:2] for line in lines}
    assert limits["Max open files"] == limits["Max core file size"] == limits["Max file size"] == ["0", "0"]
    assert limits["Max processes"] == ["0", "0"]
    assert limits["Max address space"] == [str(2**29)] * 2
    assert limits["Max cpu time"] == ["8", "8"]


# Programs that end as no renderer should, by name, with the error that the parent raises.
START = """
import os, signal, struct, sys, time
def say(*parts):
    sys.stdout.buffer.write(b"".join(parts))
    sys.stdout.buffer.flush()
"""
OPENED = "say(b'R', struct.pack('<BI', 0, 1))\n"
ANSWER = f"say(struct.pack({protocol.ANSWER.format!r}, %s))\n"
ENDS = {
    "crashes": ("say(b'R'); os.kill(os.getpid(), signal.SIGSEGV)", UnreadableDocument),
    "aborts": ("say(b'R'); os.abort()", DocumentTooComplex),
    "is killed": ("say(b'R'); os.kill(os.getpid(), signal.SIGKILL)", DocumentTooComplex),
    "exceeds its CPU time": ("say(b'R'); os.kill(os.getpid(), signal.SIGXCPU)", DocumentTooComplex),
    "has no memory": (f"say(b'R'); os._exit({protocol.OUT_OF_MEMORY})", DocumentTooComplex),
    "has no memory for a page": (OPENED + ANSWER % f"{protocol.OUT_OF_MEMORY}, 0, 0, 0, 0", DocumentTooComplex),
    "ends": ("say(b'R')", UnreadableDocument),
    "is cut off": ("say(b'R', b'12')", UnreadableDocument),
    "writes an unknown status": ("say(b'R' + b'\\xff' * 5)", UnreadableDocument),
    "does not open": ("say(b'R'); time.sleep(60)", DocumentTooComplex),
    "does not render": (OPENED + "time.sleep(60)", DocumentTooComplex),
    "closes its pipe and stays": (OPENED + "os.close(1); time.sleep(60)", DocumentTooComplex),
    "makes another size": (OPENED + ANSWER % "0, 99, 99, 1, 1", UnreadableDocument),
    "makes a huge page": (OPENED + ANSWER % "0, 2**32 - 1, 100, 1, 1", UnreadableDocument),
    "makes no pixels": (OPENED + ANSWER % "0, 100, 0, 1, 1", UnreadableDocument),
    "makes no size": (OPENED + ANSWER % "0, 100, 100, float('nan'), 1", UnreadableDocument),
    "makes half a page": (OPENED + ANSWER % "0, 100, 100, 1, 1" + "say(bytes(5000))", UnreadableDocument),
}


@pytest.mark.parametrize("name", ENDS)
def test_every_end_of_the_process_is_an_error_of_the_document(name, tmp_path):
    source, error = ENDS[name]
    program = tmp_path / "program.py"
    program.write_text(START + source)
    limits = DocumentLimits(page_seconds=0.3 if "sleep" in source else 20)
    with renderer(str(program), limits) as process, pytest.raises(error):
        process.render(process.open(b"%PDF-1.7") - 1, 100)
    assert process.process.returncode is not None


def test_a_process_that_does_not_start_is_no_error_of_the_document(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import a_module_that_is_not_installed")
    with renderer(str(program)) as process, pytest.raises(RuntimeError, match="pypdfium2 has to be installed"):
        process.open(b"%PDF-1.7")
