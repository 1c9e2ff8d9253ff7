"""Addresses: a slash at the end, `me` and other words for an id, bytes that are no UTF-8."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.models import Item, LoginSession, User
from tests.assertions import assert_error
from tests.factories import make_item, make_usage, make_user
from tests.settings import client_with

API = "/api/v1"
USERS = f"{API}/users/"
ITEMS = f"{API}/items/"

# --- A slash at the end.


@pytest.mark.parametrize(
    "path",
    [
        *("users", "users/{user}", "users/me", "users/me/permissions", "users/{user}/stats"),
        *("users/{user}/items", "users/me/items", "users/{user}/sessions", "users/export"),
        *(
            "users/import/template",
            "items",
            "items/{item}",
            "items/export",
            "items/import/template",
        ),
        *("usage", "usage/export", "audit", "audit/export", "letters", "jobs", "auth/sessions"),
        *("statistics/overview", "../../health", "../../health/ready"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "TRACE"])
def test_path_with_a_slash_is_as_without(
    as_admin: TestClient, db: Session, user: User, method: str, path: str
) -> None:
    item = make_item(db, owner=user)
    url = f"{API}/{path.format(user=user.id, item=item.id)}".replace(f"{API}/../..", "")

    without, with_slash = (
        as_admin.request(method, one, follow_redirects=False) for one in (url, f"{url}/")
    )

    assert without.status_code == (405 if method == "TRACE" else 200), without.text
    assert with_slash.status_code == without.status_code
    assert with_slash.headers.get("allow") == without.headers.get("allow")
    assert with_slash.headers["content-type"] == without.headers["content-type"]
    assert as_admin.get(f"{url}//").status_code == 404


def test_every_method_takes_a_slash(as_admin: TestClient, db: Session, admin: User) -> None:
    item = make_item(db, owner=admin)
    url = f"{ITEMS}{item.id}/"

    changed = [as_admin.request(one, url, json={"title": one}) for one in ("PATCH", "PUT")]
    deleted = as_admin.delete(url)
    restored = as_admin.post(f"{url}restore/")
    created = [as_admin.post(one, json={"title": "Lamp"}) for one in (ITEMS, ITEMS.rstrip("/"))]
    chosen = as_admin.post(f"{ITEMS}bulk/delete/", json={"ids": [item.id]})

    assert [one.json()["title"] for one in changed] == ["PATCH", "PUT"]
    assert (deleted.status_code, restored.status_code, chosen.status_code) == (204, 200, 200)
    assert [one.headers["location"] for one in created] == [
        f"{ITEMS}{one.json()['id']}" for one in created
    ]


def test_path_behind_a_prefix_takes_a_slash(as_admin: TestClient) -> None:
    mounted = TestClient(as_admin.app, root_path="/desk", headers=dict(as_admin.headers))

    for path in ("users/me", "users/me/", "users", "users/"):
        assert mounted.get(f"/desk{API}/{path}").status_code == 200


def test_path_behind_a_prefix_is_told_its_methods(as_admin: TestClient) -> None:
    mounted = TestClient(as_admin.app, root_path="/desk", headers=dict(as_admin.headers))

    for path, methods in (("items", "GET, HEAD, POST"), ("users/import", "POST")):
        response = mounted.delete(f"/desk{API}/{path}")
        assert_error(response, 405, "METHOD_NOT_ALLOWED")
        assert response.headers["allow"] == methods


def test_document_names_each_path_once(anonymous: TestClient) -> None:
    paths = anonymous.get(f"{API}/openapi.json").json()["paths"]

    assert len({path.rstrip("/") for path in paths}) == len(paths)


# --- `me`.


@pytest.mark.parametrize("role", [*Role])
def test_me_stands_for_ones_own_id(
    client_of: Callable[[User], TestClient], db: Session, admin: User, role: Role
) -> None:
    caller = make_user(db, role=role, department="Sales")
    own = make_item(db, owner=caller, title="Own")
    make_item(db, owner=admin, title="Another's")
    make_usage(db, user=caller, tokens=7)
    client = client_of(caller)

    for path in ("", "/items", "/stats", "/impact"):
        by_word, by_id = client.get(f"{USERS}me{path}"), client.get(f"{USERS}{caller.id}{path}")
        assert by_word.status_code == 200, by_word.text
        assert by_word.json() == by_id.json()
    items = client.get(f"{USERS}me/items", params={"q": "own", "limit": 1})
    assert [one["id"] for one in items.json()] == [own.id]
    assert items.headers["x-total-count"] == "1"
    assert client.get(f"{USERS}me/stats").json()["total_tokens_used"] == 7


@pytest.mark.parametrize("role", [*Role])
def test_end_sessions_of_me_signs_the_caller_out_everywhere(
    client_of: Callable[[User], TestClient], db: Session, admin: User, role: Role
) -> None:
    caller = make_user(db, role=role)
    first, second, other = client_of(caller), client_of(caller), client_of(admin)

    ended = first.delete(f"{USERS}me/sessions")

    assert ended.status_code == 204
    assert [one.get(f"{USERS}me").status_code for one in (first, second, other)] == [401, 401, 200]


@pytest.mark.parametrize("role", [*Role])
def test_get_sessions_of_me_lists_the_callers(
    client_of: Callable[[User], TestClient], db: Session, admin: User, role: Role
) -> None:
    caller = make_user(db, role=role)
    client, *_ = [client_of(user) for user in (caller, caller, admin)]

    response = client.get(f"{USERS}me/sessions")

    own = select(LoginSession.id).where(LoginSession.user_id == caller.id)
    assert {one["id"] for one in response.json()} == set(db.scalars(own))
    assert response.json() == client.get(f"{API}/auth/sessions").json()


def test_me_restores_nobody(as_admin: TestClient) -> None:
    assert_error(as_admin.post(f"{USERS}me/restore"), 409, "NOT_DELETED")


@pytest.mark.parametrize("path", ["items", "stats", "sessions", "impact", "usage"])
def test_me_needs_a_login(anonymous: TestClient, path: str) -> None:
    assert_error(anonymous.get(f"{USERS}me/{path}"), 401, "NOT_AUTHENTICATED")


# --- Other words.

WORDS = ["foo", "1.0", "1e3", "+1", "true", "null", "%00", "%D9%A3", "1,2", "ME", "Me", "-"]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        *((one, "items/{}", "ITEM_NOT_FOUND") for one in ("GET", "PATCH", "PUT", "DELETE")),
        ("POST", "items/{}/restore", "ITEM_NOT_FOUND"),
        *((one, "users/{}", "USER_NOT_FOUND") for one in ("GET", "PATCH", "PUT", "DELETE")),
        ("POST", "users/{}/restore", "USER_NOT_FOUND"),
        *(
            ("GET", f"users/{{}}/{one}", "USER_NOT_FOUND")
            for one in ("items", "stats", "impact", "sessions")
        ),
        ("DELETE", "users/{}/sessions", "USER_NOT_FOUND"),
        ("GET", "usage/{}", "USAGE_NOT_FOUND"),
        ("POST", "letters/{}/resend", "LETTER_NOT_FOUND"),
        ("DELETE", "auth/sessions/{}", "SESSION_NOT_FOUND"),
        ("POST", "audit/{}/revert", "REQUEST_NOT_FOUND"),
        ("POST", "jobs/{}/run", "JOB_NOT_FOUND"),
    ],
)
@pytest.mark.parametrize("word", WORDS)
def test_word_for_an_id_finds_nothing(
    as_admin: TestClient, method: str, path: str, code: str, word: str
) -> None:
    body: Any = {} if method in {"PATCH", "PUT"} else None

    response = as_admin.request(method, f"{API}/{path.format(word)}", json=body)

    assert_error(response, 404, code)


@pytest.mark.parametrize("path", ["items/me", "usage/me", "items/me/restore"])
def test_me_is_nobody_elses_id(as_admin: TestClient, path: str) -> None:
    method = "POST" if path.endswith("restore") else "GET"

    assert as_admin.request(method, f"{API}/{path}").status_code == 404


def test_word_for_an_id_tells_nothing_to_whom_it_is_not_for(
    anonymous: TestClient, as_user: TestClient
) -> None:
    assert_error(anonymous.get(f"{ITEMS}foo"), 401, "NOT_AUTHENTICATED")
    assert_error(as_user.delete(f"{USERS}foo"), 403, "PERMISSION_DENIED")


# --- Bytes that are no UTF-8.

BROKEN = ["%ff", "%C3", "%C3%28", "caf%E9", "%ED%A0%80", "%F5%80%80%80", "%C0%AF", "a%80b"]


@pytest.mark.parametrize(
    "url",
    [
        *(ITEMS + "?q={}", ITEMS + "?title_like={}", ITEMS + "?{}=1", ITEMS + "export?q={}"),
        *(USERS + "?email={}", USERS + "?filter={}", USERS + "me?x={}", "/health?{}"),
        *(ITEMS + "{}", ITEMS + "{}/restore", USERS + "{}/items", "/{}", "/docs/{}"),
        f"{API}/statistics/timeseries?metric=items&tz={{}}",
    ],
)
@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_url_that_is_no_utf8_is_refused(
    as_admin: TestClient, method: str, url: str, broken: str
) -> None:
    response = as_admin.request(method, url.format(broken))

    assert_error(response, 400, "BAD_REQUEST")


@pytest.mark.parametrize("q", ["caf%C3%A9", "cafe%CC%81", "100%", "%zz", "a+b", "%25ff"])
def test_url_in_utf8_is_read(as_admin: TestClient, q: str) -> None:
    assert as_admin.get(f"{ITEMS}?q={q}").status_code == 200


def test_refusal_of_an_url_reaches_pages_of_other_origins() -> None:
    with client_with(ALLOWED_ORIGINS='["https://panel.example"]') as client:
        response = client.get(f"{ITEMS}?q=%ff", headers={"Origin": "https://panel.example"})

    assert_error(response, 400, "BAD_REQUEST")
    assert response.headers["access-control-allow-origin"] == "https://panel.example"


# --- Bodies that are no UTF-8.


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "latin-1"]
)
@pytest.mark.parametrize("media_type", ["application/json", "application/merge-patch+json"])
def test_json_that_is_no_utf8_is_refused(
    as_admin: TestClient, db: Session, encoding: str, media_type: str
) -> None:
    body = '{"title": "Café"}'.encode(encoding)
    headers = {"Content-Type": media_type, "Idempotency-Key": "one"}

    response = as_admin.post(ITEMS, content=body, headers=headers)

    assert_error(response, 400, "INVALID_JSON")
    assert db.scalars(select(Item)).all() == []


def test_json_may_begin_with_a_byte_order_mark(as_admin: TestClient) -> None:
    body = '{"title": "Café"}'.encode("utf-8-sig")

    response = as_admin.post(ITEMS, content=body, headers={"Content-Type": "application/json"})

    assert response.json()["title"] == "Café"
