"""The errors of one image that cannot be used.

Independent of HTTP: ``predictor/error_handlers.py`` maps these to a status. Messages contain no bytes of the image,
which are biometric data. Next: ``quality.py``, the warnings about images that can be used.
"""


class ImageError(ValueError):
    """One image cannot be used; ``code`` identifies the reason for programs, the message explains it."""

    code = "bad_image"


class UnreadableImage(ImageError):
    """The bytes are not an image in a known format, or the image is damaged."""

    code = "unreadable_image"


class ImageTooLarge(ImageError):
    """The image has more bytes or pixels than the limits allow; found in the header, before it is decoded."""

    code = "image_too_large"


class NoInk(ImageError):
    """The image has no writing; raised as ``Blank`` or ``TooMuchInk``."""

    code = "no_ink"


class Blank(NoInk):
    """Nothing on the page differs enough from the paper."""

    code = "blank"


class TooMuchInk(NoInk):
    """So much of the page is dark that it is a photograph or a black page."""

    code = "too_much_ink"
