"""The bare limit: ASGI by hand, one psycopg2 connection, prepared statements, orjson.

No framework, no validation beyond types, no pool: a statement holds up the loop. Nobody would run
this; nothing in Python that asks the same of the same database can be much cheaper.
"""

import io
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import parse_qs

import orjson
import psycopg2

from bench.peers.common import COLUMNS, DATABASE_URL, is_right, tokens_for, user_id_of

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Answer = tuple[int, bytes, bytes, list[tuple[bytes, bytes]]]

USER: Final = (
    "id",
    "email",
    "username",
    "full_name",
    "department",
    "role",
    "is_active",
    "is_verified",
    "token_quota",
    "created_at",
    "updated_at",
    "last_login_at",
    "version",
)
ITEM: Final = ", ".join(COLUMNS)
MOST_COUNTED: Final = 10_000  # As in Backdesk; what is beyond is estimated.
PREPARED: Final = f"""
PREPARE credentials AS SELECT id, hashed_password FROM users WHERE email = $1 OR username = $1;
PREPARE caller AS SELECT {", ".join(USER)} FROM users WHERE id = $1 AND is_active;
PREPARE item AS SELECT {ITEM} FROM items WHERE id = $1 AND ($2 OR owner_id = $3);
PREPARE own_page AS SELECT {ITEM} FROM items WHERE owner_id = $1 ORDER BY id LIMIT $2;
PREPARE own_total AS SELECT count(*) FROM items WHERE owner_id = $1;
PREPARE page AS SELECT {ITEM} FROM items ORDER BY id LIMIT $1;
PREPARE total AS SELECT count(*) FROM (SELECT FROM items LIMIT {MOST_COUNTED} + 1) AS counted;
PREPARE estimate AS SELECT reltuples::bigint FROM pg_class WHERE oid = 'items'::regclass;
PREPARE new_item AS INSERT INTO items
    (title, description, status, owner_id, created_at, updated_at, version)
    VALUES ($1, $2, $3, $4, now(), now(), 1) RETURNING {ITEM};
PREPARE change AS UPDATE items
    SET title = coalesce($1, title), description = coalesce($2, description),
        status = coalesce($3, status), updated_at = now(), version = version + 1
    WHERE id = $4 AND ($5 OR owner_id = $6) RETURNING {ITEM};
"""
COPY: Final = (
    "COPY (SELECT {columns} FROM items WHERE {scope} ORDER BY id) TO STDOUT (FORMAT csv, HEADER)"
)

connection = psycopg2.connect(DATABASE_URL, options="-c timezone=UTC")
connection.autocommit = True
cursor = connection.cursor()
cursor.execute(PREPARED)


def run(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    places = f"({', '.join(['%s'] * len(values))})" if values else ""
    cursor.execute(f"EXECUTE {statement}{places}", values)
    return cursor.fetchall()


def answer(value: Any, status: int = 200, *more: tuple[bytes, bytes]) -> Answer:
    return status, b"application/json", orjson.dumps(value, option=orjson.OPT_UTC_Z), list(more)


def answer_item(rows: list[tuple[Any, ...]], status: int = 200) -> Answer:
    if not rows:
        return refuse(404)
    return answer(dict(zip(COLUMNS, rows[0], strict=True)), status)


def refuse(status: int) -> Answer:
    return answer({"detail": "refused"}, status)


def log_in(body: bytes) -> Answer:
    form = parse_qs(body.decode())
    found = run("credentials", form["username"][0])
    if not found or not is_right(form["password"][0], found[0][1]):
        return refuse(401)
    return answer(tokens_for(found[0][0]))


def caller_of(scope: Scope) -> dict[str, Any] | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            user_id = user_id_of(value[7:].decode())
            rows = run("caller", user_id) if user_id is not None else []
            return dict(zip(USER, rows[0], strict=True)) if rows else None
    return None


def read_page(caller: dict[str, Any], query: bytes) -> Answer:
    limit = int(parse_qs(query.decode())["limit"][0])
    headers = []
    if caller["role"] == "admin":
        rows, ((total,),) = run("page", limit), run("total")
        if total > MOST_COUNTED:
            ((total,),) = run("estimate")
            headers.append((b"x-total-count-estimated", b"true"))
    else:
        rows, ((total,),) = run("own_page", caller["id"], limit), run("own_total", caller["id"])
    headers.append((b"x-total-count", str(total).encode()))
    return answer([dict(zip(COLUMNS, row, strict=True)) for row in rows], 200, *headers)


def export(caller: dict[str, Any]) -> Answer:
    out = io.BytesIO()
    scope = "true" if caller["role"] == "admin" else f"owner_id = {caller['id']:d}"
    cursor.copy_expert(COPY.format(columns=ITEM, scope=scope), out)
    return 200, b"text/csv", out.getvalue(), []


def read(caller: dict[str, Any], what: str, query: bytes) -> Answer:
    match what:
        case "me":
            return answer(caller)
        case "":
            return read_page(caller, query)
        case "export":
            return export(caller)
    return answer_item(run("item", int(what), caller["role"] == "admin", caller["id"]))


def write(caller: dict[str, Any], what: str, body: bytes) -> Answer:
    sent = orjson.loads(body)
    if not what:
        values = (sent["title"], sent.get("description"), sent.get("status", "draft"))
        return answer_item(run("new_item", *values, caller["id"]), status=201)
    values = (sent.get("title"), sent.get("description"), sent.get("status"))
    key = (int(what), caller["role"] == "admin", caller["id"])
    return answer_item(run("change", *values, *key))


def handle(scope: Scope, body: bytes) -> Answer:
    what = scope["path"].rpartition("/")[2]
    if what == "login":
        return log_in(body)
    caller = caller_of(scope)
    if caller is None:
        return refuse(401)
    if scope["method"] == "GET":
        return read(caller, what, scope["query_string"])
    return write(caller, what, body)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return  # The server goes on without a lifespan.
    body, has_more = b"", True
    while has_more:
        message = await receive()
        body += message.get("body", b"")
        has_more = message.get("more_body", False)
    status, content_type, content, more = handle(scope, body)
    length = (b"content-length", str(len(content)).encode())
    headers = [(b"content-type", content_type), length, *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
