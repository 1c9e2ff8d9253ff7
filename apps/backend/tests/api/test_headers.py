"""The headers that every answer carries: security, origins, hosts, the request id, HEAD."""

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy.orm import Session
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.main import create_app
from app.middleware.address import MAX_LOGGED_ORIGINS
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_path_values, make_user
from tests.settings import changed_settings, client_with

ITEMS = "/api/v1/items/"
ME = "/api/v1/users/me"
LOGIN = "/api/v1/auth/login"
FORGOT = "/api/v1/auth/password/forgot"
PASSWORD = "wallpaper-on-tuesday"
FORM = {"username": "ann@example.com", "password": PASSWORD}
JSON = {"Content-Type": "application/json"}
PANEL = "https://panel.example.com"
PREFLIGHT = {
    "Origin": PANEL,
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization,content-type,if-match",
}
EXPOSED = {
    "content-range",
    "etag",
    "link",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "x-next-cursor",
    "x-request-id",
    "x-total-count",
    "x-total-count-estimated",
}
PRODUCTION = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": "kR7-vQ2_mX9pL4tZ8wB1nC6yD3fG5hJ0sA",
    "PUBLIC_URL": "https://api.example.com",
}


@pytest.fixture(scope="module")
def foreign_app(database: None) -> FastAPI:
    """An application that serves the pages of one foreign origin, and may crash."""
    limits = {
        "RATE_LIMIT_ENABLED": "true",
        "RATE_LIMIT_ANONYMOUS": "100000/minute",
        "RATE_LIMIT_LOGIN": "100000/minute",
        "RATE_LIMIT_LOGIN_ADDRESS": "100000/minute",
        "RATE_LIMIT_LETTERS": "1/hour",
    }
    with changed_settings(ALLOWED_ORIGINS=f'["{PANEL}"]', **limits):
        app = create_app()

        @app.get("/crash")
        def crash() -> None:
            raise RuntimeError

        TestClient(app).get("/health")  # Its layers are put together by the first request.
    return app


@pytest.fixture
def panel(foreign_app: FastAPI, as_user: TestClient, db: Session) -> TestClient:
    make_user(db, email="ann@example.com", password=PASSWORD)
    client = TestClient(foreign_app, headers=dict(as_user.headers))
    client.portal = as_user.portal
    return client


def create_item(client: TestClient) -> str:
    return str(client.post(ITEMS, json={"title": "Lamp"}).headers["location"])


def ask_too_often(client: TestClient) -> Response:
    client.post(FORGOT, json={"email": "ann@example.com"})
    return client.post(FORGOT, json={"email": "ann@example.com"})


# Each answers the status it is named by.
ANSWERS: dict[str, Callable[[TestClient], Response]] = {
    "200": lambda client: client.get(ME),
    "200 HEAD": lambda client: client.head(ME),
    "200 health": lambda client: client.get("/health"),
    "200 docs": lambda client: client.get("/docs"),
    "200 asset": lambda client: client.get("/docs/assets/swagger-ui.css"),
    "200 OpenAPI": lambda client: client.get("/api/v1/openapi.json"),
    "200 preflight": lambda client: client.options(ME, headers=PREFLIGHT),
    "201": lambda client: client.post(ITEMS, json={"title": "Lamp"}),
    "204": lambda client: client.delete(create_item(client)),
    "400": lambda client: client.post(ITEMS, content=b"{", headers=JSON),
    "400 preflight": lambda client: client.options(ME, headers={**PREFLIGHT, "Origin": "null"}),
    "401": lambda client: client.get(ME, headers={"Authorization": "Bearer x"}),
    "403": lambda client: client.post("/api/v1/users/", json={"email": "x@example.com"}),
    "403 CSRF": lambda client: client.post(
        f"{LOGIN}?mode=cookie", data=FORM, headers={"Sec-Fetch-Site": "cross-site"}
    ),
    "404": lambda client: client.get("/nope"),
    "404 HEAD": lambda client: client.head("/nope"),
    "405": lambda client: client.put(ITEMS),
    "413": lambda client: client.post(ITEMS, content=b"x" * (1024**2 + 1), headers=JSON),
    "415": lambda client: client.post(ITEMS, content=b"x"),
    "422": lambda client: client.post(ITEMS, json={}),
    "429": ask_too_often,
    "500": lambda client: client.get("/crash"),
}


@pytest.fixture(params=ANSWERS)
def answer(request: pytest.FixtureRequest, panel: TestClient) -> Response:
    response = ANSWERS[request.param](panel)
    assert response.status_code == int(request.param[:3]), response.text
    return response


# --- Security.


def test_every_answer_carries_the_security_headers(answer: Response) -> None:
    headers = answer.headers

    assert headers.get_list("x-content-type-options") == ["nosniff"]
    assert headers.get_list("x-frame-options") == ["DENY"]
    assert headers.get_list("x-xss-protection") == ["0"]
    assert len(headers.get_list("referrer-policy")) == 1
    assert len(headers.get_list("content-security-policy")) == 1
    assert headers["content-security-policy"].startswith("default-src 'self'")


def test_every_answer_carries_an_id_of_its_own(answer: Response) -> None:
    (request_id,) = answer.headers.get_list("x-request-id")

    assert re.fullmatch(r"[0-9a-f]{16,}", request_id)


def test_every_answer_says_who_may_keep_it(answer: Response) -> None:
    assert len(answer.headers.get_list("cache-control")) == 1


def test_no_answer_names_its_server(answer: Response) -> None:
    assert "server" not in answer.headers
    assert "x-powered-by" not in answer.headers


def test_no_answer_promises_https_over_http(answer: Response) -> None:
    assert "strict-transport-security" not in answer.headers


@pytest.mark.parametrize("path", [ME, ITEMS, "/nope", "/health"])
def test_answer_over_https_promises_https(as_user: TestClient, path: str) -> None:
    response = as_user.get(f"https://testserver{path}")

    assert response.headers["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize("path", ["/docs", "/docs/assets/swagger-ui.css", "/api/v1/openapi.json"])
def test_docs_page_is_gone_where_it_is_switched_off(database: None, path: str) -> None:
    with client_with(DOCS_ENABLED="false") as client:
        response = client.get(path)

    assert_error(response, 404, "NOT_FOUND")


@pytest.mark.parametrize(
    "path", [ME, ITEMS, "/nope", "/health", "/api/v1/openapi.json", "/docs/", "/docs/assets/x.js"]
)
def test_content_security_policy_is_loose_on_the_docs_page_alone(
    as_user: TestClient, path: str
) -> None:
    docs = as_user.get("/docs")

    response = as_user.get(path)

    assert "unsafe" in docs.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]


def test_records_and_lists_are_kept_out_of_shared_caches(as_user: TestClient) -> None:
    answers = [as_user.get(ME), as_user.get(ITEMS), as_user.post(ITEMS, json={"title": "Lamp"})]

    assert {answer.headers["cache-control"] for answer in answers} == {"private, no-cache"}


@pytest.mark.parametrize("mode", ["token", "cookie"])
def test_tokens_are_kept_nowhere(anonymous: TestClient, db: Session, mode: str) -> None:
    make_user(db, email="ann@example.com", password=PASSWORD)

    login = anonymous.post(LOGIN, params={"mode": mode}, data=FORM)
    given = login.json()
    refresh = anonymous.post(
        "/api/v1/auth/refresh",
        json={"refresh_token": given["refresh_token"]} if mode == "token" else None,
        headers={"X-CSRF-Token": given.get("csrf_token", "")},
    )

    for response in (login, refresh):
        assert response.status_code == 200, response.text
        assert response.headers.get_list("cache-control") == ["no-store"]


# --- The request id.


def test_request_id_is_new_for_every_request(anonymous: TestClient) -> None:
    answers = [anonymous.get("/health") for _ in range(5)]

    assert len({answer.headers["x-request-id"] for answer in answers}) == 5


def test_request_id_is_never_the_clients(anonymous: TestClient) -> None:
    response = anonymous.get("/nope", headers={"X-Request-ID": "the-clients-own"})

    assert "the-clients-own" not in response.text
    assert "the-clients-own" not in str(response.headers)


@pytest.mark.parametrize("own", [b"", b"x" * 10_000, b"a\tb", "ü".encode(), b"\xff\xfe"])
def test_request_id_of_a_client_does_no_harm(anonymous: TestClient, own: bytes) -> None:
    response = anonymous.get("/health", headers={b"X-Request-ID": own})

    assert response.status_code == 200


# --- Origins.


@pytest.mark.parametrize("name", [name for name in ANSWERS if name != "400 preflight"])
def test_origin_that_is_allowed_may_read_every_answer(panel: TestClient, name: str) -> None:
    panel.headers["Origin"] = PANEL

    headers = ANSWERS[name](panel).headers

    assert headers.get_list("access-control-allow-origin") == [PANEL]
    assert headers["access-control-allow-credentials"] == "true"
    assert "origin" in headers["vary"].lower()


@pytest.mark.parametrize("name", [name for name in ANSWERS if "preflight" not in name])
def test_origin_that_is_foreign_may_read_no_answer(panel: TestClient, name: str) -> None:
    panel.headers["Origin"] = "https://evil.example.com"

    headers = ANSWERS[name](panel).headers

    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("origin", [None, PANEL, "https://evil.example.com"])
def test_every_answer_tells_caches_that_it_varies_with_the_origin(
    panel: TestClient, name: str, origin: str | None
) -> None:
    if origin is not None:
        panel.headers["Origin"] = origin

    headers = ANSWERS[name](panel).headers

    assert "origin" in headers["vary"].lower().split(", ")


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_every_origin_is_allowed_without_credentials_alone(method: str) -> None:
    with client_with(ALLOWED_ORIGINS='["*"]') as client:
        headers = {**PREFLIGHT, "Origin": "https://evil.example.com", "Cookie": "access_token=x"}
        response = client.request(method, "/health", headers=headers)

    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com",
        "null",
        "http://panel.example.com",
        "https://panel.example.com:8443",
        "https://panel.example.com.evil.com",
        "https://evil-panel.example.com",
        "HTTPS://PANEL.EXAMPLE.COM.",
        "*",
    ],
)
def test_preflight_of_a_foreign_origin_is_refused(panel: TestClient, origin: str) -> None:
    response = panel.options(ITEMS, headers={**PREFLIGHT, "Origin": origin})

    assert_error(response, 400, "ORIGIN_NOT_ALLOWED")
    assert "ALLOWED_ORIGINS" in response.json()["detail"]
    assert origin == "*" or origin not in response.text
    assert "access-control-allow-origin" not in response.headers


def test_preflight_of_another_method_is_refused(panel: TestClient) -> None:
    response = panel.options(ITEMS, headers={**PREFLIGHT, "Access-Control-Request-Method": "BREW"})

    assert_error(response, 400, "BAD_REQUEST")


@pytest.mark.parametrize("configured", [f'["{PANEL}"]', "[]"], ids=["another", "none"])
def test_foreign_origin_is_logged_once(
    configured: str, as_user: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {**PREFLIGHT, "Origin": "http://localhost:5173"}
    odd = {b"Origin": b"http://x\x1b[31m\x85" + b"x" * 5000}
    own = {"Origin": "http://testserver"}
    with client_with(ALLOWED_ORIGINS=configured) as client:
        logging.getLogger().addHandler(caplog.handler)
        client.headers.update(as_user.headers)
        preflight = client.options(ITEMS, headers=asked)
        read = client.get(ITEMS, headers={"Origin": "http://localhost:5173"})
        written = client.post(ITEMS, json={"title": "Lamp"}, headers=odd)
        quiet = [client.post(ITEMS, json={"title": "Lamp"}, headers=own), client.get(ITEMS)]

    events: list[Any] = [one.msg for one in caplog.records if one.name == "backdesk.host"]
    assert_error(preflight, 400, "ORIGIN_NOT_ALLOWED")
    assert [read.status_code, written.status_code] == [200, 201]
    assert [one.status_code for one in quiet] == [201, 200]
    assert events[0]["origin"] == "http://localhost:5173"
    assert all("ALLOWED_ORIGINS" in event["event"] for event in events)
    assert len(events) == 2
    assert len(events[1]["origin"]) <= 200
    assert events[1]["origin"].isprintable()


def test_made_up_origins_do_not_flood_the_log(
    as_user: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with client_with(ALLOWED_ORIGINS="[]") as client:
        logging.getLogger().addHandler(caplog.handler)
        for number in range(MAX_LOGGED_ORIGINS + 10):
            client.options(ITEMS, headers={**PREFLIGHT, "Origin": f"http://{number}.example.com"})

    assert sum(one.name == "backdesk.host" for one in caplog.records) == MAX_LOGGED_ORIGINS


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_preflight_allows_the_methods_and_headers_of_panels(panel: TestClient, method: str) -> None:
    wanted = ["authorization", "content-type", "prefer", "if-match", "idempotency-key"]
    headers = {
        "Origin": PANEL,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": ",".join([*wanted, "x-csrf-token", "x-request-id"]),
    }

    response = panel.options(ITEMS, headers=headers)

    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == PANEL
    assert method in response.headers["access-control-allow-methods"]
    allowed = response.headers["access-control-allow-headers"].lower()
    assert all(name in allowed for name in wanted)


def test_origin_that_is_allowed_is_shown_the_headers_of_lists(panel: TestClient) -> None:
    response = panel.get(ITEMS, headers={"Origin": PANEL})

    shown = response.headers["access-control-expose-headers"].lower().split(", ")
    assert set(shown) >= EXPOSED


@pytest.mark.parametrize(
    ("origin", "status", "code"),
    [
        (PANEL, 400, "ORIGIN_NOT_ALLOWED"),
        ("http://testserver", 405, "METHOD_NOT_ALLOWED"),  # Browsers ask no own server ahead.
    ],
)
def test_no_origin_is_allowed_unless_it_is_named(
    as_user: TestClient, origin: str, status: int, code: str
) -> None:
    simple = as_user.get(ITEMS, headers={"Origin": origin})
    preflight = as_user.options(ITEMS, headers={**PREFLIGHT, "Origin": origin})

    assert_error(preflight, status, code)
    assert simple.status_code == 200
    assert "access-control-allow-origin" not in simple.headers
    assert "access-control-allow-origin" not in preflight.headers


# --- Hosts.


@pytest.fixture(scope="module")
def hosted_app(database: None) -> FastAPI:
    """An application that serves two hosts."""
    with changed_settings(ALLOWED_HOSTS='["api.example.com", "other.example.com"]'):
        app = create_app()
        TestClient(app).get("/health")  # Its layers are put together by the first request.
    return app


@pytest.fixture
def hosted(hosted_app: FastAPI, anonymous: TestClient) -> TestClient:
    client = TestClient(hosted_app)
    client.portal = anonymous.portal
    return client


@pytest.mark.parametrize("host", ["evil.example.com", "testserver", "", "api.example.com.evil.com"])
@pytest.mark.parametrize("path", ["/nope", "/docs", LOGIN, ITEMS])
def test_foreign_host_is_refused(hosted: TestClient, path: str, host: str) -> None:
    response = hosted.get(path, headers={"Host": host})

    assert_error(response, 400, "HOST_NOT_ALLOWED")
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "host",
    [
        "x]api.example.com",
        "[::1]api.example.com",
        "[api.example.com]",
        "api.example.com:80:80",
        "api.example.com:evil",
        "evil@api.example.com",
        "api.example.com, evil.com",
        "api.example.com/",
        "evil.com api.example.com",
        "[::2]",
        "::1",
        "evilexample.org",
        "example.org",
        ".example.org",
        "*.example.org",
        "evil.com#.example.org",
        "evil.com:80.example.org",
    ],
)
def test_what_is_no_accepted_host_is_refused(as_user: TestClient, host: str) -> None:
    with client_with(ALLOWED_HOSTS="api.example.com, *.example.org, ::1") as client:
        response = client.get(ITEMS, headers={**as_user.headers, "Host": host})

    assert_error(response, 400, "HOST_NOT_ALLOWED")


@pytest.mark.parametrize(
    ("allowed", "host"),
    [
        ("::1", "[::1]"),
        ("::1", "[::1]:8000"),
        ("[::1]", "[::1]:8000"),
        ("2001:DB8::1", "[2001:db8::1]"),
        ("*.example.org", "a.example.org:8000"),
        ("*.example.org", "a.b.EXAMPLE.org"),
        ("API.example.com", "api.example.com"),
        ("10.0.0.5", "10.0.0.5:80"),
    ],
)
def test_accepted_host_is_served(as_user: TestClient, allowed: str, host: str) -> None:
    with client_with(ALLOWED_HOSTS=allowed) as client:
        response = client.get(ITEMS, headers={**as_user.headers, "Host": host})

    assert response.status_code == 200


def test_two_hosts_are_none(hosted: TestClient) -> None:
    headers = [("Host", "api.example.com"), ("Host", "other.example.com")]

    assert_error(hosted.get(ITEMS, headers=headers), 400, "HOST_NOT_ALLOWED")


@pytest.mark.parametrize("host", ["api.example.com", "api.example.com:8000", "10.0.0.5", "[::1]"])
def test_health_answers_under_any_host(hosted: TestClient, host: str) -> None:
    response = hosted.get("/health", headers={"Host": host})

    assert response.status_code == 200


@pytest.mark.parametrize(
    "host", ["api.example.com", "api.example.com:8000", "API.example.com", "other.example.com"]
)
def test_named_host_is_served(hosted: TestClient, as_user: TestClient, host: str) -> None:
    response = hosted.get(ITEMS, headers={**as_user.headers, "Host": host})

    assert response.status_code == 200


def test_any_host_is_served_in_local(anonymous: TestClient) -> None:
    response = anonymous.get("/docs", headers={"Host": "whatever.example.com"})

    assert response.status_code == 200


def test_host_of_the_public_url_alone_is_served_elsewhere() -> None:
    with client_with(**PRODUCTION) as client:
        named = client.get("/docs", headers={"Host": "api.example.com"})
        foreign = client.get("/docs", headers={"Host": "evil.example.com"})

    assert named.status_code == 200
    assert_error(foreign, 400, "HOST_NOT_ALLOWED")


# --- HEAD.


class Recorder:
    """Keeps what the application sends; the test client drops the body of HEAD by itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.body = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.body":
                self.body += message.get("body", b"")
            await send(message)

        await self.app(scope, receive, send_recorded)


VARYING = {"x-request-id", "date", "last-modified"}
NEEDED = {"/api/v1/statistics/timeseries": "?metric=items"}


def test_head_answers_every_get_alike_without_a_body(
    as_admin: TestClient, db: Session, admin: User
) -> None:
    app = as_admin.app
    assert isinstance(app, FastAPI)
    values = make_path_values(db, admin=admin)
    documented = [
        path.format(**values) + NEEDED.get(path, "")
        for path, item in app.openapi()["paths"].items()
        if "get" in item
    ]
    paths = [*documented, "/docs", "/api/v1/openapi.json", "/docs/assets/swagger-ui.css"]
    recorder = Recorder(app)
    recorded = TestClient(recorder, headers=dict(as_admin.headers))
    recorded.portal = as_admin.portal

    for path in paths:
        expected = recorded.get(path)
        recorder.body = b""
        response = recorded.head(path)
        assert expected.status_code == response.status_code == 200, path
        assert recorder.body == b"", path
        kept = [
            {name: value for name, value in answer.headers.items() if name not in VARYING}
            for answer in (response, expected)
        ]
        assert kept[0] == kept[1], path

    assert len(paths) > 8


@pytest.mark.parametrize("path", ["/nope", ME, LOGIN])
def test_head_answers_refusals_without_a_body(anonymous: TestClient, path: str) -> None:
    recorder = Recorder(anonymous.app)
    recorded = TestClient(recorder)
    recorded.portal = anonymous.portal

    response = recorded.head(path)

    assert response.status_code == anonymous.get(path).status_code
    assert response.headers["content-type"] == "application/problem+json"
    assert recorder.body == b""
