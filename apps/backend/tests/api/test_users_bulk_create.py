from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.config import get_settings
from app.core.permissions import Role
from app.core.security import verify_password
from app.models import AuditEvent, OneTimeToken, User
from tests.assertions import assert_error
from tests.factories import make_user
from tests.letters import last_token, letters
from tests.racing import at_once, statuses
from tests.rows import every_row

URL = "/api/v1/users/bulk"
PASSWORD = "wallpaper-on-tuesday"


def emails(count: int) -> list[dict[str, Any]]:
    return [{"email": f"user{number}@example.com"} for number in range(count)]


def test_create_users_answers_the_records_in_order(as_admin: TestClient, db: Session) -> None:
    rows = [
        {"email": "zoe@example.com", "full_name": "Zoe", "token_quota": None, "role": "manager"},
        {"email": "Ann@Example.com", "username": "Ann", "department": "Sales"},
    ]

    response = as_admin.post(URL, json={"items": rows})

    zoe, ann = response.json()
    assert response.status_code == 201
    assert (zoe["email"], zoe["username"], zoe["role"]) == ("zoe@example.com", "zoe", "manager")
    assert (ann["email"], ann["username"], ann["department"]) == ("ann@example.com", "ann", "Sales")
    assert (zoe["token_quota"], ann["token_quota"]) == (None, get_settings().DEFAULT_TOKEN_QUOTA)
    assert zoe == as_admin.get(f"/api/v1/users/{zoe['id']}").json()
    assert ann == as_admin.get(f"/api/v1/users/{ann['id']}").json()


def test_create_users_answers_with_a_trailing_slash(as_admin: TestClient) -> None:
    assert as_admin.post(f"{URL}/", json={"items": emails(1)}).status_code == 201


def test_create_users_writes_the_audit_of_each(as_admin: TestClient, db: Session) -> None:
    response = as_admin.post(URL, json={"items": emails(2)})

    events = db.scalars(select(AuditEvent).where(AuditEvent.action == "create")).all()
    assert {event.resource_id for event in events} == {one["id"] for one in response.json()}
    assert {event.request_id for event in events} == {response.headers["x-request-id"]}
    assert events[0].changes["email"] == [None, "user0@example.com"]


def test_create_users_invites_and_greets_each(as_admin: TestClient, db: Session) -> None:
    rows = [
        {"email": "invited@example.com"},
        {"email": "greeted@example.com", "password": PASSWORD},
        {"email": "unproven@example.com", "password": PASSWORD, "is_verified": False},
        {"email": "idle@example.com", "is_active": False},
    ]

    response = as_admin.post(URL, json={"items": rows})

    assert response.status_code == 201
    assert letters(db) == [
        ("invitation", "invited@example.com"),
        ("welcome", "greeted@example.com"),
        ("verify_email", "unproven@example.com"),
    ]
    assert db.scalar(select(func.count()).select_from(OneTimeToken)) == 2


def test_create_users_sends_links_that_work(
    as_admin: TestClient, anonymous: TestClient, db: Session
) -> None:
    as_admin.post(URL, json={"items": [{"email": "ann@example.com"}]})
    reset = {"token": last_token(db), "password": PASSWORD}

    assert anonymous.post("/api/v1/auth/password/reset", json=reset).status_code == 200
    form = {"username": "ann@example.com", "password": PASSWORD}
    assert anonymous.post("/api/v1/auth/login", data=form).status_code == 200


def test_create_users_stores_no_password_but_its_hash(as_admin: TestClient, db: Session) -> None:
    rows = [{"email": f"u{n}@example.com", "password": f"{PASSWORD}-{n}"} for n in range(3)]
    rows.insert(1, {"email": "none@example.com"})

    response = as_admin.post(URL, json={"items": rows})

    assert response.status_code == 201
    assert PASSWORD not in str(every_row(db))
    for row in rows:
        user = db.scalars(select(User).where(User.email == row["email"])).one()
        assert verify_password(row.get("password", ""), user.hashed_password) == ("password" in row)


def test_create_users_hashes_without_a_connection(
    as_admin: TestClient, held_while_hashing: list[int]
) -> None:
    rows = [{"email": f"u{n}@example.com", "password": PASSWORD} for n in range(2)]

    as_admin.post(URL, json={"items": rows})

    assert held_while_hashing == [0, 0]


def test_create_users_refused_hashes_nothing(as_admin: TestClient, hashes: list[str]) -> None:
    row = {"email": "new@example.com", "password": PASSWORD}

    response = as_admin.post(URL, json={"items": [row, row]})

    assert_error(response, 409, "EMAIL_TAKEN", "items.1.email")
    assert hashes == []


def test_create_users_with_one_key_are_created_once(as_admin: TestClient, db: Session) -> None:
    body = {"items": [{"email": "new@example.com", "password": PASSWORD}]}
    headers = {"Idempotency-Key": "once"}

    first, again = (as_admin.post(URL, json=body, headers=headers) for _ in range(2))

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"


def test_create_users_hashes_without_a_connection_under_a_key(
    as_admin: TestClient, held_while_hashing: list[int]
) -> None:
    body = {"items": [{"email": "new@example.com", "password": PASSWORD}]}

    as_admin.post(URL, json=body, headers={"Idempotency-Key": "once"})

    assert held_while_hashing == [0]


def test_create_users_rehearsed_creates_nobody(as_admin: TestClient, db: Session) -> None:
    response = as_admin.post(f"{URL}?dry_run=true", json={"items": emails(2)})

    changes = response.json()["changes"]
    assert response.status_code == 200
    assert [one["fields"]["email"] for one in changes] == [
        [None, row["email"]] for row in emails(2)
    ]
    assert db.scalar(select(func.count()).select_from(User)) == 1
    assert letters(db) == []


def test_create_users_takes_fifty_passwords_and_no_more(as_admin: TestClient, db: Session) -> None:
    rows = [{**row, "password": PASSWORD} for row in emails(51)]

    response = as_admin.post(URL, json={"items": rows})

    assert_error(response, 422, "INVALID_REQUEST", "items")
    assert "At most 50" in response.json()["detail"]
    assert db.scalar(select(func.count()).select_from(User)) == 1


def test_create_users_refuses_easy_passwords_by_row(as_admin: TestClient, db: Session) -> None:
    rows = [
        {"email": "ann@example.com", "password": "password1"},
        {"email": "zoe@example.com", "password": PASSWORD},
        {"email": "margaret@example.com", "password": "Margaret"},
    ]

    response = as_admin.post(URL, json={"items": rows})

    assert_error(response, 422, "PASSWORD_TOO_EASY", "items.0.password", "items.2.password")
    assert db.scalar(select(func.count()).select_from(User)) == 1


def test_create_users_gives_no_user_name_that_is_the_password(
    as_admin: TestClient, db: Session
) -> None:
    make_user(db, username="margaret")

    row = {"email": "margaret@example.com", "password": "Margaret2"}
    response = as_admin.post(URL, json={"items": [row]})

    assert response.json()[0]["username"] == "margaret3"


def test_create_users_makes_user_names_unique_by_a_suffix(
    as_admin: TestClient, db: Session
) -> None:
    make_user(db, username="ann")
    rows: list[dict[str, Any]] = [{"email": f"ann@{place}.example.com"} for place in "abc"]
    rows.append({"email": "other@example.com", "username": "ann2"})

    response = as_admin.post(URL, json={"items": rows})

    names = [one["username"] for one in response.json()]
    assert names == ["ann4", "ann3", "ann5", "ann2"] or set(names) == {
        "ann2",
        "ann3",
        "ann4",
        "ann5",
    }
    assert names[3] == "ann2"


def test_create_users_finds_free_user_names_among_very_many(
    as_admin: TestClient, db: Session
) -> None:
    for number in ["", *range(2, 100)]:
        db.add(User(email=f"a{number}@x.example", username=f"ann{number}", role=Role.USER))
    db.commit()

    rows = [{"email": f"ann@{number}.example.com"} for number in range(20)]
    response = as_admin.post(URL, json={"items": rows})

    assert response.status_code == 201
    assert len({one["username"] for one in response.json()}) == 20


def test_create_users_refuses_what_is_taken_by_its_row(
    as_admin: TestClient, db: Session, user: User
) -> None:
    rows = [
        {"email": "new@example.com"},
        {"email": user.email.upper()},
        {"email": "other@example.com", "username": user.username},
    ]

    response = as_admin.post(URL, json={"items": rows})

    assert_error(response, 422, "BULK_REFUSED", "items.1.email", "items.2.username")
    assert response.json()["detail"] == "2 rows are refused, and nothing was changed."
    assert db.scalar(select(func.count()).select_from(User)) == 2
    assert letters(db) == []


def test_create_users_refuses_what_stands_twice_in_the_body(
    as_admin: TestClient, db: Session, user: User
) -> None:
    rows = [
        {"email": "ann@example.com"},
        {"email": "Ann@example.com"},
        {"email": user.email},
    ]

    response = as_admin.post(URL, json={"items": rows})

    assert_error(response, 409, "EMAIL_TAKEN", "items.1.email", "items.2.email")
    assert "earlier row" in response.json()["errors"]["items.1.email"]


def test_create_users_refuses_a_user_name_twice_in_the_body(as_admin: TestClient) -> None:
    rows = [{**row, "username": "Ann"} for row in emails(2)]

    response = as_admin.post(URL, json={"items": rows})

    assert_error(response, 409, "USERNAME_TAKEN", "items.1.username")


def test_create_users_takes_e_mail_and_user_name_of_a_deleted_one(
    as_admin: TestClient, user: User
) -> None:
    as_admin.delete(f"/api/v1/users/{user.id}")

    rows = [{"email": user.email, "username": user.username}]
    assert as_admin.post(URL, json={"items": rows}).status_code == 201


def test_create_users_by_a_manager_makes_plain_users_of_their_department(
    as_manager: TestClient,
) -> None:
    rows = [*emails(1), {"email": "ann@example.com", "department": "Sales", "role": "user"}]

    response = as_manager.post(URL, json={"items": rows})

    assert [one["department"] for one in response.json()] == ["Sales", "Sales"]
    assert [one["token_quota"] for one in response.json()] == [1000, 1000]


def test_create_users_by_a_manager_refuses_rows_beyond(as_manager: TestClient) -> None:
    rows = [
        {"email": "a@example.com", "role": "admin"},
        {"email": "b@example.com"},
        {"email": "c@example.com", "department": "Home", "token_quota": None},
    ]

    response = as_manager.post(URL, json={"items": rows})

    assert_error(
        response,
        403,
        "FIELDS_NOT_PERMITTED",
        "items.0.role",
        "items.2.department",
        "items.2.token_quota",
    )


def test_create_users_by_a_manager_without_department_is_refused(
    client_of: Callable[[User], TestClient], db: Session
) -> None:
    manager = make_user(db, role=Role.MANAGER, department=None)

    response = client_of(manager).post(URL, json={"items": emails(1)})

    assert_error(response, 403, "PERMISSION_DENIED", "items.0")


@pytest.mark.parametrize("rows", [[], emails(1001), None, {"0": {"email": "a@example.com"}}])
def test_create_users_takes_one_to_a_thousand(as_admin: TestClient, rows: Any) -> None:
    assert_error(as_admin.post(URL, json={"items": rows}), 422, "INVALID_REQUEST", "items")


def test_create_users_names_malformed_fields_by_row(as_admin: TestClient) -> None:
    rows = [{"email": "a@example.com"}, {"email": "nobody", "id": 3}, {}]

    response = as_admin.post(URL, json={"items": rows})

    fields = ("items.1.email", "items.1.id", "items.2.email")
    assert_error(response, 422, "INVALID_REQUEST", *fields)


def test_create_users_writes_a_thousand_in_a_handful_of_statements(
    as_admin: TestClient, db: Session, statements: list[str]
) -> None:
    rows = [{"email": f"many{number}@example.com"} for number in range(1000)]
    assert as_admin.post(URL, json={"items": emails(10)}).status_code == 201
    few = len(statements)

    response = as_admin.post(URL, json={"items": rows})

    assert [one["email"] for one in response.json()] == [row["email"] for row in rows]
    assert len(statements) - few == few < 20
    assert db.scalar(select(func.count()).where(User.email.startswith("many"))) == 1000


@pytest.mark.postgresql
def test_create_users_at_once_gives_each_e_mail_to_one_request(
    client_of: Callable[[User], TestClient], admin: User, db: Session
) -> None:
    def call(number: int) -> Any:
        client = client_of(admin)
        rows = [{"email": "shared@example.com"}, {"email": f"own{number}@example.com"}]
        return lambda: client.post(URL, json={"items": rows})

    responses = at_once([call(number) for number in range(6)])

    assert statuses(responses) == {201: 1, 409: 5}
    for response in responses:
        if response.status_code == 409:
            assert_error(response, 409, "EMAIL_TAKEN", "items.0.email")
    assert db.scalar(select(func.count()).select_from(User)) == 3


@pytest.mark.postgresql
def test_create_users_at_once_makes_as_many_user_names(
    client_of: Callable[[User], TestClient], admin: User
) -> None:
    def call(number: int) -> Any:
        client = client_of(admin)
        rows = [{"email": f"ann@{number}-{place}.example.com"} for place in range(3)]
        return lambda: client.post(URL, json={"items": rows})

    responses = at_once([call(number) for number in range(4)])

    assert set(statuses(responses)) <= {201, 503}
    names = [
        one["username"]
        for response in responses
        if response.status_code == 201
        for one in response.json()
    ]
    assert len(set(names)) == len(names) >= 9
