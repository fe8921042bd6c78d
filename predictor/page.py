"""The web page: static files without a build step, none of them from other hosts. Next: ``web/static/page.js``."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from predictor.settings import Settings

FOLDER = Path(__file__).parent / "web"
# Only content of this server and images that the visitor chose; no other site may frame the page.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class WebFiles(StaticFiles):
    """Starlette's static files with the page's headers."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        """Respond with a file and the page's headers; the arguments are Starlette's."""
        response = super().file_response(*arguments, **options)
        response.headers.update(HEADERS)
        return response


def make_routes(settings: Settings, has_docs: bool) -> list[BaseRoute]:
    """Make the routes of the page and its files; the server writes the routes of these settings into the page.

    ``has_docs``: whether the page links to the interactive documentation.
    """
    content = (FOLDER / "index.html").read_text()
    values = {"predict": settings.predict_route, "health": settings.health_route, "mode": settings.mode}
    for name, value in {**values, "docs": "/docs" if has_docs else ""}.items():
        content = content.replace(f"{{{name}}}", html.escape(value))

    async def serve_page(_: Request) -> Response:
        return Response(content, headers=HEADERS, media_type="text/html")

    return [Route("/", serve_page), Mount("/web", WebFiles(directory=FOLDER / "static"))]
