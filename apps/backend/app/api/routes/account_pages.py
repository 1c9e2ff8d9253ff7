"""The pages behind the links in letters. They work without a panel, and load nothing from outside.

Pages and API are addressed relative to one another, so that any prefix of a proxy holds for both.
"""

from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

PAGES: Final = Path(__file__).resolve().parents[2] / "static" / "account"


def add_account_pages(app: FastAPI) -> None:
    pages = Jinja2Templates(directory=PAGES)
    values = {"project": app.title, "api": f"..{app.state.api_prefix}"}

    def show(request: Request, name: str) -> Response:
        return pages.TemplateResponse(request, name, values, headers={"Cache-Control": "no-store"})

    async def get_password_page(request: Request) -> Response:
        return show(request, "password.html")

    async def get_verify_page(request: Request) -> Response:
        return show(request, "verify.html")

    app.add_route("/account/password", get_password_page, include_in_schema=False)
    app.add_route("/account/verify", get_verify_page, include_in_schema=False)
    app.mount("/account/assets", StaticFiles(directory=PAGES / "assets"), name="account-assets")
