"""Render the pages of one PDF: the program of the process that ``pdf.py`` starts for every document.

PDFium is not safe in threads, and a hostile file can crash it, occupy it for hours or make it take gigabytes: a process
of its own bounds all of that. Before the file is parsed, the process gives up what it does not need: files, sockets,
further processes and core dumps. It reads no fonts of the system, so a PDF has the same pixels on every machine. It
writes only to its pipe, and ends as soon as its parent closes the other end, also while it renders.

The protocol, little-endian: the parent writes ``LENGTH`` and the PDF; the child answers ``READY`` and, after it has
opened the PDF, ``OPENED``. For each ``REQUEST`` the child writes an ``ANSWER`` and, if its status is ``OK``, the grey
levels of the page, a byte each, from the top row; rows are padded to 4 bytes, as in a BMP file. Imports only the
standard library and the bindings of pypdfium2, so that the process starts soon. Next: ``pdf.py``, the other end.
"""

import contextlib
import ctypes
import math
import os
import queue
import struct
import sys
import threading
from collections.abc import Iterator
from typing import Any

LENGTH = struct.Struct("<Q")  # bytes of the PDF
OPENED = struct.Struct("<BI")  # status, number of pages
REQUEST = struct.Struct("<II")  # index of a page, pixels along its longest side
ANSWER = struct.Struct("<BIIff")  # status; height and width in pixels; height and width in points
READY = b"R"
OK, ENCRYPTED, DAMAGED, OUT_OF_MEMORY, TOO_MANY_PIXELS, IMAGE_TOO_LARGE = range(6)  # statuses
PR_SET_DUMPABLE = 4  # of prctl() of Linux

# The bindings of pypdfium2, imported when the process starts: pdf.py imports this file for the protocol alone.
pdfium: Any = None


def main(arguments: list[str]) -> None:
    """Serve one document, with four limits and the folder that has pypdfium2 as arguments."""
    global pdfium
    *limits, packages = arguments
    memory_bytes, cpu_seconds, *max_pixels = map(int, limits)  # pixels of a page, and of an image on a page
    sys.path.append(packages)
    import pypdfium2_raw as pdfium

    no_fonts = (ctypes.POINTER(ctypes.c_char) * 1)()  # no path but the null pointer that ends the list
    pdfium.FPDF_InitLibraryWithConfig(pdfium.FPDF_LIBRARY_CONFIG(version=2, m_pUserFontPaths=no_fonts))
    _write(READY)
    (length,) = LENGTH.unpack(sys.stdin.buffer.read(LENGTH.size))
    data = sys.stdin.buffer.read(length)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(requests,), daemon=True).start()
    _give_up(memory_bytes, cpu_seconds)

    document = pdfium.FPDF_LoadMemDocument64(data, length, None)
    if not document:
        encrypted = (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY)
        _write(OPENED.pack(ENCRYPTED if pdfium.FPDF_GetLastError() in encrypted else DAMAGED, 0))
        return
    form_info = pdfium.FPDF_FORMFILLINFO(version=2)
    has_form = pdfium.FPDF_GetFormType(document) != pdfium.FORMTYPE_NONE
    form = pdfium.FPDFDOC_InitFormFillEnvironment(document, form_info) if has_form else None
    _write(OPENED.pack(OK, max(pdfium.FPDF_GetPageCount(document), 0)))
    while True:
        index, side = REQUEST.unpack(requests.get())
        try:
            answer, levels = _render(document, form, index, side, max_pixels)
        except MemoryError:
            answer, levels = _refuse(OUT_OF_MEMORY)
        _write(answer, levels)


def _render(document: Any, form: Any, index: int, side: int, max_pixels: list[int]) -> tuple[bytes, Any]:
    """Render a page, with its annotations and the fields of its form; return an ``ANSWER`` and the grey levels."""
    page = pdfium.FPDF_LoadPage(document, index)
    if not page:
        return _refuse(DAMAGED)
    if form:
        pdfium.FORM_OnAfterLoadPage(page, form)
    points = pdfium.FPDF_GetPageHeightF(page), pdfium.FPDF_GetPageWidthF(page)  # of the crop box, after rotation
    if not all(math.isfinite(length) and length > 0 for length in points):
        return _refuse(DAMAGED)
    height, width = (max(1, round(side * (length / max(points)))) for length in points)
    if height * width > max_pixels[0]:
        return _refuse(TOO_MANY_PIXELS)
    if any(pixels > max_pixels[1] for pixels in _iterate_image_pixels(page)):
        return _refuse(IMAGE_TOO_LARGE)
    stride = (width + 3) // 4 * 4
    levels = ctypes.create_string_buffer(stride * height)
    bitmap = pdfium.FPDFBitmap_CreateEx(width, height, pdfium.FPDFBitmap_Gray, levels, stride)
    if not bitmap:
        return _refuse(OUT_OF_MEMORY)
    pdfium.FPDFBitmap_FillRect(bitmap, 0, 0, width, height, 0xFFFFFFFF)
    view = (bitmap, page, 0, 0, width, height, 0, pdfium.FPDF_ANNOT | pdfium.FPDF_GRAYSCALE)
    pdfium.FPDF_RenderPageBitmap(*view)
    if form:
        pdfium.FPDF_FFLDraw(form, *view)  # the fields of forms, which FPDF_ANNOT leaves out
        pdfium.FORM_OnBeforeClosePage(page, form)
    pdfium.FPDFBitmap_Destroy(bitmap)
    pdfium.FPDF_ClosePage(page)
    return ANSWER.pack(OK, height, width, *points), levels


def _iterate_image_pixels(page: Any) -> Iterator[int]:
    """Yield the pixels of every image on a page: PDFium leaves out, in silence, those that do not fit into memory."""
    width, height = ctypes.c_uint(), ctypes.c_uint()
    containers = [(page, pdfium.FPDFPage_CountObjects, pdfium.FPDFPage_GetObject)]
    while containers:
        container, count, get = containers.pop()
        for index in range(count(container)):
            item = get(container, index)
            kind = pdfium.FPDFPageObj_GetType(item)
            if kind == pdfium.FPDF_PAGEOBJ_FORM:
                containers.append((item, pdfium.FPDFFormObj_CountObjects, pdfium.FPDFFormObj_GetObject))
            elif kind == pdfium.FPDF_PAGEOBJ_IMAGE and pdfium.FPDFImageObj_GetImagePixelSize(item, width, height):
                yield width.value * height.value


def _refuse(status: int) -> tuple[bytes, Any]:
    """Return the answer for a page that cannot be rendered; the parent asks for no further page."""
    return ANSWER.pack(status, 0, 0, 0, 0), b""


def _receive(requests: "queue.SimpleQueue[bytes]") -> None:
    """Pass on requests, and end the process when the parent closes its pipe, whatever PDFium does at that moment."""
    while len(request := sys.stdin.buffer.read(REQUEST.size)) == REQUEST.size:
        requests.put(request)
    os._exit(0)


def _write(*parts: Any) -> None:
    for part in parts:
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


def _give_up(memory_bytes: int, cpu_seconds: int) -> None:
    """Lower the limits of the process for good, where the system has such limits."""
    with contextlib.suppress(ImportError):
        import resource

        for name, limit in (
            ("RLIMIT_AS", memory_bytes),
            ("RLIMIT_CPU", cpu_seconds),
            ("RLIMIT_NOFILE", 0),  # those that are open stay
            ("RLIMIT_NPROC", 0),
            ("RLIMIT_FSIZE", 0),
            ("RLIMIT_CORE", 0),  # a core dump would contain the document
        ):
            with contextlib.suppress(AttributeError, ValueError, OSError):  # a limit that this system does not have
                kind = getattr(resource, name)
                hard = resource.getrlimit(kind)[1]
                limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
                resource.setrlimit(kind, (limit, limit))
    with contextlib.suppress(AttributeError, TypeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # no core dump to a program either, and no debugger


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    finally:
        os._exit(0)  # without the clean-up of Python and PDFium, which takes milliseconds
