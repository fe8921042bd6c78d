"""Read the pages of a PDF: start a process that renders them, ask it for each, and map its end to an error.

Every wait for the process has a deadline, at which it is killed; it never outlives the iterator. Next: ``render.py``,
the program of the process, which describes the protocol.
"""

import contextlib
import importlib.util
import math
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, NoReturn, cast

from trainer.documents import render
from trainer.documents.errors import DocumentTooComplex, DocumentTooLarge, EncryptedDocument, UnreadableDocument
from trainer.documents.limits import DocumentLimits, DocumentPage
from trainer.imaging.decode import Limits

MARK, MARK_WITHIN = b"%PDF-", 1024  # PDFium looks for the mark in that many bytes
IMAGE_STARTS = (b"\x89PNG", b"\xff\xd8", b"GIF8", b"BM", b"RIFF")  # whose metadata may contain the mark
BMP_HEADER = struct.Struct("<2sIIIIiiHHIIiiII")
GREY_PALETTE = b"".join(bytes((level, level, level, 0)) for level in range(256))
BMP_BYTES = BMP_HEADER.size + len(GREY_PALETTE)  # before the pixels
# Variables that a Python may need to start; the process gets no others.
ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
ALLOCATION = {"MALLOC_ARENA_MAX": "1"}  # each further arena of glibc takes 64 MiB of the address space
# Signals that end a process at a limit. PDFium aborts if it gets no memory; the system kills where memory is short.
AT_LIMIT = {-getattr(signal, name) for name in ("SIGABRT", "SIGKILL", "SIGXCPU") if hasattr(signal, name)}
EXIT_SECONDS = 1.0  # for a process that has closed its pipe to end


def is_pdf(data: bytes) -> bool:
    """Return whether a file begins as a PDF, perhaps after some other bytes, as mail programs and servers add them."""
    return MARK in data[:MARK_WITHIN] and not data.startswith(IMAGE_STARTS)


def read_pdf_pages(data: bytes, side: int, limits: Limits, document_limits: DocumentLimits) -> Iterator[DocumentPage]:
    """Yield the pages of a PDF. Raises as ``read_pages``."""
    if len(data) > limits.max_bytes:
        raise DocumentTooLarge(f"the PDF has {len(data):,} bytes; at most {limits.max_bytes:,} are accepted")
    # The page is decoded under the same limits, so it must not be a larger file than they accept.
    max_pixels = min(limits.max_pixels, limits.max_bytes - BMP_BYTES - 3 * side)
    with Renderer(len(data), document_limits, max(max_pixels, 0), limits.max_pixels) as renderer:
        num_pages = renderer.open(data)
        if not num_pages:
            raise UnreadableDocument("the PDF has no pages")
        if num_pages > document_limits.max_pages:
            maximum = document_limits.max_pages
            raise DocumentTooLarge(f"the PDF has {num_pages:,} pages; at most {maximum:,} are accepted")
        for index in range(num_pages):
            yield renderer.render(index, side)


class Renderer:
    """The process that renders one PDF; ``program`` is replaced in tests alone."""

    def __init__(
        self,
        num_bytes: int,
        limits: DocumentLimits,
        max_pixels: int,
        max_image_pixels: int,
        program: str = render.__file__,
    ):
        self._num_bytes, self._limits = num_bytes, limits
        self._max_pixels, self._max_image_pixels = max_pixels, max_image_pixels
        self._seconds_left = limits.seconds
        self._is_late = False
        self._subject = "the PDF"  # what the process works on, for messages
        cpu_seconds = math.ceil(limits.seconds) + 1
        arguments = (limits.memory_bytes, cpu_seconds, max_pixels, max_image_pixels, _find_packages())
        # -I and -S: without the user's modules and without site, which take as long to start as Python itself.
        self.process = subprocess.Popen(  # noqa: S603 - our own program; numbers and a folder as arguments
            [sys.executable, "-I", "-S", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ} | ALLOCATION,
            start_new_session=True,  # Ctrl-C is for the parent, which may finish its work first
        )
        self._stdin, self._stdout = cast(IO[bytes], self.process.stdin), cast(IO[bytes], self.process.stdout)

    def __enter__(self) -> "Renderer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.process.kill()
        for pipe in (self._stdin, self._stdout):
            with contextlib.suppress(OSError):  # what was not written remains unwritten
                pipe.close()
        self.process.wait()

    def open(self, data: bytes) -> int:
        """Send the PDF; return the number of its pages."""
        with self._within_limits():
            if self._stdout.read(len(render.READY)) != render.READY:
                self._check_deadline()
                raise RuntimeError(
                    f"the process that renders PDF did not start (exit status {self.process.wait()}); "
                    "pypdfium2 has to be installed for this Python"
                )
            self._write(render.LENGTH.pack(len(data)), data)
            status, num_pages = render.OPENED.unpack(self._read(render.OPENED.size))
            self._check_status(status)
        return num_pages

    def render(self, index: int, side: int) -> DocumentPage:
        """Return a page."""
        self._subject = f"page {index + 1} of the PDF"
        with self._within_limits():
            self._write(render.REQUEST.pack(index, side))
            status, height, width, *size = render.ANSWER.unpack(self._read(render.ANSWER.size))
            self._check_status(status)
            is_valid = max(height, width) == side and min(height, width) > 0 and height * width <= self._max_pixels
            if not (is_valid and all(math.isfinite(points) and points > 0 for points in size)):
                self._fail()
            levels = self._read((width + 3) // 4 * 4 * height)
        return DocumentPage(index + 1, _make_bmp(height, width, levels), 0, (size[0], size[1]), "point")

    def _write(self, *parts: bytes) -> None:
        with contextlib.suppress(OSError):  # the process has ended; what is read next says why
            for part in parts:
                self._stdin.write(part)
            self._stdin.flush()

    def _read(self, length: int) -> bytes:
        data = self._stdout.read(length)
        if len(data) < length:
            self._fail_by_end()
        return data

    @contextlib.contextmanager
    def _within_limits(self) -> Iterator[None]:
        """Kill the process if the block takes longer than the limits; it then reads the end of the pipe."""
        timer = threading.Timer(max(0.0, min(self._limits.page_seconds, self._seconds_left)), self._kill_late)
        timer.daemon = True
        started_at = time.monotonic()
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            self._seconds_left -= time.monotonic() - started_at

    def _kill_late(self) -> None:
        self._is_late = True
        self.process.kill()

    def _check_deadline(self) -> None:
        if self._is_late:
            raise DocumentTooComplex(
                f"{self._subject} takes too long; at most {self._limits.page_seconds:g} s are spent on a page and "
                f"{self._limits.seconds:g} s on all pages"
            )

    def _check_status(self, status: int) -> None:
        """Raise the error of a status that is not ``OK``."""
        if status == render.ENCRYPTED:
            raise EncryptedDocument("the PDF is encrypted and opens only with a password; save it without one")
        if status == render.OUT_OF_MEMORY:
            self._fail_by_memory()
        if status in (render.TOO_MANY_PIXELS, render.IMAGE_TOO_LARGE):
            is_page = status == render.TOO_MANY_PIXELS
            maximum = self._max_pixels if is_page else self._max_image_pixels
            owner = self._subject if is_page else f"an image on {self._subject}"
            raise DocumentTooLarge(f"{owner} has more than {maximum:,} pixels, the most that are accepted")
        if status != render.OK:
            self._fail()

    def _fail_by_end(self) -> NoReturn:
        """Raise the error of a process that has ended before it answered."""
        try:
            status = self.process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            status = 0
        self._check_deadline()
        if status == render.OUT_OF_MEMORY or status in AT_LIMIT:
            self._fail_by_memory()
        self._fail()

    def _fail_by_memory(self) -> NoReturn:
        maximum = self._limits.memory_bytes // 2**20
        raise DocumentTooComplex(f"{self._subject} takes too much memory or time; at most {maximum:,} MiB are used")

    def _fail(self) -> NoReturn:
        raise UnreadableDocument(
            f"{self._subject} is damaged (the file has {self._num_bytes:,} bytes); save or print it to a new PDF"
        )


def _find_packages() -> str:
    """Return the folder that has pypdfium2, for a process that does not read the paths of site."""
    spec = importlib.util.find_spec("pypdfium2_raw")
    return str(Path(spec.origin).parents[1]) if spec and spec.origin else ""


def _make_bmp(height: int, width: int, levels: bytes) -> bytes:
    """Make a BMP file of grey levels whose rows are padded to 4 bytes, from the top row."""
    header = BMP_HEADER.pack(
        *(b"BM", BMP_BYTES + len(levels), 0, BMP_BYTES),
        *(40, width, -height, 1, 8, 0, len(levels), 0, 0, 256, 0),  # a negative height: the top row is the first
    )
    return header + GREY_PALETTE + levels
