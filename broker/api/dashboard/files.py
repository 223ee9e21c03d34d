"""The files of the dashboard → routes, with headers under which a browser runs nothing else."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, Response

from broker.api.dashboard.reference import page as page_of

FOLDER: Final = Path(__file__).parent / "static"
TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # asked for each time, and answered "not modified" by its ETag
    "Broker-Version": version("gpu-broker"),
}


def routes() -> APIRouter:
    """`/` is the page, `/docs` that of the HTTP API; `/dashboard/…` are their parts."""
    router = APIRouter(include_in_schema=False)
    parts = {path.relative_to(FOLDER).as_posix(): path for path in FOLDER.rglob("*") if path.suffix in TYPES}

    @router.get("/")
    async def page() -> Response:
        """The page itself."""
        return _file(FOLDER / "index.html")

    @router.get("/docs")
    def reference(request: Request) -> Response:
        """The HTTP API for people; made when it is first asked for, in a thread."""
        made = request.app.state
        if not hasattr(made, "reference"):
            made.reference = page_of(request.app.openapi())
        return HTMLResponse(made.reference, headers=HEADERS)

    @router.get("/dashboard/{name:path}")
    async def part(name: str) -> Response:
        """A style, a script or a picture."""
        if name not in parts:
            raise HTTPException(404)
        return _file(parts[name])

    return router


def _file(path: Path) -> Response:
    return FileResponse(path, media_type=TYPES[path.suffix], headers=HEADERS)
