"""How PostgreSQL means to run the statements of lists: by an index, whatever is asked for.

The plans are those of the very statements that requests have run, over some ten thousand rows.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.db import migrations
from app.db.session import get_engine
from app.main import create_app
from app.schemas.audit import AuditPublic
from app.schemas.base import Schema
from app.schemas.item import ItemPublic
from app.schemas.usage import UsagePublic
from app.schemas.user import UserPublic
from tests.conftest import WORKER, new_postgresql_database
from tests.driver import noted_round_trips
from tests.factories import make_token, make_user
from tests.settings import changed_settings

pytestmark = pytest.mark.postgresql

API: Final = "/api/v1"

USERS: Final = """
    INSERT INTO users (email, username, full_name, full_name_folded, department,
        department_folded, role, is_active, is_verified,
        must_change_password, token_quota, created_at, updated_at, last_login_at, version)
    SELECT 'p' || n || '@example.org', 'p' || n, nullif('Name ' || n % 5000, 'Name 7'),
        nullif('name ' || n % 5000, 'name 7'), nullif('Dept ' || n % 500, 'Dept 7'),
        nullif('dept ' || n % 500, 'dept 7'), CASE n % 50 WHEN 0 THEN 'admin' ELSE 'user' END,
        n % 50 > 0, n % 40 > 0, false, nullif(n % 3000, 7),
        now() - n * interval '1 hour', now() - (n * 7919 % 9973) * interval '1 hour',
        now() - nullif(n * 31 % 9973, 7) * interval '1 hour', 1
    FROM generate_series(1, 10000) AS n"""
ITEMS: Final = """
    INSERT INTO items (title, title_folded, description, description_folded, status, owner_id,
        created_at, updated_at, version)
    SELECT 'Lamp ' || md5(n::text), 'lamp ' || md5(n::text), 'Brass ' || md5((-n)::text),
        'brass ' || md5((-n)::text),
        CASE n % 100 WHEN 0 THEN 'archived' ELSE 'active' END, n % 10000 + 1,
        now() - n * interval '1 hour', now() - (n * 7919 % 9973) * interval '1 hour', 1
    FROM generate_series(1, 20000) AS n"""
EVENTS: Final = """
    INSERT INTO audit_events (at, actor_id, actor_email, action, resource_type, resource_id,
        version, changes, request_id, ip)
    SELECT now() - n * interval '1 minute', n % 500, 'p' || n % 500 || '@example.org',
        CASE n % 200 WHEN 0 THEN 'delete' ELSE 'update' END, 'item', n, 1, '{}', md5(n::text),
        '192.0.2.7'
    FROM generate_series(1, 20000) AS n"""
USAGE: Final = """
    INSERT INTO usage_events (user_id, tokens, kind, kind_folded, note, note_folded, created_at)
    SELECT n % 10000 + 1, n * 7919 % 9973, 'chat', 'chat', 'Note ' || n, 'note ' || n,
        now() - n * interval '1 minute'
    FROM generate_series(1, 20000) AS n"""

Plan = list[dict[str, Any]]  # Node by node.
Plans = Callable[..., Plan]


@pytest.fixture(scope="module")
def full_database() -> str:
    """A database of its own, filled once."""
    url = new_postgresql_database(f"backdesk_plans_{WORKER}")
    with changed_settings(DATABASE_URL=url):
        migrations.migrate()
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in (USERS, ITEMS, EVENTS, USAGE, "VACUUM ANALYZE"):
            connection.execute(text(statement))
    engine.dispose()
    return url


@pytest.fixture
def client_as(full_database: str) -> Iterator[Callable[..., TestClient]]:
    """Make a client of the application over the full database, as a new user."""

    def client_as(role: Role, **values: Any) -> TestClient:
        with Session(get_engine(), expire_on_commit=False) as db:
            token = make_token(db, user=make_user(db, role=role, **values))
        return TestClient(create_app(), headers={"Authorization": f"Bearer {token}"})

    with changed_settings(DATABASE_URL=full_database):
        yield client_as


@pytest.fixture
def as_admin(client_as: Callable[..., TestClient]) -> TestClient:
    return client_as(Role.ADMIN)


@pytest.fixture
def plan_of(client_as: Callable[..., TestClient]) -> Iterator[Plans]:
    """Ask for a list, and return the plan of the statement that read the page."""
    seen: list[str] = []

    def plan_of(client: TestClient, path: str, **asked: Any) -> Plan:
        seen.clear()
        response = client.get(f"{API}{path}", params={"limit": 50} | asked)
        assert response.status_code == 200, response.text
        (page,) = [TIME_LIMIT.sub("", one) for one in seen if "ORDER BY" in one]
        with get_engine().connect() as connection:
            explained = connection.execute(text(f"EXPLAIN (FORMAT JSON) {escaped(page)}"))
            return list(nodes(explained.scalar_one()[0]["Plan"]))

    with noted_round_trips(get_engine(), seen.append, with_values=True):
        yield plan_of


TIME_LIMIT = re.compile(r"^SET LOCAL [^;]*; ")  # It stands before what also counts.


def escaped(statement: str) -> str:
    """Leave no colon that could begin a parameter."""
    return statement.replace(":", r"\:")


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for part in node.get("Plans", ()):
        yield from nodes(part)


def kinds(plan: Plan) -> set[str]:
    return {node["Node Type"] for node in plan}


def indexes(plan: Plan) -> set[str]:
    return {node["Index Name"] for node in plan if "Index Name" in node}


def indexed_sorts(schema: type[Schema]) -> list[str]:
    return [f"{sign}{field}" for field in sorted(schema.indexed) for sign in ("", "-")]


# --- Sorts.


@pytest.mark.parametrize(
    ("path", "schema", "several"),
    [
        ("/users/", UserPublic, ["-created_at,email", "department,-role"]),
        ("/items/", ItemPublic, ["-created_at,title", "title,-status"]),
        ("/usage/", UsagePublic, ["-created_at,tokens", "user_id,-created_at"]),
        ("/audit/", AuditPublic, ["-at,id"]),
    ],
)
def test_list_reads_every_indexed_sort_from_an_index(
    as_admin: TestClient, plan_of: Plans, path: str, schema: type[Schema], several: list[str]
) -> None:
    sorts = [*indexed_sorts(schema), *several]

    found = {sort: kinds(plan_of(as_admin, path, sort=sort)) for sort in sorts}

    # An incremental sort puts the few rows in order that are equal by the index.
    assert {sort: plan for sort, plan in found.items() if plan & {"Sort", "Seq Scan"}} == {}
    assert len(found) >= 5


def test_get_items_begins_a_page_by_cursor_in_an_index(
    as_admin: TestClient, plan_of: Plans
) -> None:
    for sort in indexed_sorts(ItemPublic):
        first = as_admin.get(f"{API}/items/", params={"sort": sort, "limit": 50})
        plan = plan_of(as_admin, "/items/", sort=sort, after=first.headers["x-next-cursor"])

        assert kinds(plan) == {"Limit", "Index Scan"}, sort
        assert sort.removeprefix("-") in plan[-1]["Index Cond"]


def test_get_items_skips_over_an_index_alone(as_admin: TestClient, plan_of: Plans) -> None:
    plan = plan_of(as_admin, "/items/", sort="title", skip=15_000)

    (skipped,) = [node for node in plan if node.get("Index Name") == "ix_items_title_id"]
    assert skipped["Node Type"] == "Index Only Scan"
    assert "Seq Scan" not in kinds(plan)


# --- Filters and search.


@pytest.mark.parametrize(
    ("path", "filters"),
    [
        (
            "/users/",
            [
                "id=7",
                "email=p7@example.org",
                "email_like=p77@",
                "username=p7",
                "username_like=p777",
                "full_name=Name 77",
                "full_name_like=ame 77",
                "department=Dept 77",
                "department_like=dept 77",
                "role=admin",
                "is_active=false",
                "is_verified=false",
                "token_quota_gt=2990",
                "created_at_gte=2100-01-01",
                "updated_at_gte=2100-01-01",
                "last_login_at_gte=2100-01-01",
                "q=p777@exam",
            ],
        ),
        (
            "/items/",
            [
                "id=7",
                "title=Lamp 7",
                "title_like=ab12",
                "description_like=cd34",
                "status=archived",
                "owner_id=77",
                "created_at_gte=2100-01-01",
                "updated_at_gte=2100-01-01",
                "q=AB12c",
            ],
        ),
        ("/usage/", ["id=7", "user_id=77", "tokens_gt=9970", "created_at_gte=2100-01-01"]),
        (
            "/audit/",
            [
                "actor_id=77",
                "action=delete",
                "resource_type=item&resource_id=77",
                "request_id=77",
                "at_gte=2100-01-01",
            ],
        ),
    ],
)
def test_list_finds_by_an_index(
    as_admin: TestClient, plan_of: Plans, path: str, filters: list[str]
) -> None:
    found = {one: plan_of(as_admin, path, **dict(parse_qsl(one))) for one in filters}

    assert [one for one, plan in found.items() if "Seq Scan" in kinds(plan)] == []
    for one, plan in found.items():
        if "_like" in one or one.startswith("q="):
            assert indexes(plan) == {f"ix_{path.strip('/')}_search"}


# --- Scopes.


@pytest.mark.parametrize("sort", ["id", "-created_at", "title"])
def test_get_items_finds_those_of_a_department_by_their_owners(
    client_as: Callable[..., TestClient], plan_of: Plans, sort: str
) -> None:
    manager = client_as(Role.MANAGER, department="Dept 77")

    plan = plan_of(manager, "/items/", sort=sort)

    assert "Seq Scan" not in kinds(plan)
    assert {"ix_users_department_id", "ix_items_owner_id_id_deleted_at"} <= indexes(plan)


def test_get_users_finds_those_of_a_department_by_an_index(
    client_as: Callable[..., TestClient], plan_of: Plans
) -> None:
    plan = plan_of(client_as(Role.MANAGER, department="Dept 77"), "/users/", sort="email")

    assert "Seq Scan" not in kinds(plan)
    assert "ix_users_department_id" in indexes(plan)


def test_get_items_finds_ones_own_by_an_index(
    client_as: Callable[..., TestClient], plan_of: Plans
) -> None:
    plan = plan_of(client_as(Role.USER), "/items/", sort="-created_at")

    assert indexes(plan) == {"ix_items_owner_id_id_deleted_at"}
