"""What an export of the importable columns holds, an import brings back."""

import random
import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.models import AuditEvent, Item, User
from tests.factories import make_item, make_user
from tests.uploads import send_file

API = "/api/v1"
NASTY = (
    "=SUM(A1)",
    "'=SUM(A1)",
    "''",
    "+1",
    "-1",
    "@x",
    "'",
    '"quoted", twice "',
    "two\nlines",
    "two\r\nlines",
    "a\rb",
    "tab\tinside",
    "\uff1d1",
    "null",
    "true",
    "1e5",
    "007",
    "ÄÖ\U0001f4a1",
    "a,b;c",
    "\\N",
    "\\.",
)


def texts(count: int) -> Iterator[str]:
    """Make texts of what spreadsheets and CSV trip over; the same ones each time."""
    drawn = random.Random(7)  # noqa: S311  No secret.
    yield from NASTY
    for _ in range(count):
        yield "x".join(drawn.choices(NASTY, k=3))


def make_records(db: Session) -> None:
    for number, text in enumerate(texts(40)):
        line = re.sub(r"[\r\n\t]+", " ", text)
        user = make_user(
            db,
            email=f"{'+-'[number % 2]}u{number}@example.com",
            username=f"{'._-'[number % 3]}u{number}",
            full_name=line,
            department=line if number % 3 else None,
            role=[Role.USER, Role.MANAGER, Role.AUDITOR][number % 3],
            is_active=number % 4 != 0,
            is_verified=number % 5 != 0,
            token_quota=[None, 0, 5][number % 3],
        )
        make_item(db, owner=user, title=line, description=f" {text}\n", status="archived")
        make_item(db, owner=user, title=line, description=None)


def empty(db: Session, *, but: User) -> None:
    for statement in (delete(AuditEvent), delete(Item), delete(User).where(User.id != but.id)):
        db.execute(statement, execution_options={"include_deleted": True})


@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_export_users_and_items_come_back_by_an_import(
    as_admin: TestClient, db: Session, admin: User, file_format: str
) -> None:
    def export(resource: str) -> bytes:
        query = {"columns": "importable", "format": file_format}
        response = as_admin.get(f"{API}/{resource}/export", params=query)
        assert response.status_code == 200
        return response.content

    make_records(db)
    users, items = export("users"), export("items")
    empty(db, but=admin)

    for resource, content in (("users", users), ("items", items)):
        url = f"{API}/{resource}/import"
        response = send_file(as_admin, url, content, name=f"x.{file_format}", on_conflict="update")
        assert response.status_code == 200, response.text

    assert export("users") == users
    assert export("items") == items
