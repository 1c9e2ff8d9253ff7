"""Signing in as a page in a browser does: by cookies."""

from collections.abc import Mapping
from http.cookies import Morsel, SimpleCookie

from fastapi.testclient import TestClient
from httpx2 import Response

LOGIN = "/api/v1/auth/login"
PASSWORD = "wallpaper-on-tuesday"


def sign_in_by_cookies(client: TestClient, login: str) -> str:
    """Leave the session's cookies in the client, and return the CSRF token."""
    form = {"username": login, "password": PASSWORD}
    response = client.post(LOGIN, params={"mode": "cookie"}, data=form)
    assert response.status_code == 200, response.text
    token: str = response.json()["csrf_token"]
    return token


def cookies_set_by(response: Response) -> dict[str, Morsel[str]]:
    jar = SimpleCookie()
    for header in response.headers.get_list("set-cookie"):
        jar.load(header)
    return dict(jar)


def cookie_header(cookies: Mapping[str, str]) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
