"""How often something may be done: by whom it is counted, what a refusal says, when it ends."""

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import time_machine
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response
from redis import Redis
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.main import create_app
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_session, make_token, make_user
from tests.letters import letters
from tests.racing import at_once
from tests.services.redis import RedisServer
from tests.settings import changed_settings

LOGIN = "/api/v1/auth/login"
REFRESH = "/api/v1/auth/refresh"
LOGOUT = "/api/v1/auth/logout"
LOGOUT_ALL = "/api/v1/auth/logout-all"
REGISTER = "/api/v1/auth/register"
VERIFY = "/api/v1/auth/email/verify"
CONFIRM = "/api/v1/auth/email/verify/confirm"
FORGOT = "/api/v1/auth/password/forgot"
RESET = "/api/v1/auth/password/reset"
MY_PASSWORD = "/api/v1/users/me/password"
ME = "/api/v1/users/me"
ITEMS = "/api/v1/items/"
OPENAPI = "/api/v1/openapi.json"
PASSWORD = "wallpaper-on-tuesday"
WRONG = "curtains-on-friday"
ADDRESS = "192.0.2.1"

AppWith = Callable[..., FastAPI]


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    """It stands still: no test may fall on the full minute, where general limits begin anew."""
    with time_machine.travel("2030-01-01T00:10:30Z", tick=False) as clock:
        yield clock


@pytest.fixture
def app_with(database: None) -> Iterator[AppWith]:
    """Make an application that limits, under the given settings beside the defaults."""
    with ExitStack() as stack:

        def app_with(**settings: str) -> FastAPI:
            stack.enter_context(changed_settings(**{"RATE_LIMIT_ENABLED": "true"} | settings))
            app = create_app()
            stack.callback(app.state.limiter.close)
            return app

        yield app_with


def client(app: FastAPI, address: str = ADDRESS, **headers: str) -> TestClient:
    return TestClient(app, client=(address, 50000), headers=headers)


def signed_in(app: FastAPI, db: Session, user: User, address: str = ADDRESS) -> TestClient:
    return client(app, address, Authorization=f"Bearer {make_token(db, user=user)}")


def sign_in(client: TestClient, username: str = "ann@example.com", password: str = WRONG) -> Any:
    return client.post(LOGIN, data={"username": username, "password": password})


def statuses(ask: Callable[[], Response], times: int) -> list[int]:
    return [ask().status_code for _ in range(times)]


def limits_in(response: Response) -> dict[str, dict[str, int]]:
    """Read both headers, lists of structured fields such as `"login";q=5;w=60`."""
    found: dict[str, dict[str, int]] = {}
    for header in ("ratelimit-policy", "ratelimit"):
        for entry in response.headers.get(header, "").split(", "):
            if read := re.fullmatch(r'"([a-z0-9-]+)";(\w)=(\d+);(\w)=(\d+)', entry):
                values = {read[2]: int(read[3]), read[4]: int(read[5])}
                found.setdefault(read[1], {}).update(values)
    return found


@pytest.fixture
def ann(db: Session) -> User:
    return make_user(db, email="ann@example.com", username="annlee", password=PASSWORD)


# --- The refusal, and what every answer tells.


def test_refusal_is_the_one_error_body_and_says_when_to_come_back(app_with: AppWith) -> None:
    asking = client(app_with(RATE_LIMIT_ANONYMOUS="1/minute"))
    asking.get(ME)

    response = asking.get(ME)

    assert_error(response, 429, "RATE_LIMITED")
    assert 1 <= int(response.headers["retry-after"]) <= 60
    assert response.headers["x-content-type-options"] == "nosniff"


def test_login_tells_what_is_left_of_each_limit(app_with: AppWith, ann: User) -> None:
    asking = client(app_with())

    answers = [sign_in(asking, password=PASSWORD), sign_in(asking), asking.post(LOGIN)]

    assert [answer.status_code for answer in answers] == [200, 401, 422]
    left = [{name: one["r"] for name, one in limits_in(answer).items()} for answer in answers]
    assert left == [
        {"anonymous-60": 59, "anonymous-3600": 999, "login-address": 29, "login": 4},
        {"anonymous-60": 58, "anonymous-3600": 998, "login-address": 28, "login": 3},
        {"anonymous-60": 57, "anonymous-3600": 997, "login-address": 27},
    ]


def test_headers_name_quota_window_and_time(app_with: AppWith) -> None:
    response = sign_in(client(app_with()))

    limits = limits_in(response)
    policies = {name: (one["q"], one["w"]) for name, one in limits.items()}
    assert policies == {
        "anonymous-60": (60, 60),
        "anonymous-3600": (1000, 3600),
        "login-address": (30, 60),
        "login": (5, 60),
    }
    assert all(1 <= one["t"] <= one["w"] for one in limits.values())


def test_refusal_tells_the_limit_that_is_reached(app_with: AppWith) -> None:
    asking = client(app_with())
    for _ in range(5):
        sign_in(asking)

    response = sign_in(asking)

    limit = limits_in(response)["login"]
    assert (response.status_code, limit["r"]) == (429, 0)
    assert limit["t"] == int(response.headers["retry-after"])


def test_every_answer_to_a_user_tells_what_is_left(
    app_with: AppWith, db: Session, user: User
) -> None:
    asking = signed_in(app_with(), db, user)

    answers = [
        asking.get(ME),
        asking.head(ME),
        asking.get("/api/v1/users/"),
        asking.get(f"{ITEMS}999"),
        asking.post(ITEMS, json={}),
        asking.post(ITEMS, json={"title": "Lamp"}),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 403, 404, 422, 201]
    left = [limits_in(answer)["user"]["r"] for answer in answers]
    assert left == [1199, 1198, 1197, 1196, 1195, 1194]


def test_page_of_another_origin_may_read_the_headers(app_with: AppWith) -> None:
    panel = "https://panel.example.com"
    asking = client(app_with(ALLOWED_ORIGINS=panel, RATE_LIMIT_ANONYMOUS="1/minute"))
    asking.get(ME)

    response = asking.get(ME, headers={"Origin": panel})

    shown = response.headers["access-control-expose-headers"].lower().split(", ")
    assert response.status_code == 429
    assert {"ratelimit", "ratelimit-policy", "retry-after"} <= set(shown)


def test_nothing_is_limited_where_limits_are_off(app_with: AppWith, ann: User) -> None:
    asking = client(app_with(RATE_LIMIT_ENABLED="false", RATE_LIMIT_ANONYMOUS="1/minute"))

    answers = [sign_in(asking) for _ in range(7)]

    assert {answer.status_code for answer in answers} == {401}
    assert all("ratelimit" not in answer.headers for answer in answers)


# --- The general limits.


def test_requests_without_a_valid_login_count_by_address(
    app_with: AppWith, db: Session, user: User
) -> None:
    app = app_with(RATE_LIMIT_ANONYMOUS="5/minute", OPEN_REGISTRATION="true")
    ended = make_session(db, user=user, ended_at=utc_now())
    of_ended = make_token(db, user=user, session=ended)
    asking = client(app)

    answers = [
        asking.get(ME),
        asking.get(ME, headers={"Authorization": "Bearer nonsense"}),
        asking.get(ME, headers={"Authorization": f"Bearer {of_ended}"}),
        asking.post(FORGOT, json={"email": "ann@example.com"}),
        asking.get(OPENAPI),
        asking.get(ME),
        asking.get(OPENAPI),
        asking.post(REFRESH, json={"refresh_token": "x"}),
        asking.post(LOGIN),
    ]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 202, 200] + [429] * 4
    assert client(app, "192.0.2.2").get(ME).status_code == 401


def test_every_window_of_a_limit_holds(app_with: AppWith, clock: time_machine.Traveller) -> None:
    asking = client(app_with(RATE_LIMIT_ANONYMOUS="2/minute;3/hour"))

    first = statuses(lambda: asking.get(ME), 3)
    clock.shift(60)
    second = [asking.get(ME) for _ in range(2)]

    assert first == [401, 401, 429]
    assert [answer.status_code for answer in second] == [401, 429]
    assert int(second[1].headers["retry-after"]) == 60 * 60 - 11 * 60 - 30


def test_user_counts_alone_from_any_address(
    app_with: AppWith, db: Session, user: User, admin: User
) -> None:
    app = app_with(RATE_LIMIT_USER="3/minute", RATE_LIMIT_ANONYMOUS="1/minute")

    before = statuses(lambda: signed_in(app, db, user).get(ME), 3)
    elsewhere = signed_in(app, db, user, "192.0.2.2").get(ME)

    assert before == [200, 200, 200]
    assert_error(elsewhere, 429, "RATE_LIMITED")
    assert signed_in(app, db, admin).get(ME).status_code == 200


def test_health_is_not_limited(app_with: AppWith) -> None:
    asking = client(app_with(RATE_LIMIT_ANONYMOUS="1/minute"))

    answers = [asking.get(path) for path in ("/health", "/health/ready") for _ in range(3)]

    assert {answer.status_code for answer in answers} == {200}
    assert all("ratelimit" not in answer.headers for answer in answers)


def test_refused_write_changes_nothing(app_with: AppWith, db: Session, user: User) -> None:
    asking = signed_in(app_with(RATE_LIMIT_USER="1/minute"), db, user)
    asking.get(ME)

    response = asking.delete(ME)

    db.expire_all()
    assert response.status_code == 429
    assert user.deleted_at is None


# --- Login.


def test_login_counts_an_account_from_all_addresses(app_with: AppWith, ann: User) -> None:
    app = app_with()

    tried = [sign_in(client(app, f"192.0.2.{n}")).status_code for n in range(1, 6)]
    right = sign_in(client(app, "192.0.2.6"), password=PASSWORD)

    assert tried == [401] * 5
    assert_error(right, 429, "RATE_LIMITED")


def test_login_counts_each_spelling_of_a_name_as_one(app_with: AppWith, ann: User) -> None:
    asking = client(app_with(RATE_LIMIT_LOGIN="2/minute"))

    answers = [sign_in(asking, name) for name in ("Ann@Example.com", "ANN@example.COM")]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert sign_in(asking, "ann@example.com").status_code == 429
    assert sign_in(asking, "bob@example.com").status_code == 401


# Two names of one account, of two, of none: what they are tells nothing.
NAMES: dict[str, dict[str, Any]] = {
    "known": {},
    "unknown": {"email": "bob@example.com", "username": "bob"},
    "inactive": {"is_active": False},
    "unverified": {"is_verified": False},
    "deleted": {"deleted_at": utc_now()},
    "without a password": {"hashed_password": None},
    "known by the one name": {"username": "bob"},
    "known by the other name": {"email": "bob@example.com"},
}


@pytest.mark.parametrize("names", [("ann.lee@corp.example", "ann.lee"), ("ANN.LEE", "ann.lee")])
@pytest.mark.parametrize("who", NAMES)
def test_login_limits_tell_nothing_of_who_exists(
    app_with: AppWith, db: Session, who: str, names: tuple[str, str]
) -> None:
    values = {"email": "ann.lee@corp.example", "username": "ann.lee", "password": PASSWORD}
    make_user(db, **values | NAMES[who])
    asking = client(app_with())

    asked = [sign_in(asking, name) for name in (*names, *[names[0]] * 4, *[names[1]] * 4)]

    told = [(limits_in(one)["login"]["r"], one.headers.get("retry-after")) for one in asked]
    if names[0].lower() != names[1]:
        assert [left for left, _ in told] == [4, 4, 3, 2, 1, 0, 3, 2, 1, 0]
        assert {one.status_code for one in asked} == {401}
    else:
        assert [left for left, _ in told] == [4, 3, 2, 1, 0, 0, 0, 0, 0, 0]
        assert told[5:] == [(0, "60")] * 5
    assert [limits_in(one)["login-address"]["r"] for one in asked] == list(range(29, 19, -1))


def test_login_counts_success_as_it_counts_failure(app_with: AppWith, ann: User) -> None:
    asking = client(app_with(RATE_LIMIT_LOGIN="2/minute"))

    answers = [sign_in(asking, ann.email, password) for password in (PASSWORD, WRONG, PASSWORD)]

    assert [answer.status_code for answer in answers] == [200, 401, 429]
    assert sign_in(asking, ann.username, PASSWORD).status_code == 200


def test_login_beyond_the_limit_looks_nobody_up(
    app_with: AppWith, ann: User, statements: list[str]
) -> None:
    asking = client(app_with(RATE_LIMIT_LOGIN="1/minute"))
    sign_in(asking)
    statements.clear()

    response = sign_in(asking)

    assert response.status_code == 429
    assert statements == []


def test_login_counts_unknown_names_alike(app_with: AppWith, ann: User) -> None:
    app = app_with(RATE_LIMIT_LOGIN="2/minute")

    answers = [
        [sign_in(client(app, f"192.0.2.{last}"), name) for _ in range(3)]
        for last, name in enumerate(["ann@example.com", "none@example.com", "no name"])
    ]

    told = [
        [(a.status_code, a.headers["ratelimit"], a.headers.get("retry-after")) for a in one]
        for one in answers
    ]
    assert told[0] == told[1] == told[2]
    assert told[0][2][0] == 429


def test_login_counts_an_address_over_all_accounts(app_with: AppWith, ann: User) -> None:
    app = app_with(RATE_LIMIT_LOGIN_ADDRESS="4/minute")
    asking = client(app)

    tried = [sign_in(asking, f"user{n}@example.com").status_code for n in range(4)]
    right = sign_in(asking, password=PASSWORD)

    assert tried == [401] * 4
    assert_error(right, 429, "RATE_LIMITED")
    assert sign_in(client(app, "192.0.2.2"), password=PASSWORD).status_code == 200


UNREADABLE: dict[str, dict[str, Any]] = {
    "422 nothing": {},
    "422 no password": {"data": {"username": "ann@example.com"}},
    "422 unknown field": {"data": {"username": "a", "password": "b", "role": "admin"}},
    "422 unknown parameter": {"params": {"x": "1"}},
    "422 JSON without a password": {"json": {"username": "a"}},
    "422 JSON that is no object": {"json": ["a", "b"]},
    "400 broken JSON": {"content": b"{", "headers": {"Content-Type": "application/json"}},
    "415 text": {"content": b"{}", "headers": {"Content-Type": "text/plain"}},
    "400 broken form": {
        "content": b"--x\r\nnonsense",
        "headers": {"Content-Type": "multipart/form-data"},
    },
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_login_counts_unreadable_bodies_for_the_address(
    app_with: AppWith, ann: User, name: str
) -> None:
    asking = client(app_with(RATE_LIMIT_LOGIN_ADDRESS="2/minute"))

    unreadable = statuses(lambda: asking.post(LOGIN, **UNREADABLE[name]), 3)
    right = sign_in(asking, password=PASSWORD)

    assert unreadable == [int(name[:3])] * 2 + [429]
    assert_error(right, 429, "RATE_LIMITED")


@pytest.mark.parametrize("path", ["auth/refresh", "auth/logout", "users/", "users/?nonsense=1"])
def test_unreadable_requests_count_for_the_address_on_every_route(
    app_with: AppWith, path: str
) -> None:
    asking = client(app_with(RATE_LIMIT_ANONYMOUS="2/minute"))
    headers = {"Content-Type": "application/json"}

    answers = statuses(lambda: asking.post(f"/api/v1/{path}", content=b"{", headers=headers), 3)

    assert answers == [422 if "nonsense" in path else 400] * 2 + [429]


def test_login_lock_expires_by_itself_however_often_it_is_tried(
    app_with: AppWith, ann: User, clock: time_machine.Traveller
) -> None:
    asking = client(app_with())
    for _ in range(5):
        sign_in(asking)

    locked = []
    for _ in range(5):
        clock.shift(11)
        locked.append(sign_in(asking, password=PASSWORD).status_code)
    clock.shift(6)
    after = sign_in(asking, password=PASSWORD)

    assert locked == [429] * 5
    assert after.status_code == 200


def test_login_limit_holds_over_any_minute(
    app_with: AppWith, clock: time_machine.Traveller
) -> None:
    """Not only from one full minute to the next, where ten would pass within seconds."""
    asking = client(app_with())
    clock.shift(28)
    before = statuses(lambda: sign_in(asking), 5)
    clock.shift(4)

    after = sign_in(asking)

    assert before == [401] * 5
    assert after.status_code == 429
    assert int(after.headers["retry-after"]) == 56


# --- Sessions.


def open_sessions(client: TestClient, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for _ in range(count):
        response = sign_in(client, password=PASSWORD)
        assert response.status_code == 200
        found.append(response.json())
    return found


def test_refresh_counts_each_session_alone(app_with: AppWith, ann: User) -> None:
    asking = client(app_with(RATE_LIMIT_REFRESH="3/minute"))
    session, other = open_sessions(asking, 2)

    answers = []
    for _ in range(4):
        answers.append(asking.post(REFRESH, json={"refresh_token": session["refresh_token"]}))
        session = answers[-1].json()

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert limits_in(answers[0])["refresh"]["r"] == 2
    assert asking.post(REFRESH, json={"refresh_token": other["refresh_token"]}).status_code == 200


@pytest.fixture(params=["memory", "redis"])
def counts_in(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "memory":
        return {}
    server: RedisServer = request.getfixturevalue("redis")
    return {"REDIS_URL": server.url}


def test_refreshes_of_one_token_within_the_grace_count_once(
    app_with: AppWith, ann: User, clock: time_machine.Traveller, counts_in: dict[str, str]
) -> None:
    asking = client(app_with(**counts_in))
    (session,) = open_sessions(asking, 1)

    def refresh() -> Response:
        return asking.post(REFRESH, json={"refresh_token": session["refresh_token"]})

    at_the_same_time = at_once([refresh] * 14)
    clock.shift(9)
    later = [refresh() for _ in range(14)]
    answers = [*at_the_same_time, *later]

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    counted = [limits_in(one)["refresh"]["r"] for one in answers if "refresh" in limits_in(one)]
    assert counted == [9]
    assert limits_in(later[-1])["user"]["r"] == 1200 - len(answers)


def test_refresh_beyond_the_limit_spends_nothing_however_often_it_is_tried(
    app_with: AppWith, ann: User, clock: time_machine.Traveller
) -> None:
    asking = client(app_with(RATE_LIMIT_REFRESH="1/minute"))
    (session,) = open_sessions(asking, 1)
    token = asking.post(REFRESH, json={"refresh_token": session["refresh_token"]}).json()

    def refresh() -> Response:
        return asking.post(REFRESH, json={"refresh_token": token["refresh_token"]})

    refused = [*at_once([refresh] * 4), *(refresh() for _ in range(2))]
    clock.shift(61)

    assert {answer.status_code for answer in refused} == {429}
    assert refresh().status_code == 200


def test_refresh_counts_tokens_that_are_no_good_each_time(
    app_with: AppWith, ann: User, clock: time_machine.Traveller
) -> None:
    asking = client(app_with(RATE_LIMIT_REFRESH="3/minute"))
    (session,) = open_sessions(asking, 1)
    body = {"refresh_token": session["refresh_token"]}
    asking.post(REFRESH, json=body)
    clock.shift(11)

    reused = [asking.post(REFRESH, json=body) for _ in range(3)]

    assert_error(reused[0], 401, "REFRESH_TOKEN_REUSED")
    assert [one.status_code for one in reused[1:]] == [401, 429]


@pytest.mark.parametrize("path", [REFRESH, LOGOUT, LOGOUT_ALL])
@pytest.mark.parametrize("body", [None, {"refresh_token": "x"}])
def test_tokens_of_no_session_count_by_address(
    app_with: AppWith, ann: User, path: str, body: dict[str, str] | None
) -> None:
    app = app_with(RATE_LIMIT_REFRESH="3/minute")

    tried = statuses(lambda: client(app).post(path, json=body), 4)

    assert tried == [401, 401, 401, 429]
    assert client(app, "192.0.2.2").post(path, json=body).status_code == 401


@pytest.mark.parametrize("path", [LOGOUT, LOGOUT_ALL])
def test_logout_counts_each_session_alone(app_with: AppWith, ann: User, path: str) -> None:
    asking = client(app_with(RATE_LIMIT_REFRESH="2/minute"))
    session, other = open_sessions(asking, 2)
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    others = {"Authorization": f"Bearer {other['access_token']}"}

    ended = statuses(lambda: asking.post(path, headers=headers), 3)

    assert ended == [204, 204, 429]
    assert asking.post(path, headers=others).status_code == 204


def test_office_may_refresh_more_often_than_strangers_may_ask(app_with: AppWith, ann: User) -> None:
    asking = client(app_with())
    sessions = open_sessions(asking, 3)
    for _ in range(60):
        asking.get(ME)

    refreshed = [
        asking.post(REFRESH, json={"refresh_token": one["refresh_token"]}).status_code
        for one in sessions
    ]

    assert asking.get(ME).status_code == 429
    assert refreshed == [200, 200, 200]


# --- Letters.


@pytest.mark.parametrize("path", [FORGOT, VERIFY])
@pytest.mark.parametrize("email", ["ann@example.com", "nobody@example.com"])
def test_letters_count_by_recipient_known_or_not(
    app_with: AppWith, db: Session, path: str, email: str
) -> None:
    make_user(db, email="ann@example.com", is_verified=path == FORGOT)
    app = app_with(RATE_LIMIT_LETTERS="2/hour")

    asked = [
        client(app, f"192.0.2.{last}").post(path, json={"email": email}).status_code
        for last in range(3)
    ]

    assert asked == [202, 202, 429]
    assert len(letters(db)) == (2 if email == "ann@example.com" else 0)
    assert client(app).post(path, json={"email": "bob@example.com"}).status_code == 202


def test_letters_of_all_kinds_count_together(app_with: AppWith, ann: User) -> None:
    app = app_with(RATE_LIMIT_LETTERS="2/hour", OPEN_REGISTRATION="true")
    asking = client(app)
    new = {"email": "ANN@example.com", "password": WRONG}

    answers = [
        asking.post(FORGOT, json={"email": "ann@example.com"}),
        asking.post(REGISTER, json=new),
        asking.post(REGISTER, json=new),
    ]

    assert [answer.status_code for answer in answers] == [202, 201, 429]


@pytest.mark.parametrize("path", [REGISTER, VERIFY, CONFIRM, FORGOT, RESET])
def test_account_routes_count_by_address_also_unreadable_bodies(
    app_with: AppWith, path: str
) -> None:
    app = app_with(RATE_LIMIT_LOGIN_ADDRESS="2/minute")
    unreadable = {"content": b"{", "headers": {"Content-Type": "application/json"}}

    tried = statuses(lambda: client(app).post(path, **unreadable), 3)  # type: ignore[arg-type]

    assert tried == [400, 400, 429]
    assert client(app, "192.0.2.2").post(path, **unreadable).status_code == 400  # type: ignore[arg-type]


# --- Passwords of whoever is signed in.


def test_change_my_password_counts_attempts(app_with: AppWith, db: Session, ann: User) -> None:
    asking = signed_in(app_with(), db, ann)
    change = {"current_password": WRONG, "new_password": "sofa-on-saturday"}

    tried = statuses(lambda: asking.post(MY_PASSWORD, json=change), 5)
    right = asking.post(MY_PASSWORD, json=change | {"current_password": PASSWORD})

    assert tried == [403] * 5
    assert_error(right, 429, "RATE_LIMITED")


@pytest.mark.parametrize("path", [ME, "/api/v1/users/{id}"])
def test_update_me_counts_attempts_at_the_password(
    app_with: AppWith, db: Session, ann: User, path: str
) -> None:
    asking = signed_in(app_with(), db, ann)
    change = {"email": "new@example.com", "current_password": WRONG}
    url = path.format(id=ann.id)

    tried = statuses(lambda: asking.patch(url, json=change), 5)
    right = asking.patch(url, json=change | {"current_password": PASSWORD})
    elsewhere = asking.post(
        MY_PASSWORD, json={"current_password": PASSWORD, "new_password": "sofa-on-saturday"}
    )

    assert tried == [403] * 5
    assert_error(right, 429, "RATE_LIMITED")
    assert_error(elsewhere, 429, "RATE_LIMITED")
    assert asking.patch(url, json={"full_name": "Ann Lee"}).status_code == 200


def test_update_me_counts_letters_to_new_addresses(
    app_with: AppWith, db: Session, ann: User
) -> None:
    app = app_with(RATE_LIMIT_LOGIN="100/minute", RATE_LIMIT_LETTERS="2/hour")
    asking = signed_in(app, db, ann)

    changed = [
        asking.patch(
            ME, json={"email": f"ann{number}@example.com", "current_password": PASSWORD}
        ).status_code
        for number in range(3)
    ]

    assert changed == [200, 200, 429]


# --- Addresses.


def test_address_of_ipv6_is_its_network_of_64_bits(app_with: AppWith) -> None:
    app = app_with(RATE_LIMIT_ANONYMOUS="2/minute")

    same = [client(app, f"2001:db8:1:2::{n}").get(ME).status_code for n in range(1, 4)]

    assert same == [401, 401, 429]
    assert client(app, "2001:db8:1:3::1").get(ME).status_code == 401


def test_client_cannot_choose_its_address(app_with: AppWith) -> None:
    app = app_with(RATE_LIMIT_ANONYMOUS="2/minute")

    made_up = [
        client(app, **{"X-Forwarded-For": f"198.51.100.{n}"}).get(ME).status_code for n in range(3)
    ]

    assert made_up == [401, 401, 429]


def test_client_behind_a_trusted_proxy_counts_by_its_own_address(app_with: AppWith) -> None:
    app = app_with(RATE_LIMIT_ANONYMOUS="2/minute", TRUSTED_PROXIES='["10.0.0.0/8"]')

    def ask(last: int) -> int:
        forwarded = f"203.0.113.{last}, 198.51.100.7"  # What it made up, and what the proxy saw.
        return client(app, "10.1.2.3", **{"X-Forwarded-For": forwarded}).get(ME).status_code

    asked = [ask(last) for last in range(3)]

    assert asked == [401, 401, 429]
    assert client(app, "10.1.2.3", **{"X-Forwarded-For": "198.51.100.8"}).get(ME).status_code == 401


TRUSTED = '["10.0.0.0/8", "2001:db8:ffff::/48", "192.0.2.9"]'
# The socket's address, X-Forwarded-For, and who it is that asks.
FORWARDED = {
    "no header": ("10.0.0.1", None, "10.0.0.1"),
    "one proxy": ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
    "two proxies": ("10.0.0.1", "198.51.100.7, 10.0.0.2", "198.51.100.7"),
    "made up": ("10.0.0.1", "1.2.3.4, 198.51.100.7", "198.51.100.7"),
    "made up with a proxy's": ("10.0.0.1", "1.2.3.4, 10.9.9.9, 198.51.100.7", "198.51.100.7"),
    "not by a proxy": ("198.51.100.7", "1.2.3.4", "198.51.100.7"),
    "a single trusted address": ("192.0.2.9", "198.51.100.7", "198.51.100.7"),
    "its neighbour": ("192.0.2.8", "198.51.100.7", "192.0.2.8"),
    "all of them trusted": ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
    "malformed": ("10.0.0.1", "nonsense", "10.0.0.1"),
    "malformed on the way": ("10.0.0.1", "198.51.100.7, nonsense, 10.0.0.2", "10.0.0.2"),
    "empty": ("10.0.0.1", "", "10.0.0.1"),
    "with a port": ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
    "IPv6": ("2001:db8:ffff::1", "2001:DB8:0::7", "2001:db8::7"),
    "IPv6 with a port": ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
    "IPv6 with a zone": ("10.0.0.1", f"fe80::1%{'x' * 99}", "fe80::1"),
    "IPv4 in IPv6": ("::ffff:10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"),
    "longer than any chain": ("10.0.0.1", ", ".join(["1.2.3.4"] + ["10.0.0.2"] * 99), "10.0.0.2"),
    "no address at all": ("testclient", "198.51.100.7", "testclient"),
}


@pytest.mark.parametrize(("socket", "forwarded", "expected"), FORWARDED.values(), ids=FORWARDED)
def test_session_shows_the_address_that_proxies_tell(
    app_with: AppWith, ann: User, socket: str, forwarded: str | None, expected: str
) -> None:
    asking = client(app_with(TRUSTED_PROXIES=TRUSTED), socket)
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    form = {"username": "ann@example.com", "password": PASSWORD}
    token = asking.post(LOGIN, data=form, headers=headers).json()["access_token"]

    sessions = asking.get("/api/v1/auth/sessions", headers={"Authorization": f"Bearer {token}"})

    assert [session["address"] for session in sessions.json()] == [expected]


def test_session_shows_the_address_of_the_last_of_several_headers(
    app_with: AppWith, ann: User
) -> None:
    asking = client(app_with(TRUSTED_PROXIES=TRUSTED), "10.0.0.1")
    headers = [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-For", "198.51.100.7")]
    form = {"username": "ann@example.com", "password": PASSWORD}
    token = asking.post(LOGIN, data=form, headers=headers).json()["access_token"]

    sessions = asking.get("/api/v1/auth/sessions", headers={"Authorization": f"Bearer {token}"})

    assert [session["address"] for session in sessions.json()] == ["198.51.100.7"]


# --- Redis.


def test_applications_on_one_redis_let_exactly_the_limit_pass(
    app_with: AppWith, redis: RedisServer, ann: User
) -> None:
    settings = {"REDIS_URL": redis.url, "RATE_LIMIT_LOGIN": "7/hour", "RATE_LIMIT_USER": "25/day"}
    apps = [app_with(**settings), app_with(**settings)]
    tokens = [
        sign_in(client(app), password=PASSWORD).json()["access_token"] for app in (apps[0], apps[1])
    ]

    def log_in(number: int) -> int:
        return int(sign_in(client(apps[number % 2], f"192.0.2.{number}")).status_code)

    def read_me(number: int) -> int:
        asking = client(apps[number % 2], Authorization=f"Bearer {tokens[number % 2]}")
        return asking.get(ME).status_code

    with ThreadPoolExecutor(8) as threads:
        logins = Counter(threads.map(log_in, range(24)))
        reads = Counter(threads.map(read_me, range(60)))

    assert logins == {401: 7 - 2, 429: 24 - 5}
    assert reads == {200: 25, 429: 60 - 25}


def test_applications_without_redis_count_for_themselves(app_with: AppWith, ann: User) -> None:
    apps = [app_with(RATE_LIMIT_LOGIN="1/hour") for _ in range(2)]

    answers = [statuses(lambda app=app: sign_in(client(app)), 2) for app in apps]  # type: ignore[misc]

    assert answers == [[401, 429], [401, 429]]


@pytest.mark.parametrize("fault", ["frozen", "gone"])
def test_limits_go_on_in_memory_while_redis_is_out(
    app_with: AppWith,
    redis: RedisServer,
    ann: User,
    caplog: pytest.LogCaptureFixture,
    fault: str,
) -> None:
    app = app_with(REDIS_URL=redis.url, RATE_LIMIT_LOGIN="2/hour")
    logging.getLogger().addHandler(caplog.handler)
    sign_in(client(app))

    redis.freeze() if fault == "frozen" else redis.stop()
    started_at = time.monotonic()
    answers = statuses(lambda: sign_in(client(app)), 3)
    seconds = time.monotonic() - started_at

    assert answers == [401, 401, 429]
    assert seconds < 3  # Not the many seconds of a driver that waits and tries again.
    assert [one.levelname for one in caplog.records if "redis" in one.getMessage()] == ["WARNING"]
    assert app.state.limiter.faults == 1  # The others did not wait for it.
    assert "ann@example.com" not in caplog.text


def test_limits_are_shared_again_when_redis_is_back(
    app_with: AppWith, redis: RedisServer, ann: User, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"REDIS_URL": redis.url, "RATE_LIMIT_LOGIN": "2/hour"}
    app, other = app_with(**settings), app_with(**settings)
    logging.getLogger().addHandler(caplog.handler)
    sign_in(client(app))
    redis.stop()
    sign_in(client(app))

    redis.start()
    deadline = time.monotonic() + 20
    while "redis is back" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.2)
        client(app).get(ME)

    assert caplog.text.count("redis is gone") == caplog.text.count("redis is back") == 1
    assert statuses(lambda: sign_in(client(app)), 2) == [401, 401]
    assert sign_in(client(other)).status_code == 429


def test_redis_holds_no_name_that_was_typed(
    app_with: AppWith, redis: RedisServer, ann: User
) -> None:
    asking = client(app_with(REDIS_URL=redis.url))
    sign_in(asking)
    sign_in(asking, "typed-a-password-as-name")
    asking.post(FORGOT, json={"email": "ann@example.com"})

    with Redis.from_url(redis.url) as connection:
        keys = b" ".join(connection.keys()).decode()

    assert (keys.count("login:user:"), keys.count("login:name:")) == (0, 2)
    assert keys.count("letters:name:") == 1
    assert "ann" not in keys
    assert "typed" not in keys


@pytest.mark.parametrize("fault", ["frozen", "gone"])
def test_get_readiness_names_a_redis_that_does_not_answer(
    app_with: AppWith, redis: RedisServer, fault: str
) -> None:
    asking = client(app_with(REDIS_URL=redis.url))
    before = asking.get("/health/ready")

    redis.freeze() if fault == "frozen" else redis.stop()
    response = asking.get("/health/ready")

    assert before.status_code == 200
    assert_error(response, 503, "REDIS_UNAVAILABLE")
    assert asking.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("settings", "warns"),
    [
        ({"WEB_CONCURRENCY": "2"}, True),
        ({"WEB_CONCURRENCY": "2", "REDIS_URL": "redis://127.0.0.1:1/0"}, False),
        ({"WEB_CONCURRENCY": "2", "RATE_LIMIT_ENABLED": "false"}, False),
        ({}, False),
    ],
)
def test_start_warns_of_processes_that_count_for_themselves(
    app_with: AppWith,
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, str],
    warns: bool,
) -> None:
    app = app_with(**settings)
    logging.getLogger().addHandler(caplog.handler)

    with TestClient(app):
        pass

    warnings = [one for one in caplog.records if one.levelname == "WARNING"]
    assert len(warnings) == warns
    assert all("REDIS_URL" in one.getMessage() for one in warnings)
