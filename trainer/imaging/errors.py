"""What can be wrong with one image, in the image's own terms.

Knows no HTTP: ``predictor/app.py`` maps these to a status. No message ever holds a byte of the picture.
"""


class ImageError(ValueError):
    """One image cannot be used; ``code`` is stable and meant for machines, the message for people."""

    code = "bad_image"


class UnreadableImage(ImageError):
    """The bytes are not an image we read, or the image is damaged."""

    code = "unreadable_image"


class ImageTooLarge(ImageError):
    """More bytes or pixels than the limits admit; found in the header, before anything is decoded."""

    code = "image_too_large"


class NoInk(ImageError):
    """The image decodes, but holds no writing: see the two kinds."""

    code = "no_ink"


class Blank(NoInk):
    """Nothing on the page can be told from paper."""

    code = "blank"


class TooMuchInk(NoInk):
    """So much of the page is dark that it is a photograph or a black page, not writing."""

    code = "too_much_ink"
