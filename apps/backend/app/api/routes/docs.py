"""The interactive documentation, served by the application itself: panels' networks have no CDN."""

from pathlib import Path

import fastapi_swagger
from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import JSONResponse
from starlette.staticfiles import StaticFiles

from app.api.deps import anyone

ASSETS = Path(fastapi_swagger.__file__).parent / "resources"


def add_docs(app: FastAPI) -> None:
    openapi_url = f"{app.state.api_prefix}/openapi.json"

    def get_openapi(request: Request) -> Response:
        anyone(request)
        return JSONResponse(app.openapi())

    async def get_docs(request: Request) -> Response:
        root = request.scope.get("root_path", "").rstrip("/")
        return get_swagger_ui_html(
            openapi_url=root + openapi_url,
            title=f"{app.title} API",
            oauth2_redirect_url=None,
            swagger_js_url=f"{root}/docs/assets/swagger-ui-bundle.js",
            swagger_css_url=f"{root}/docs/assets/swagger-ui.css",
            swagger_favicon_url=f"{root}/docs/assets/favicon-32x32.png",
            swagger_ui_parameters={"persistAuthorization": True, "docExpansion": "list"},
        )

    app.add_route(openapi_url, get_openapi, include_in_schema=False)
    app.add_route("/docs", get_docs, include_in_schema=False)
    app.mount("/docs/assets", StaticFiles(directory=ASSETS), name="docs-assets")
