"""Sessions of browsers: the tokens are in cookies that scripts cannot read."""

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.security import present_key_id
from app.models import LoginSession, User
from tests.assertions import assert_error
from tests.browser import LOGIN, PASSWORD, cookie_header, cookies_set_by, sign_in_by_cookies
from tests.factories import make_session, make_token, make_user
from tests.settings import client_with

ME = "/api/v1/users/me"
ITEMS = "/api/v1/items/"
SESSIONS = "/api/v1/auth/sessions"
REFRESH = "/api/v1/auth/refresh"
LOGOUT = "/api/v1/auth/logout"
LOGOUT_ALL = "/api/v1/auth/logout-all"
EMAIL = "ann@example.com"
FORM = {"username": EMAIL, "password": PASSWORD}

ACCESS_SECONDS = 15 * 60
SESSION_SECONDS = 7 * 24 * 60 * 60
# By the scheme under which people reach the server: access, refresh, CSRF.
NAMES = {
    "http": ("access_token", "refresh_token", "csrf_token"),
    "https": ("__Host-access_token", "__Secure-refresh_token", "csrf_token"),
}
LOGOUTS = pytest.mark.parametrize("url", [LOGOUT, LOGOUT_ALL])


@pytest.fixture
def ann(db: Session) -> User:
    return make_user(db, email=EMAIL, password=PASSWORD)


@pytest.fixture
def browser(anonymous: TestClient, ann: User) -> TestClient:
    """Signed in as Ann, on a page that sends the CSRF token with everything."""
    anonymous.headers["X-CSRF-Token"] = sign_in_by_cookies(anonymous, EMAIL)
    return anonymous


@pytest.fixture(params=NAMES)
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def served(scheme: str, ann: User) -> Iterator[TestClient]:
    """A client of a server that people reach by this scheme."""
    url = f"{scheme}://testserver"
    with client_with(PUBLIC_URL=url) as client:
        client.base_url = url
        yield client


def log_in(client: TestClient, mode: str = "cookie") -> Response:
    return client.post(LOGIN, params={"mode": mode}, data=FORM)


def count_live_sessions(db: Session) -> int:
    statement = select(func.count()).where(LoginSession.ended_at.is_(None))
    return db.scalar(statement.select_from(LoginSession)) or 0


# --- Signing in.


def test_login_by_cookie_names_its_cookies_by_the_scheme(served: TestClient, scheme: str) -> None:
    cookies = cookies_set_by(log_in(served))

    assert tuple(cookies) == NAMES[scheme]
    assert {bool(cookie["secure"]) for cookie in cookies.values()} == {scheme == "https"}


def test_login_by_cookie_sets_cookies_that_only_this_host_gets(
    served: TestClient, scheme: str
) -> None:
    cookies = cookies_set_by(log_in(served))

    access, refresh, csrf = (cookies[name] for name in NAMES[scheme])
    assert {cookie["domain"] for cookie in cookies.values()} == {""}
    assert {cookie["samesite"].lower() for cookie in cookies.values()} == {"lax"}
    assert (access["path"], refresh["path"], csrf["path"]) == ("/", "/api/v1/auth", "/")


def test_login_by_cookie_hides_the_tokens_from_scripts(served: TestClient, scheme: str) -> None:
    cookies = cookies_set_by(log_in(served))

    hidden = [bool(cookies[name]["httponly"]) for name in NAMES[scheme]]
    assert hidden == [True, True, False]


def test_login_by_cookie_keeps_cookies_as_long_as_they_are_good(
    served: TestClient, scheme: str
) -> None:
    cookies = cookies_set_by(log_in(served))

    access, refresh, csrf = (int(cookies[name]["max-age"]) for name in NAMES[scheme])
    assert access == ACCESS_SECONDS
    assert SESSION_SECONDS - 60 <= refresh <= SESSION_SECONDS
    assert csrf == refresh


def answer_with(csrf_token: str) -> dict[str, Any]:
    return {"csrf_token": csrf_token, "token_type": "cookie", "expires_in": ACCESS_SECONDS}


def test_login_by_cookie_answers_no_token(anonymous: TestClient, ann: User) -> None:
    response = log_in(anonymous)

    cookies = cookies_set_by(response)
    csrf_token = cookies["csrf_token"].value
    assert response.json() == answer_with(csrf_token)
    assert cookies["access_token"].value not in response.text
    assert cookies["refresh_token"].value not in response.text


def test_login_by_cookie_signs_in(served: TestClient, ann: User) -> None:
    log_in(served)

    response = served.get(ME)

    assert response.status_code == 200
    assert response.json()["id"] == ann.id


def test_login_by_cookie_sets_none_when_it_is_refused(anonymous: TestClient, ann: User) -> None:
    response = anonymous.post(
        LOGIN, params={"mode": "cookie"}, data=FORM | {"password": "curtains-on-friday"}
    )

    assert_error(response, 401, "INVALID_CREDENTIALS")
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("query", ["", "?mode=token"])
def test_login_sets_no_cookie_unless_asked(anonymous: TestClient, ann: User, query: str) -> None:
    response = anonymous.post(f"{LOGIN}{query}", data=FORM)

    assert set(response.json()) >= {"access_token", "refresh_token"}
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("mode", ["", "Cookie", "both"])
def test_login_refuses_an_unknown_mode(anonymous: TestClient, ann: User, mode: str) -> None:
    response = log_in(anonymous, mode=mode)

    assert_error(response, 422, "INVALID_REQUEST", "mode")


def test_login_by_cookie_keeps_to_the_path_below_a_proxy(anonymous: TestClient, ann: User) -> None:
    mounted = TestClient(anonymous.app, root_path="/desk")
    mounted.portal = anonymous.portal

    response = mounted.post(f"/desk{LOGIN}", params={"mode": "cookie"}, data=FORM)

    cookies = cookies_set_by(response)
    assert cookies["access_token"]["path"] == "/"
    assert cookies["refresh_token"]["path"] == "/desk/api/v1/auth"


# --- What authenticates.


def test_cookie_without_its_prefix_is_none_over_https(ann: User, db: Session) -> None:
    """Another host, or a page over plain HTTP, may have set it."""
    url = "https://testserver"
    with client_with(PUBLIC_URL=url) as client:
        client.base_url = url
        client.cookies.set("access_token", make_token(db, user=ann))
        response = client.get(ME)

    assert_error(response, 401, "NOT_AUTHENTICATED")


@pytest.mark.parametrize("value", ["", "x", "a.b.c", "x" * 5000])
def test_cookie_of_garbage_is_refused(anonymous: TestClient, value: str) -> None:
    response = anonymous.get(ME, headers=cookie_header({"access_token": value}))

    assert_error(response, 401, "INVALID_TOKEN")


def test_cookie_of_the_refresh_token_reads_nothing(browser: TestClient) -> None:
    refresh_token = browser.cookies["refresh_token"]
    browser.cookies.clear()
    browser.cookies.set("access_token", refresh_token)

    response = browser.get(ME)

    assert_error(response, 401, "INVALID_TOKEN")


def test_cookie_ends_with_its_account(browser: TestClient, ann: User, db: Session) -> None:
    ann.is_active = False
    db.commit()

    response = browser.get(ME)

    assert_error(response, 401, "INVALID_TOKEN")


def test_bearer_token_wins_over_cookies(browser: TestClient, db: Session) -> None:
    ben = make_user(db)
    bearer = {"Authorization": f"Bearer {make_token(db, user=ben)}"}

    read = browser.get(ME, headers=bearer)
    del browser.headers["X-CSRF-Token"]
    written = browser.patch(ME, json={"full_name": "Ben"}, headers=bearer)

    assert read.json()["id"] == ben.id
    assert written.json()["id"] == ben.id


def test_bearer_token_that_is_refused_is_not_made_up_for_by_cookies(browser: TestClient) -> None:
    response = browser.get(ME, headers={"Authorization": "Bearer x"})

    assert_error(response, 401, "INVALID_TOKEN")


# --- Refreshing.


def test_refresh_by_cookie_sets_another_pair(browser: TestClient) -> None:
    before = dict(browser.cookies)

    response = browser.post(REFRESH)

    after = dict(browser.cookies)
    assert response.status_code == 200
    assert response.json() == answer_with(after["csrf_token"])
    assert after["access_token"] != before["access_token"]
    assert after["refresh_token"] != before["refresh_token"]
    assert after["refresh_token"] not in response.text
    assert browser.get(ME).status_code == 200


def test_refresh_by_cookie_needs_no_access_token(browser: TestClient) -> None:
    browser.cookies.delete("access_token")

    response = browser.post(REFRESH)

    assert response.status_code == 200
    assert browser.get(ME).status_code == 200


def test_refresh_by_cookie_keeps_other_tabs_signed_in(browser: TestClient) -> None:
    """The CSRF token is the session's: what another tab has read of it stays good."""
    browser.post(REFRESH)

    response = browser.patch(ME, json={"full_name": "Ann Lee"})

    assert response.status_code == 200


def test_refresh_by_cookie_does_not_outlive_the_session(browser: TestClient, db: Session) -> None:
    session = db.scalars(select(LoginSession)).one()
    session.expires_at = utc_now() + timedelta(hours=1)
    db.commit()

    cookies = cookies_set_by(browser.post(REFRESH))

    assert 0 < int(cookies["refresh_token"]["max-age"]) <= 3600
    assert 0 < int(cookies["csrf_token"]["max-age"]) <= 3600


def test_refresh_by_body_wins_over_the_cookie(browser: TestClient) -> None:
    tokens = log_in(browser, mode="token").json()
    before = dict(browser.cookies)
    del browser.headers["X-CSRF-Token"]

    response = browser.post(REFRESH, json={"refresh_token": tokens["refresh_token"]})

    assert set(response.json()) >= {"access_token", "refresh_token"}
    assert "set-cookie" not in response.headers
    assert dict(browser.cookies) == before


def test_refresh_by_cookie_refuses_an_access_token(browser: TestClient) -> None:
    access_token = browser.cookies["access_token"]
    browser.cookies.clear()
    browser.cookies.set("refresh_token", access_token)

    response = browser.post(REFRESH)

    assert_error(response, 401, "INVALID_TOKEN")


def test_refresh_without_a_token_is_told_so(anonymous: TestClient) -> None:
    response = anonymous.post(REFRESH)

    assert_error(response, 401, "NOT_AUTHENTICATED")


# --- Signing out.


@LOGOUTS
def test_logout_by_cookie_ends_the_session(browser: TestClient, url: str) -> None:
    bearer = {"Authorization": f"Bearer {browser.cookies['access_token']}"}
    body = {"refresh_token": browser.cookies["refresh_token"]}

    response = browser.post(url)

    assert response.status_code == 204
    assert_error(browser.get(ME, headers=bearer), 401, "INVALID_TOKEN")
    assert_error(browser.post(REFRESH, json=body), 401, "INVALID_TOKEN")


@LOGOUTS
def test_logout_by_cookie_clears_them(browser: TestClient, url: str) -> None:
    browser.post(url)

    assert dict(browser.cookies) == {}
    assert_error(browser.get(ME), 401, "NOT_AUTHENTICATED")


def test_logout_clears_cookies_as_they_were_set(served: TestClient, scheme: str) -> None:
    """A browser drops only the one of the same name and path, and takes a prefix as seriously."""
    answer = log_in(served)
    token = answer.json()["csrf_token"]

    cleared = cookies_set_by(served.post(LOGOUT, headers={"X-CSRF-Token": token}))

    assert tuple(cleared) == NAMES[scheme]
    for name, cookie in cookies_set_by(answer).items():
        kept = {key: value for key, value in cookie.items() if key != "max-age"}
        assert cleared[name].items() == (kept | {"max-age": "0"}).items()
        assert cleared[name].value == ""


@LOGOUTS
def test_logout_by_cookie_needs_no_access_token(browser: TestClient, db: Session, url: str) -> None:
    browser.cookies.delete("access_token")

    response = browser.post(url)

    assert response.status_code == 204
    assert count_live_sessions(db) == 0


@LOGOUTS
def test_logout_by_cookie_takes_an_access_token_that_has_expired(
    browser: TestClient, db: Session, url: str
) -> None:
    claims = jwt.decode(browser.cookies["access_token"], options={"verify_signature": False})
    claims |= {name: claims[name] - 3600 for name in ("iat", "exp")}
    key = os.environ["SECRET_KEY"]
    expired = jwt.encode(claims, key, algorithm="HS256", headers={"kid": present_key_id()})
    browser.cookies.clear()
    cookies = {"access_token": expired, "csrf_token": browser.headers["X-CSRF-Token"]}

    response = browser.post(url, headers=cookie_header(cookies))

    assert response.status_code == 204
    assert count_live_sessions(db) == 0


@pytest.mark.parametrize(("url", "left"), [(LOGOUT, 1), (LOGOUT_ALL, 0)])
def test_logout_by_cookie_ends_one_session_or_all(
    browser: TestClient, ann: User, db: Session, url: str, left: int
) -> None:
    make_session(db, user=ann)

    browser.post(url)

    assert count_live_sessions(db) == left


@LOGOUTS
def test_logout_by_cookie_twice_is_no_mistake(browser: TestClient, url: str) -> None:
    cookies = dict(browser.cookies)
    browser.post(url)

    response = browser.post(url, headers=cookie_header(cookies))

    assert response.status_code == 204


@LOGOUTS
def test_logout_without_a_token_is_told_so(anonymous: TestClient, url: str) -> None:
    response = anonymous.post(url)

    assert_error(response, 401, "NOT_AUTHENTICATED")


def test_get_my_sessions_by_cookie_marks_the_one_that_asks(
    browser: TestClient, ann: User, db: Session
) -> None:
    other = make_session(db, user=ann)

    sessions = browser.get(SESSIONS).json()

    assert {(one["id"] == other.id, one["is_current"]) for one in sessions} == {
        (True, False),
        (False, True),
    }
