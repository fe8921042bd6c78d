"""The limits and the pages of documents, of every format. Next: ``pdf.py`` and ``tiff.py``, which make the pages."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class DocumentLimits:
    """What reading a document may take; ``trainer.imaging.Limits`` holds for its bytes and for each of its pages.

    ``page_seconds`` is the wall time for opening a PDF or making one of its pages, ``seconds`` that for all of it,
    without the time between pages. ``memory_bytes`` is the address space of the process that makes them.
    """

    max_pages: int = 200
    page_seconds: float = 10.0
    seconds: float = 120.0
    memory_bytes: int = 2**30


@dataclasses.dataclass(frozen=True)
class DocumentPage:
    """A page as the file of an image, which ``trainer.imaging.decode(page.image, frame=page.frame)`` decodes.

    ``number`` counts from 1. ``image`` is the document itself if that is an image, and an uncompressed grey BMP for a
    page of a PDF. ``size`` is the height and width of a page of a PDF in ``unit``, the point of 1/72 inch; an image
    has ``None`` and the unit ``pixel``, because its size is known when it is decoded.
    """

    number: int
    image: bytes = dataclasses.field(repr=False)
    frame: int = 0
    size: tuple[float, float] | None = None
    unit: str = "pixel"
