"""How many statements each reading route takes, however many rows it shows.

`{limit}` asks for all rows but one or two, so that a list has to count what it does not show.
"""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session

from app.api.api import route_contexts
from app.core.clock import utc_now
from app.main import create_app
from app.models import Base, Item, User
from tests.factories import (
    make_item,
    make_letter,
    make_login_event,
    make_session,
    make_usage,
    make_user,
)

FEW, MANY = 3, 12
TABLE = """
/api/v1/auth/sessions                          2  the caller, sessions
/api/v1/users/me                               1  the caller
/api/v1/users/me/permissions                   1  the caller
/api/v1/users/me/sessions                      2  the caller, sessions
/api/v1/users/me/usage                         3  the caller, their sums, this month's kinds
/api/v1/users/?limit={limit}                   3  the caller, the page, the total
/api/v1/users/departments                      2  the caller, departments
/api/v1/users/export                           3  the caller, the event in the audit, the rows
/api/v1/users/import/template                  1  the caller
/api/v1/users/{user_id}                        2  the caller, the record
/api/v1/users/{user_id}/items?limit={limit}    3  the caller, the owner, the page with its total
/api/v1/users/{user_id}/sessions               3  the caller, the user, sessions
/api/v1/users/{user_id}/stats                  2  the caller, the record with its figures
/api/v1/users/{user_id}/impact                 3  the caller, the user, what hangs on them
/api/v1/items/?limit={limit}                   3  the caller, the page, the total
/api/v1/items/export                           3  the caller, the event in the audit, the rows
/api/v1/items/import/template                  1  the caller
/api/v1/items/{item_id}                        2  the caller, the record
/api/v1/usage/?limit={limit}                   3  the caller, the page, the total
/api/v1/usage/export                           3  the caller, the event in the audit, the rows
/api/v1/usage/{event_id}                       2  the caller, the record
/api/v1/statistics/overview                    3  the caller, users, items
/api/v1/statistics/timeseries?metric=signups   2  the caller, figures
/api/v1/statistics/timeseries?metric=logins    2  the caller, figures
/api/v1/statistics/timeseries?metric=items     2  the caller, figures
/api/v1/statistics/timeseries?metric=tokens    2  the caller, figures
/api/v1/audit/?limit={limit}                   3  the caller, the page, the total
/api/v1/audit/export                           3  the caller, the event in the audit, the rows
/api/v1/audit/{audit_event_id}                 2  the caller, the record
/api/v1/letters/?limit={limit}                 3  the caller, the page, the total
/api/v1/letters/{letter_id}                    2  the caller, the record
/api/v1/jobs/                                  2  the caller, jobs
/api/v1/jobs/clean-up                          2  the caller, jobs
/health                                        0
/health/ready                                  2  whether there is a version, and which
"""
LINES = [line.split(maxsplit=2) for line in TABLE.splitlines() if line]


@pytest.mark.parametrize("rows", [FEW, MANY])
def test_routes_take_as_many_statements_as_the_table_says(
    as_admin: TestClient, admin: User, user: User, db: Session, statements: list[str], rows: int
) -> None:
    ids = make_rows(db, caller=admin, owner=user, number=rows + 1)

    taken = {}
    for path, *_ in LINES:
        as_admin.get(path.format(limit=rows, **ids))  # Where there were far more rows before.
        statements.clear()
        response = as_admin.get(path.format(limit=rows, **ids))
        assert response.status_code == 200, response.text
        assert "{limit}" not in path or len(response.json()) == rows
        taken[path] = sum(not statement.startswith("BEGIN") for statement in statements)

    assert taken == {path: int(number) for path, number, *_ in LINES}


def make_rows(db: Session, *, caller: User, owner: User, number: int) -> dict[str, int]:
    """Make as many rows of everything that is listed, and return an id of each for the paths."""
    for _ in range(number):
        make_user(db)
        make_session(db, user=caller)
        make_session(db, user=owner)
        make_item(db, owner=owner)
        make_login_event(db, user=owner, at=utc_now())
        make_usage(db, user=owner)
        make_letter(db)
    return {
        "user_id": owner.id,
        "item_id": make_item(db, owner=owner).id,
        "event_id": make_usage(db, user=owner).id,
        "letter_id": make_letter(db).id,
        "audit_event_id": make_login_event(db, user=owner, at=utc_now()).id,
    }


def test_table_names_every_route_that_reads() -> None:
    routes = {
        str(context.path)
        for context in route_contexts(create_app())
        if "GET" in (context.methods or set())
    }

    paths = {path.partition("?")[0] for path, *_ in LINES}
    assert {path.replace("/clean-up", "/{name}") for path in paths} == routes


def test_nothing_is_loaded_that_was_not_asked_for() -> None:
    mappers = list(Base.registry.mappers)
    relationships = {str(one): one.lazy for mapper in mappers for one in mapper.relationships}
    deferred = {str(one) for mapper in mappers for one in mapper.column_attrs if one.deferred}

    assert set(relationships.values()) == {"raise_on_sql"}, relationships
    assert deferred == set()


def test_owner_of_an_item_is_not_loaded_by_looking_at_it(db: Session, user: User) -> None:
    item_id = make_item(db, owner=user).id
    db.expunge_all()
    item = db.get_one(Item, item_id)

    with pytest.raises(InvalidRequestError, match="raise_on_sql"):
        _ = item.owner
