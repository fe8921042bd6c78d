"""What can go wrong with a request, in the service's own terms. HTTP statuses are ``app.py``'s business.

Errors of a single image are ``trainer.imaging.ImageError``; ``BadInstance`` says which instance had one.
"""


class PredictorError(Exception):
    """``code`` is stable and meant for machines; the message is for people and never holds the payload."""

    code = "error"

    def __init__(self, message: str, instance: int | None = None):
        super().__init__(message)
        self.instance = instance  # position in "instances", counted from 0


class BadRequest(PredictorError):
    """The body is not what the contract says."""

    code = "bad_request"


class Unanswerable(PredictorError):
    """The contract allows the request; the model that is served cannot answer it."""

    code = "unanswerable"


class TooLarge(PredictorError):
    """More bytes or instances than the limits admit."""

    code = "too_large"


class UnsupportedMediaType(PredictorError):
    """A body of a kind that is not read."""

    code = "unsupported_media_type"


class TooSlow(PredictorError):
    """The request did not arrive in time."""

    code = "request_timeout"


class BadInstance(PredictorError):
    """One image cannot be used; carries the image error's code."""

    def __init__(self, error, instance: int, called: str = "the image"):
        super().__init__(str(error) if called == "the image" else f"{called}: {error}", instance)
        self.error, self.code = error, error.code


class NotReady(PredictorError):
    """The model is still loading, or the server is shutting down."""

    code = "not_ready"


class NoModel(NotReady):
    """A development server that was started without a model has not trained one yet."""

    code = "no_model"


class Busy(PredictorError):
    """Everything that may wait is waiting already."""

    code = "busy"


class Expired(PredictorError):
    """The request's time was over before its work began."""

    code = "deadline_exceeded"


class OtherSite(PredictorError):
    """Another site's page asks for what only this one's visitor may."""

    code = "other_site"


class Running(PredictorError):
    """One training at a time."""

    code = "already_running"
