"""The pages that the application serves itself, without anything from outside: panels' networks
have no CDN. They work without a panel.

Pages and API are addressed relative to one another, so that any prefix of a proxy holds for both.
"""

from functools import partial
from pathlib import Path
from typing import Final

import fastapi_swagger
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from app.api.deps import anyone
from app.core.config import get_settings

ACCOUNT: Final = Path(__file__).resolve().parents[2] / "static" / "account"
ACCOUNT_PAGES: Final = tuple(
    f"/account/{name}" for name in ("", "change", "forgot", "password", "resend", "verify")
)
WAYS_IN: Final = ("/", "/account", "/account/{page:path}")  # The last is for mistyped ones.
SWAGGER: Final = Path(fastapi_swagger.__file__).parent / "resources"


def add_account_pages(app: FastAPI) -> None:
    """Add what e-mails and refusals lead to; without a panel, that is where people start."""
    settings = get_settings()
    pages = Jinja2Templates(directory=ACCOUNT)
    values = {"project": app.title, "panel": settings.PANEL_URL, "api": app.state.api_prefix}

    async def show(request: Request, name: str) -> Response:
        headers = {"Cache-Control": "no-store"}
        return pages.TemplateResponse(request, f"{name}.html", values, headers=headers)

    async def lead(request: Request, to: str) -> Response:
        """Programs find nothing here, as anywhere else; people go on."""
        if "text/html" not in request.headers.get("accept", ""):
            raise HTTPException(404)
        return RedirectResponse(to)

    for path in ACCOUNT_PAGES:
        name = path.removeprefix("/account/") or "index"
        app.add_route(path, partial(show, name=name), include_in_schema=False)
    app.mount("/account/assets", StaticFiles(directory=ACCOUNT / "assets"), name="account-assets")
    for path in WAYS_IN:
        to = settings.panel_url if path == "/" else f"{settings.account_url}/"
        app.add_route(path, partial(lead, to=to), include_in_schema=False)


def add_docs(app: FastAPI) -> None:
    openapi_url = f"{app.state.api_prefix}/openapi.json"

    def get_openapi(request: Request) -> Response:
        anyone(request)
        return JSONResponse(app.openapi())

    async def get_docs(request: Request) -> Response:
        root = request.scope.get("root_path", "").rstrip("/")
        page = get_swagger_ui_html(
            openapi_url=root + openapi_url,
            title=f"{app.title} API",
            oauth2_redirect_url=None,
            swagger_js_url=f"{root}/docs/assets/swagger-ui-bundle.js",
            swagger_css_url=f"{root}/docs/assets/swagger-ui.css",
            swagger_favicon_url=f"{root}/docs/assets/favicon-32x32.png",
            swagger_ui_parameters={"persistAuthorization": True, "docExpansion": "list"},
        )
        return HTMLResponse(bytes(page.body).replace(b"<html>", b'<html lang="en">', 1))

    app.add_route(openapi_url, get_openapi, include_in_schema=False)
    app.add_route("/docs", get_docs, include_in_schema=False)
    app.mount("/docs/assets", StaticFiles(directory=SWAGGER), name="docs-assets")
