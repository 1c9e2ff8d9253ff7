"""What a browser does on another site's behalf is refused, and leaves nothing behind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.models import Item, User
from tests.assertions import assert_error
from tests.browser import LOGIN, PASSWORD, cookies_set_by, sign_in_by_cookies
from tests.factories import (
    make_item,
    make_path_values,
    make_session,
    make_token,
    make_user,
)
from tests.rows import every_row
from tests.settings import client_with

ME = "/api/v1/users/me"
ITEMS = "/api/v1/items/"
REFRESH = "/api/v1/auth/refresh"
EMAIL = "ann@example.com"
FORM = {"username": EMAIL, "password": PASSWORD}
PANEL = "https://panel.example.com"
KEY = "tests-sign-with-this-key-and-nobody-else-does"
NEXT_KEY = "and-from-now-on-with-this-one-in-its-place"

# What changes something, and what a page of our own gets for it.
UNSAFE: dict[str, tuple[str, str, Any, int]] = {
    "POST": ("POST", "items/", {"title": "Shelf"}, 201),
    "PUT": ("PUT", "items/{item}", {"title": "Shelf"}, 200),
    "PATCH": ("PATCH", "items/{item}", {"title": "Shelf"}, 200),
    "DELETE": ("DELETE", "items/{item}", None, 204),
    "profile": ("PATCH", "users/me", {"full_name": "Ann Lee"}, 200),
    "password": (
        "POST",
        "users/me/password",
        {"current_password": PASSWORD, "new_password": "curtains-on-friday"},
        204,
    ),
    "end a session": ("DELETE", "auth/sessions/{session}", None, 204),
    "refresh": ("POST", "auth/refresh", None, 200),
    "log out": ("POST", "auth/logout", None, 204),
    "log out everywhere": ("POST", "auth/logout-all", None, 204),
}
FOREIGN_ORIGINS = [
    "https://evil.example.com",
    "null",
    "",
    "https://testserver",
    "http://testserver:8080",
    "http://testserver.evil.com",
    "http://eviltestserver",
    "http://127.0.0.1:8001",
    "*",
]


@dataclass
class Page:
    """A page of ours that has signed in, and whatever else it sends."""

    client: TestClient
    token: str
    item: Item
    other_session_id: int

    def do(self, deed: str, **headers: str) -> Response:
        method, path, body, _ = UNSAFE[deed]
        url = f"/api/v1/{path}".format(item=self.item.id, session=self.other_session_id)
        return self.client.request(method, url, json=body, headers=headers)


@pytest.fixture
def ann(db: Session) -> User:
    return make_user(db, email=EMAIL, password=PASSWORD)


@pytest.fixture
def page(anonymous: TestClient, ann: User, db: Session) -> Page:
    token = sign_in_by_cookies(anonymous, EMAIL)
    return Page(anonymous, token, make_item(db, owner=ann), make_session(db, user=ann).id)


@pytest.fixture
def attackers_token(anonymous: TestClient, db: Session) -> str:
    """A good one, of the attacker's own session."""
    make_user(db, email="eve@example.com", password=PASSWORD)
    client = TestClient(anonymous.app)
    client.portal = anonymous.portal
    return sign_in_by_cookies(client, "eve@example.com")


# --- The token.


@pytest.mark.parametrize("deed", UNSAFE)
def test_deed_of_our_page_is_done(page: Page, db: Session, deed: str) -> None:
    before = every_row(db)

    response = page.do(deed, **{"X-CSRF-Token": page.token})

    assert response.status_code == UNSAFE[deed][3], response.text
    assert every_row(db) != before


@pytest.mark.parametrize("deed", UNSAFE)
def test_deed_without_the_token_is_refused(page: Page, db: Session, deed: str) -> None:
    before = every_row(db)

    response = page.do(deed)

    assert_error(response, 403, "CSRF_FAILED")
    assert "set-cookie" not in response.headers
    assert every_row(db) == before


@pytest.mark.parametrize("deed", UNSAFE)
def test_deed_with_an_attackers_own_token_is_refused(
    page: Page, attackers_token: str, db: Session, deed: str
) -> None:
    """A neighbouring host may set the cookie too; it does not know the session's token."""
    before = every_row(db)
    page.client.cookies.delete("csrf_token")
    page.client.cookies.set("csrf_token", attackers_token)

    response = page.do(deed, **{"X-CSRF-Token": attackers_token})

    assert_error(response, 403, "CSRF_FAILED")
    assert every_row(db) == before


def test_deed_with_the_token_of_another_session_of_ones_own_is_refused(
    page: Page, anonymous: TestClient
) -> None:
    other = TestClient(anonymous.app)
    other.portal = anonymous.portal
    token = sign_in_by_cookies(other, EMAIL)
    page.client.cookies.delete("csrf_token")
    page.client.cookies.set("csrf_token", token)

    response = page.do("PATCH", **{"X-CSRF-Token": token})

    assert_error(response, 403, "CSRF_FAILED")


@pytest.mark.parametrize(
    "change",
    [
        lambda _: "",
        lambda _: "x",
        lambda _: "ü",
        lambda token: token[:-1],
        lambda token: f"{token}=",
        lambda token: token.swapcase(),
        lambda token: f"{token},{token}",
    ],
)
def test_deed_with_another_token_than_the_cookies_is_refused(
    page: Page, change: Callable[[str], str]
) -> None:
    response = page.client.patch(
        ME, json={"full_name": "Ann"}, headers={b"X-CSRF-Token": change(page.token).encode()}
    )

    assert_error(response, 403, "CSRF_FAILED")


@pytest.mark.parametrize("value", [None, "", "x"])
def test_deed_with_the_token_and_without_its_cookie_is_refused(
    page: Page, value: str | None
) -> None:
    page.client.cookies.delete("csrf_token")
    if value is not None:
        page.client.cookies.set("csrf_token", value)

    response = page.do("PATCH", **{"X-CSRF-Token": page.token})

    assert_error(response, 403, "CSRF_FAILED")


def test_deed_with_empty_tokens_is_refused(page: Page) -> None:
    page.client.cookies.delete("csrf_token")
    page.client.cookies.set("csrf_token", "")

    response = page.do("PATCH", **{"X-CSRF-Token": ""})

    assert_error(response, 403, "CSRF_FAILED")


@pytest.mark.parametrize("place", ["query", "body"])
def test_deed_takes_the_token_from_the_header_alone(page: Page, place: str) -> None:
    """A form on a foreign page fills in everything else."""
    token = {"csrf_token": page.token}

    response = page.client.post(
        ITEMS,
        params=token if place == "query" else {},
        json={"title": "Shelf"} | (token if place == "body" else {}),
    )

    assert response.status_code in {403, 422}
    assert page.client.get(ITEMS).headers["x-total-count"] == "1"


@pytest.mark.parametrize("type_", ["text/plain", "application/x-www-form-urlencoded"])
def test_deed_of_a_plain_form_is_refused(page: Page, type_: str) -> None:
    """These need no preflight."""
    response = page.client.post(
        ITEMS, content=b'{"title": "Shelf"}', headers={"Content-Type": type_}
    )

    assert response.status_code in {403, 415}
    assert page.client.get(ITEMS).headers["x-total-count"] == "1"


# --- Where it comes from.


@pytest.mark.parametrize("deed", UNSAFE)
def test_deed_of_a_foreign_site_is_refused_whatever_else_is_right(
    page: Page, db: Session, deed: str
) -> None:
    before = every_row(db)
    ours = {"X-CSRF-Token": page.token, "Origin": "http://testserver"}

    response = page.do(deed, **ours, **{"Sec-Fetch-Site": "cross-site"})

    assert_error(response, 403, "CSRF_FAILED")
    assert every_row(db) == before


@pytest.mark.parametrize("deed", UNSAFE)
def test_deed_of_a_foreign_origin_is_refused_whatever_else_is_right(
    page: Page, db: Session, deed: str
) -> None:
    before = every_row(db)
    ours = {"X-CSRF-Token": page.token, "Sec-Fetch-Site": "same-origin"}

    response = page.do(deed, **ours, Origin="https://evil.example.com")

    assert_error(response, 403, "CSRF_FAILED")
    assert every_row(db) == before


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_origin_that_is_foreign_is_refused(page: Page, origin: str) -> None:
    response = page.do("PATCH", **{"X-CSRF-Token": page.token}, Origin=origin)

    assert_error(response, 403, "CSRF_FAILED")


@pytest.mark.parametrize(
    ("public_url", "host", "origin", "status"),
    [
        ("https://panel.example.com", "panel.example.com", "https://panel.example.com", 200),
        ("https://panel.example.com", "panel.example.com:443", "https://panel.example.com", 200),
        ("https://panel.example.com:8443", "10.0.0.7", "https://panel.example.com:8443", 200),
        ("https://Panel.example.com", "PANEL.example.com", "https://panel.example.com", 200),
        ("https://panel.example.com", "panel.example.com", "http://panel.example.com", 403),
        ("https://panel.example.com", "panel.example.com:80", "http://panel.example.com", 403),
        ("https://panel.example.com", "10.0.0.7", "http://10.0.0.7", 403),
        ("https://panel.example.com", "panel.example.com", "https://panel.example.com:8443", 403),
        ("https://panel.example.com", "panel.example.com", "https://panel.example.com:80", 403),
        ("https://panel.example.com:8443", "10.0.0.7", "https://panel.example.com", 403),
        ("http://panel.example.com", "panel.example.com", "http://panel.example.com", 200),
        ("http://panel.example.com", "panel.example.com", "http://panel.example.com:8080", 403),
    ],
)
def test_origin_is_scheme_host_and_port(
    ann: User, public_url: str, host: str, origin: str, status: int
) -> None:
    """Behind a proxy that ends TLS, the request itself comes in clear text."""
    with client_with(PUBLIC_URL=public_url, ALLOWED_HOSTS="*") as client:
        login = client.post(LOGIN, params={"mode": "cookie"}, data=FORM, headers={"Host": host})
        sent = {name: morsel.value for name, morsel in cookies_set_by(login).items()}
        headers = {
            "Host": host,
            "Origin": origin,
            "Cookie": "; ".join(f"{name}={value}" for name, value in sent.items()),
            "X-CSRF-Token": login.json()["csrf_token"],
        }
        changed = client.patch(ME, json={"full_name": "Ann"}, headers=headers)
        form = {"params": {"mode": "cookie"}, "data": FORM}
        again = client.post(LOGIN, headers={"Host": host, "Origin": origin}, **form)  # type: ignore[arg-type]

    assert (changed.status_code, again.status_code) == (status, status)


@pytest.mark.parametrize("origin", ["http://testserver", "http://127.0.0.1:8000"])
def test_origin_of_the_server_itself_is_taken(page: Page, origin: str) -> None:
    """The host that was asked, or the public one of the settings."""
    response = page.do("PATCH", **{"X-CSRF-Token": page.token}, Origin=origin)

    assert response.status_code == 200


@pytest.mark.parametrize("site", ["same-origin", "same-site", "none"])
def test_site_of_the_server_itself_is_taken(page: Page, site: str) -> None:
    response = page.do("PATCH", **{"X-CSRF-Token": page.token, "Sec-Fetch-Site": site})

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("settings", "origin", "status"),
    [
        ({"ALLOWED_ORIGINS": f'["{PANEL}"]'}, PANEL, 200),
        ({"ALLOWED_ORIGINS": f'["{PANEL}"]'}, f"{PANEL}.evil.com", 403),
        ({"ALLOWED_ORIGINS": '["*"]'}, PANEL, 403),
        ({"ALLOWED_ORIGINS": '["*"]'}, "*", 403),
        ({"PUBLIC_URL": "http://Panel.Example.com/desk"}, "http://panel.example.com", 200),
    ],
)
def test_origin_is_taken_that_the_settings_name(
    ann: User, settings: dict[str, str], origin: str, status: int
) -> None:
    with client_with(**settings) as client:
        token = sign_in_by_cookies(client, EMAIL)
        response = client.patch(
            ME, json={"full_name": "Ann"}, headers={"X-CSRF-Token": token, "Origin": origin}
        )

    assert response.status_code == status


# --- What is not subject to it.


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "https://evil.example.com"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_bearer_token_is_not_subject(as_user: TestClient, headers: dict[str, str]) -> None:
    response = as_user.post(ITEMS, json={"title": "Shelf"}, headers=headers)

    assert response.status_code == 201


@pytest.mark.parametrize("url", [REFRESH, "/api/v1/auth/logout"])
def test_refresh_token_in_the_body_is_not_subject(
    anonymous: TestClient, ann: User, url: str
) -> None:
    tokens = anonymous.post(LOGIN, data=FORM).json()

    response = anonymous.post(
        url,
        json={"refresh_token": tokens["refresh_token"]},
        headers={"Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site"},
    )

    assert response.is_success


def get_paths(app: Any) -> list[str]:
    assert isinstance(app, FastAPI)
    return [path for path, item in app.openapi()["paths"].items() if "get" in item]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reading_needs_no_token_and_changes_nothing(
    anonymous: TestClient, db: Session, method: str
) -> None:
    admin = make_user(db, email=EMAIL, password=PASSWORD, role=Role.ADMIN)
    sign_in_by_cookies(anonymous, EMAIL)
    values = make_path_values(db, admin=admin)
    before = every_row(db)

    for path in get_paths(anonymous.app):
        response = anonymous.request(
            method,
            path.format(**values),
            headers={"Sec-Fetch-Site": "cross-site"},
            params={"metric": "items"} if path.endswith("/timeseries") else {},
        )
        assert response.status_code == 200, path

    after = every_row(db)
    told = [event for event in after["audit_events"] if event not in before["audit_events"]]
    assert after == before | {"audit_events": after["audit_events"]}
    assert all("export" in str(event) for event in told)  # Of that a copy of the data has left.


# --- Signing somebody in on the attacker's behalf.


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_login_by_cookie_from_a_foreign_page_is_refused(
    anonymous: TestClient, ann: User, db: Session, headers: dict[str, str]
) -> None:
    before = every_row(db)

    response = anonymous.post(LOGIN, params={"mode": "cookie"}, data=FORM, headers=headers)

    assert_error(response, 403, "CSRF_FAILED")
    assert "set-cookie" not in response.headers
    assert every_row(db) == before


@pytest.mark.parametrize(
    ("mode", "headers"),
    [
        ("cookie", {}),
        ("cookie", {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}),
        ("token", {"Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site"}),
    ],
)
def test_login_by_cookie_from_our_page_is_taken(
    anonymous: TestClient, ann: User, mode: str, headers: dict[str, str]
) -> None:
    response = anonymous.post(LOGIN, params={"mode": mode}, data=FORM, headers=headers)

    assert response.status_code == 200


# --- Another key.


def test_rotated_key_leaves_pages_signed_in(ann: User) -> None:
    with client_with(SECRET_KEY=KEY) as client:
        token = sign_in_by_cookies(client, EMAIL)
        cookies = client.cookies

    with client_with(SECRET_KEY=NEXT_KEY, SECRET_KEY_PREVIOUS=KEY) as client:
        client.cookies = cookies
        read = client.get(ME)
        written = client.patch(ME, json={"full_name": "A"}, headers={"X-CSRF-Token": token})
        refreshed = client.post(REFRESH, headers={"X-CSRF-Token": token})
        renewed = refreshed.json()["csrf_token"]
        again = client.patch(ME, json={"full_name": "B"}, headers={"X-CSRF-Token": renewed})

    assert [one.status_code for one in (read, written, refreshed, again)] == [200] * 4
    assert renewed != token


def test_retired_key_opens_nothing_by_its_csrf_token(ann: User) -> None:
    with client_with(SECRET_KEY=KEY) as client:
        token = sign_in_by_cookies(client, EMAIL)
        cookies = client.cookies

    with client_with(SECRET_KEY=NEXT_KEY) as client:
        client.cookies = cookies
        written = client.patch(ME, json={"full_name": "A"}, headers={"X-CSRF-Token": token})
        refreshed = client.post(REFRESH, headers={"X-CSRF-Token": token})

    assert_error(written, 401, "INVALID_TOKEN")
    assert_error(refreshed, 403, "CSRF_FAILED")


# --- Tampering with the method, and with who is asking.


@pytest.mark.parametrize(
    "header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_method_is_not_overridden_by_a_header(
    as_admin: TestClient, admin: User, db: Session, header: str, method: str
) -> None:
    item = make_item(db, owner=admin)

    response = as_admin.request(method, f"{ITEMS}{item.id}", headers={header: "DELETE"})

    assert response.status_code == {"GET": 200, "POST": 405}[method]
    assert as_admin.get(f"{ITEMS}{item.id}").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("TRACE", "items/", "GET, HEAD, POST"),
        ("PUT", "items/", "GET, HEAD, POST"),
        ("DELETE", "users/", "GET, HEAD, POST"),
        ("TRACE", "users/me", "DELETE, GET, HEAD, PATCH, PUT"),
        ("POST", "users/me", "DELETE, GET, HEAD, PATCH, PUT"),
        ("PROPFIND", "users/me", "DELETE, GET, HEAD, PATCH, PUT"),
        ("GET", "auth/login", "POST"),
        ("TRACE", "auth/login", "POST"),
        ("DELETE", "auth/sessions", "GET, HEAD"),
        ("POST", "audit/", "GET, HEAD"),
    ],
)
def test_method_that_a_route_lacks_is_refused(
    as_admin: TestClient, method: str, path: str, allowed: str
) -> None:
    response = as_admin.request(method, f"/api/v1/{path}")

    assert_error(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == allowed


IDENTITIES = [
    "X-User-ID",
    "X-User",
    "X-Forwarded-User",
    "X-Remote-User",
    "Remote-User",
    "X-Auth-Request-Email",
    "X-Original-User",
    "From",
]


@pytest.mark.parametrize("header", IDENTITIES)
@pytest.mark.parametrize("named_by", ["id", "email"])
def test_header_never_says_who_is_asking(
    as_user: TestClient,
    anonymous: TestClient,
    user: User,
    admin: User,
    header: str,
    named_by: str,
) -> None:
    headers = {header: str(getattr(admin, named_by))}

    mine = as_user.get(ME, headers=headers)
    nobody = anonymous.get(ME, headers=headers)

    assert mine.json()["id"] == user.id
    assert_error(nobody, 401, "NOT_AUTHENTICATED")


def test_cookie_of_a_plain_number_says_nothing(anonymous: TestClient, admin: User) -> None:
    for name in ("user_id", "session", "access_token"):
        anonymous.cookies.set(name, str(admin.id))

    response = anonymous.get(ME)

    assert_error(response, 401, "INVALID_TOKEN")


def test_login_by_cookie_replaces_the_one_before(page: Page, db: Session) -> None:
    make_user(db, email="ben@example.com", password=PASSWORD)
    form = {"username": "ben@example.com", "password": PASSWORD}

    response = page.client.post(LOGIN, params={"mode": "cookie"}, data=form)

    token = cookies_set_by(response)["csrf_token"].value
    assert_error(page.do("profile", **{"X-CSRF-Token": page.token}), 403, "CSRF_FAILED")
    assert page.do("profile", **{"X-CSRF-Token": token}).json()["email"] == "ben@example.com"


def test_bearer_token_beside_cookies_answers_for_itself(
    page: Page, admin: User, db: Session
) -> None:
    """No page can make a browser send one."""
    bearer = {"Authorization": f"Bearer {make_token(db, user=admin)}"}

    response = page.do("profile", **bearer, **{"Sec-Fetch-Site": "cross-site"})

    assert response.json()["id"] == admin.id
