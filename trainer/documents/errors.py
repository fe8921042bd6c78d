"""The errors of a document whose pages cannot be read.

Independent of HTTP: each is a kind of ``trainer.imaging`` error, so that ``predictor/error_handlers.py`` has a status
for it. Messages contain nothing of the document. Next: ``__init__.py``, which says what raises them.
"""

from trainer.imaging.errors import ImageTooLarge, UnreadableImage


class UnreadableDocument(UnreadableImage):
    """The document is damaged."""

    code = "unreadable_document"


class EncryptedDocument(UnreadableImage):
    """The document opens only with a password."""

    code = "encrypted_document"


class DocumentTooLarge(ImageTooLarge):
    """The document has more bytes or pages than the limits allow, or its pages have more pixels."""

    code = "document_too_large"


class DocumentTooComplex(ImageTooLarge):
    """The document takes more time or memory than the limits allow; found while its pages are made."""

    code = "document_too_complex"
