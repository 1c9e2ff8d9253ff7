"""The pages that the application serves itself, without anything from outside: panels' networks
have no CDN. They work without a panel.

Pages and API are addressed relative to one another, so that any prefix of a proxy holds for both.
"""

from pathlib import Path
from typing import Final

import fastapi_swagger
from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, JSONResponse
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from app.api.deps import anyone

ACCOUNT_PAGES: Final = Path(__file__).resolve().parents[2] / "static" / "account"
SWAGGER: Final = Path(fastapi_swagger.__file__).parent / "resources"


def add_account_pages(app: FastAPI) -> None:
    """Add what the links in letters lead to."""
    pages = Jinja2Templates(directory=ACCOUNT_PAGES)
    values = {"project": app.title, "api": f"..{app.state.api_prefix}"}

    def show(request: Request, name: str) -> Response:
        return pages.TemplateResponse(request, name, values, headers={"Cache-Control": "no-store"})

    async def get_password_page(request: Request) -> Response:
        return show(request, "password.html")

    async def get_verify_page(request: Request) -> Response:
        return show(request, "verify.html")

    assets = StaticFiles(directory=ACCOUNT_PAGES / "assets")
    app.add_route("/account/password", get_password_page, include_in_schema=False)
    app.add_route("/account/verify", get_verify_page, include_in_schema=False)
    app.mount("/account/assets", assets, name="account-assets")


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
