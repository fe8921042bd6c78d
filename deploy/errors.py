"""Errors that more than one file of deploy raises or handles. Each message says what failed and what to do about it.

Next: ``vertex.py`` raises the errors of Vertex AI, ``__main__.py`` suggests the next command after an error.
"""

from trainer.console.errors import UserError


class CloudError(UserError):
    """Vertex AI refused a request, failed or did not answer."""

    @property
    def status(self) -> int | None:
        """The HTTP status of the reply, or None without a reply; it is read from the client's own error."""
        cause = self.__context__
        return getattr(getattr(cause, "cause", None) or cause, "code", None)


class ServiceUnavailable(CloudError):
    """The service is overloaded or unreachable: 429, 503 or a broken connection. Idempotent calls are retried."""


class ReplyLost(ServiceUnavailable):
    """The reply to a call is missing; only the live state shows whether the call took effect."""


class PermissionDenied(CloudError):
    """The account lacks a permission."""


class MissingCredentials(UserError):
    """There are no application default credentials."""


class SmokeTestFailed(UserError):
    """A deployed version does not answer as the artefact did when it was exported."""


class ApplyStopped(UserError):
    """A step failed; the message says which step, why, and what was cleaned up."""


class StalePlan(UserError):
    """The live state has changed since the plan was shown and needs other steps."""
