"""Database errors told by name, by those that the drivers raise."""

import sqlite3
from typing import Any

import psycopg2  # type: ignore[import-untyped]  # Ships no types.
import psycopg2.errors  # type: ignore[import-untyped]  # Ships no types.
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from app.core.errors import ConflictError, DomainError
from app.db.integrity import (
    ContendedError,
    DatabaseUnavailableError,
    InvalidValueError,
    LockedError,
    ReferenceGoneError,
    SchemaNotReadyError,
    StatementTimeoutError,
    constraint_error,
    domain_error,
    violated_constraint,
)
from app.db.session import unit_of_work
from app.models import Item, User
from app.models.user import EMAIL_UNIQUE, USERNAME_UNIQUE
from tests.factories import make_user


class TakenError(ConflictError):
    code = "TAKEN"
    text = "It is taken."


def coded(pgcode: str | None, message: str = "words of the server") -> BaseException:
    """Make the error that psycopg2 raises for the code, or for a server that is gone."""
    kind = psycopg2.OperationalError if pgcode is None else psycopg2.errors.lookup(pgcode)
    error: BaseException = kind(message)
    error.__setstate__({"pgcode": pgcode})  # As unpickling does: the attribute is read-only.
    return error


def wrapped(
    original: BaseException, kind: type[DBAPIError] = OperationalError, *, lost: bool = False
) -> DBAPIError:
    return kind("SELECT 1", {}, original, connection_invalidated=lost)


@pytest.mark.parametrize(
    ("pgcode", "family"),
    [
        ("57014", StatementTimeoutError),
        ("55P03", LockedError),
        ("40001", ContendedError),
        ("40P01", ContendedError),
        ("25006", DatabaseUnavailableError),
        ("42P01", SchemaNotReadyError),
        ("53300", DatabaseUnavailableError),
        ("57P01", DatabaseUnavailableError),
        ("57P03", DatabaseUnavailableError),
        (None, DatabaseUnavailableError),
        ("23503", ReferenceGoneError),
        ("22003", InvalidValueError),
        ("22021", InvalidValueError),
        ("22P05", InvalidValueError),
    ],
)
def test_code_of_postgresql_names_the_family(pgcode: str | None, family: type[DomainError]) -> None:
    error = domain_error(wrapped(coded(pgcode)))

    assert type(error) is family


@pytest.mark.parametrize("pgcode", ["42601", "42703", "23505", "P0001", "XX000"])
def test_bug_of_our_own_has_no_family(pgcode: str) -> None:
    assert domain_error(wrapped(coded(pgcode))) is None


@pytest.mark.parametrize(
    ("message", "family"),
    [
        ("database is locked", DatabaseUnavailableError),
        ("unable to open database file", DatabaseUnavailableError),
        ("database or disk is full", DatabaseUnavailableError),
        ("interrupted", StatementTimeoutError),
        ("no such table: nowhere", SchemaNotReadyError),
        ('near "SELEKT": syntax error', type(None)),
    ],
)
def test_words_of_sqlite_name_the_family(message: str, family: type) -> None:
    error = domain_error(wrapped(sqlite3.OperationalError(message)))

    assert type(error) is family


def test_lost_connection_is_unavailable_whatever_the_driver_says() -> None:
    original = psycopg2.InterfaceError("connection already closed")

    error = domain_error(wrapped(original, InterfaceError, lost=True))

    assert type(error) is DatabaseUnavailableError


def test_full_pool_is_unavailable() -> None:
    assert type(domain_error(PoolTimeoutError())) is DatabaseUnavailableError


def test_family_tells_nothing_of_the_database() -> None:
    errors = [
        domain_error(wrapped(coded(code, "hush-hush"), DataError))
        for code in ("57014", "55P03", "22003", None)
    ]

    assert all(error is not None and "hush" not in error.detail for error in errors)


# --- Constraints, violated for real.


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"email": "user@example.com", "username": "another"}, EMAIL_UNIQUE),
        ({"email": "another@example.com", "username": "user.example.com"}, USERNAME_UNIQUE),
    ],
)
def test_violated_constraint_is_named_on_every_database(
    db: Session, user: User, values: dict[str, Any], constraint: str
) -> None:
    with pytest.raises(IntegrityError) as caught:
        make_user(db, **values)

    db.rollback()
    assert violated_constraint(caught.value) == constraint


def test_violated_null_is_no_unique_constraint(db: Session, user: User) -> None:
    with pytest.raises(IntegrityError) as caught:
        db.execute(text("UPDATE users SET role = NULL"))

    db.rollback()
    assert violated_constraint(caught.value) not in {EMAIL_UNIQUE, USERNAME_UNIQUE}


def test_constraint_error_raises_the_refusal_that_belongs_to_it(db: Session, user: User) -> None:
    with pytest.raises(TakenError), constraint_error({EMAIL_UNIQUE: TakenError}):
        make_user(db, email=user.email, username="another")

    db.rollback()


def test_constraint_error_lets_every_other_pass(db: Session, user: User) -> None:
    with pytest.raises(IntegrityError), constraint_error({EMAIL_UNIQUE: TakenError}):
        make_user(db, email="another@example.com", username=user.username)

    db.rollback()


def test_foreign_key_is_held_on_every_database() -> None:
    with pytest.raises(IntegrityError), unit_of_work() as db:
        db.add(Item(title="Lamp", status="draft", owner_id=10**9))


def test_violated_foreign_key_says_that_what_it_leads_to_is_gone() -> None:
    with pytest.raises(IntegrityError) as caught, unit_of_work() as db:
        db.add(Item(title="Lamp", status="draft", owner_id=10**9))

    assert type(domain_error(caught.value)) is ReferenceGoneError
