"""JSON responses of every route. Next: ``error_handlers.py``, which makes the error responses."""

from collections.abc import Mapping

from starlette.responses import Response

RETRY_SECONDS = 1
RETRY_AFTER = {status: {"Retry-After": str(RETRY_SECONDS)} for status in (429, 503)}


def make_json_response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Make a JSON response; a status after which a client may retry has the header ``Retry-After`` (seconds)."""
    return Response(body, status, {**RETRY_AFTER.get(status, {}), **(headers or {})}, "application/json")
