"""The page for people: three static files, no build step, nothing from elsewhere. Next: ``web/page.js``."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from predictor.settings import Settings

FOLDER = Path(__file__).parent / "web"
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# Only what this server sends, and images the visitor chose; no other site may frame the page.
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


def routes(settings: Settings, docs: bool) -> list[BaseRoute]:
    """``/`` and the files beside it; the page finds the routes of these settings in its own markup.

    ``docs`` says whether there is an interactive documentation to link to.
    """
    found: list[BaseRoute] = []
    for path in sorted(FOLDER.iterdir()):
        content = path.read_text()
        if path.name == "index.html":
            values = {"predict": settings.predict_route, "health": settings.health_route, "mode": settings.mode}
            for name, value in {**values, "docs": "/docs" if docs else ""}.items():
                content = content.replace(f"{{{name}}}", value)
        found.append(Route("/" if path.name == "index.html" else f"/web/{path.name}", _file(content, path.suffix)))
    return found


def _file(content: str, suffix: str):
    async def send(_: Request) -> Response:
        return Response(content, headers=HEADERS, media_type=KINDS[suffix])

    return send
