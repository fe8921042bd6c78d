"""Turn a document into its pages, one by one: a PDF, a TIFF of several pages, or a single image.

Bounded in pages, pixels, time and memory, for documents of any origin. Shared by the server and by evaluation: the
standard library, NumPy, Pillow, pypdfium2 and ``trainer.imaging`` only. ``limits.py`` has the limits, ``pdf.py`` and
``tiff.py`` the formats, ``errors.py`` what is raised. Next: ``pdf.py``.
"""

import itertools
from collections.abc import Iterator

from trainer.documents.errors import DocumentTooComplex, DocumentTooLarge, EncryptedDocument, UnreadableDocument
from trainer.documents.limits import DocumentLimits, DocumentPage
from trainer.documents.pdf import is_pdf, read_pdf_pages
from trainer.documents.tiff import is_tiff, iterate_frames
from trainer.imaging.decode import MAX_SIDE, Limits

__all__ = [
    "DocumentLimits",
    "DocumentPage",
    "DocumentTooComplex",
    "DocumentTooLarge",
    "EncryptedDocument",
    "UnreadableDocument",
    "is_document",
    "read_pages",
]


def is_document(data: bytes) -> bool:
    """Return whether a file has pages: a PDF, or a TIFF with several, by its header alone.

    Animated images are no documents; of these only the first frame is read.
    """
    if is_tiff(data):
        return len(list(itertools.islice(iterate_frames(data), 2))) > 1
    return is_pdf(data)


def read_pages(
    data: bytes, side: int, limits: Limits = Limits(), document_limits: DocumentLimits = DocumentLimits()
) -> Iterator[DocumentPage]:
    """Yield the pages of a document, or the one page of an image.

    ``side`` is the length in pixels of the longest side of the pages of a PDF, which are rendered on white paper with
    annotations and the fields of forms, and turned and cropped as the PDF says. An image is passed on as it is, and
    not checked: decoding it raises ``ImageError``.

    Close the iterator, as ``contextlib.closing`` does, if it is not read to its end: the pages of a PDF come from a
    process, which ends with it. Raises ``EncryptedDocument``, ``UnreadableDocument``, ``DocumentTooLarge`` or
    ``DocumentTooComplex``, perhaps after pages that could be read.
    """
    if not 1 <= side <= MAX_SIDE:
        raise ValueError(f"a side of {side} pixels; it has to be 1 to {MAX_SIDE:,}")
    if is_tiff(data):
        frames = list(itertools.islice(iterate_frames(data), document_limits.max_pages + 1))
        if len(frames) > document_limits.max_pages:
            raise DocumentTooLarge(f"the TIFF has more than {document_limits.max_pages:,} pages")
        for number, frame in enumerate(frames, 1):
            yield DocumentPage(number, data, frame)
    elif is_pdf(data):
        yield from read_pdf_pages(data, side, limits, document_limits)
    else:
        yield DocumentPage(1, data)
