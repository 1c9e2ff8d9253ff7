import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.models import OneTimeToken, User
from tests.assertions import assert_error
from tests.factories import make_user
from tests.letters import last_token, letters

URL = "/api/v1/users/"
EMAIL = "margaret.hale@example.com"
PASSWORD = "wallpaper-on-tuesday"
PUBLIC_FIELDS = {
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
}


def test_create_user_by_a_manager_gives_no_more_quota_than_the_manager_has(
    client_of: Callable[[User], TestClient], db: Session
) -> None:
    manager = make_user(db, role=Role.MANAGER, department="Sales", token_quota=5)

    response = client_of(manager).post(URL, json={"email": EMAIL})

    assert response.status_code == 201
    assert response.json()["token_quota"] == 5


def count_users(db: Session) -> int:
    return db.scalar(select(func.count()).select_from(User)) or 0


def test_create_user_answers_the_record_and_its_place(as_admin: TestClient) -> None:
    values = {
        "email": EMAIL,
        "username": "margaret",
        "full_name": "Margaret Hale",
        "department": "Sales",
        "role": "manager",
        "is_active": False,
        "is_verified": False,
        "token_quota": 5,
    }

    response = as_admin.post(URL, json=values)

    record = response.json()
    assert response.status_code == 201
    assert record == record | values
    assert set(record) == PUBLIC_FIELDS
    assert as_admin.get(response.headers["location"]).json() == record


def test_create_user_needs_an_e_mail_only(as_admin: TestClient) -> None:
    response = as_admin.post(URL, json={"email": EMAIL})

    record = response.json()
    expected = {
        "username": "margaret.hale",
        "full_name": None,
        "department": None,
        "role": "user",
        "is_active": True,
        "is_verified": True,
        "token_quota": 100_000,
        "last_login_at": None,
        "version": 1,
    }
    assert response.status_code == 201
    assert record == record | expected
    assert record["created_at"] == record["updated_at"]


def test_create_user_takes_the_collection_without_its_slash(as_admin: TestClient) -> None:
    response = as_admin.post(URL.rstrip("/"), json={"email": EMAIL})

    assert response.status_code == 201
    assert as_admin.get(response.headers["location"]).json() == response.json()


def test_create_user_keeps_e_mail_and_user_name_in_lower_case(as_admin: TestClient) -> None:
    response = as_admin.post(URL, json={"email": EMAIL.upper(), "username": "Margaret"})

    record = response.json()
    assert (record["email"], record["username"]) == (EMAIL, "margaret")


def test_create_user_keeps_markup_as_it_is(as_admin: TestClient) -> None:
    name = "<script>alert('Ann & Lee')</script>"

    response = as_admin.post(URL, json={"email": EMAIL, "full_name": name})

    assert response.json()["full_name"] == name
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("field", ["full_name", "department", "token_quota"])
def test_create_user_takes_null_where_a_field_may_be_empty(
    as_admin: TestClient, field: str
) -> None:
    response = as_admin.post(URL, json={"email": EMAIL, field: None})

    assert response.status_code == 201
    assert response.json()[field] is None


@pytest.mark.parametrize(
    ("local_part", "start"),
    [
        ("ann.lee", "ann.lee"),
        ("Ann_Lee-2", "ann_lee-2"),
        ("a", "a"),
        ("ann+news", "annnews"),
        ("!#", ""),
        ("x" * 64, "x" * 40),
    ],
)
def test_create_user_makes_a_lawful_user_name_of_the_e_mail(
    as_admin: TestClient, local_part: str, start: str
) -> None:
    response = as_admin.post(URL, json={"email": f"{local_part}@example.com"})

    name = response.json()["username"]
    assert response.status_code == 201
    assert name.startswith(start)
    assert re.fullmatch(r"[a-z0-9._-]{3,50}", name)


@pytest.mark.parametrize("local_part", ["ann", "a", "x" * 64])
def test_create_user_makes_user_names_unique_by_a_suffix(
    as_admin: TestClient, db: Session, local_part: str
) -> None:
    make_user(db, username="ann2")

    names = [
        as_admin.post(URL, json={"email": f"{local_part}@{number}.example"}).json()["username"]
        for number in range(4)
    ]

    assert len({*names, "ann2"}) == 5
    assert all(name.startswith(local_part[:40]) and 3 <= len(name) <= 50 for name in names)


@pytest.mark.parametrize("email", [EMAIL, EMAIL.upper(), "Margaret.Hale@EXAMPLE.com"])
def test_create_user_refuses_an_e_mail_twice_in_any_case(
    as_admin: TestClient, db: Session, email: str
) -> None:
    make_user(db, email=EMAIL)

    response = as_admin.post(URL, json={"email": email, "username": "another"})

    assert_error(response, 409, "EMAIL_TAKEN", "email")
    assert count_users(db) == 2


@pytest.mark.parametrize("username", ["margaret", "MARGARET"])
def test_create_user_refuses_a_user_name_twice_in_any_case(
    as_admin: TestClient, db: Session, username: str
) -> None:
    make_user(db, username="margaret")

    response = as_admin.post(URL, json={"email": EMAIL, "username": username})

    assert_error(response, 409, "USERNAME_TAKEN", "username")
    assert count_users(db) == 2


def test_create_user_does_not_take_an_empty_quota_for_an_unlimited_one(
    as_admin: TestClient,
) -> None:
    response = as_admin.post(URL, json={"email": EMAIL, "token_quota": ""})

    assert_error(response, 422, "INVALID_REQUEST", "token_quota")


def test_create_user_takes_e_mail_and_user_name_of_a_deleted_one(
    as_admin: TestClient, db: Session
) -> None:
    make_user(db, email=EMAIL, username="margaret", deleted_at=utc_now())

    response = as_admin.post(URL, json={"email": EMAIL, "username": "margaret"})

    assert response.status_code == 201


def test_create_user_lets_them_sign_in(as_admin: TestClient, anonymous: TestClient) -> None:
    form = {"username": EMAIL, "password": PASSWORD}

    as_admin.post(URL, json={"email": EMAIL, "password": PASSWORD})

    assert anonymous.post("/api/v1/auth/login", data=form).status_code == 200


def test_create_user_stores_no_password_but_its_hash(as_admin: TestClient, db: Session) -> None:
    as_admin.post(URL, json={"email": EMAIL, "password": PASSWORD})

    stored = db.scalar(select(User.hashed_password).where(User.email == EMAIL))
    assert stored is not None
    assert stored.startswith("$argon2id$")


@pytest.mark.parametrize("password", ["7 chars", "x" * 129, "🦊" * 7])
def test_create_user_refuses_a_password_too_short_or_too_long(
    as_admin: TestClient, db: Session, password: str
) -> None:
    response = as_admin.post(URL, json={"email": EMAIL, "password": password})

    assert_error(response, 422, "INVALID_REQUEST", "password")
    assert count_users(db) == 1


@pytest.mark.parametrize("password", ["8 chars!", "🦊" * 128])
def test_create_user_takes_passwords_of_8_to_128_characters(
    as_admin: TestClient, password: str
) -> None:
    response = as_admin.post(URL, json={"email": EMAIL, "password": password})

    assert response.status_code == 201


@pytest.mark.parametrize(
    "password",
    [
        "password1",
        "PassWord1",
        "qwertyuiop",
        EMAIL,
        EMAIL.upper(),
        "margaret.hale",
        "Margaret.HALE",
        "northandsouth",
        "NorthAndSouth",
    ],
)
def test_create_user_refuses_an_easy_password(
    as_admin: TestClient, db: Session, password: str
) -> None:
    names = {"email": EMAIL, "username": "NorthAndSouth"}

    response = as_admin.post(URL, json=names | {"password": password})

    assert_error(response, 422, "PASSWORD_TOO_EASY", "password")
    assert count_users(db) == 1


def test_create_user_refuses_the_user_name_it_would_make_as_password(
    as_admin: TestClient, db: Session
) -> None:
    response = as_admin.post(
        URL, json={"email": "margaret+hale@example.com", "password": "MargaretHale"}
    )

    assert_error(response, 422, "PASSWORD_TOO_EASY", "password")
    assert count_users(db) == 1


def test_create_user_gives_no_user_name_that_is_the_password(
    as_admin: TestClient, db: Session
) -> None:
    make_user(db, username="margaret")

    response = as_admin.post(URL, json={"email": "margaret@example.com", "password": "Margaret2"})

    assert response.json()["username"] == "margaret3"


def test_create_user_finds_a_free_user_name_among_very_many(
    as_admin: TestClient, db: Session
) -> None:
    names = ["ann", *(f"ann{number}" for number in range(2, 130))]
    db.add_all(User(email=f"{name}@x.example", username=name, role="user") for name in names)
    db.commit()

    response = as_admin.post(URL, json={"email": "ann@example.com"})

    assert response.status_code == 201
    assert re.fullmatch(r"ann\d{1,6}", response.json()["username"])


@pytest.mark.parametrize(
    "field",
    [
        "id",
        "created_at",
        "updated_at",
        "last_login_at",
        "version",
        "hashed_password",
        "current_password",
        "deleted_at",
        "nickname",
    ],
)
def test_create_user_refuses_a_field_that_is_not_set_here(
    as_admin: TestClient, db: Session, field: str
) -> None:
    response = as_admin.post(URL, json={"email": EMAIL, field: None})

    assert_error(response, 422, "INVALID_REQUEST", field)
    assert count_users(db) == 1


@pytest.mark.parametrize("field", ["email", "role", "is_active", "is_verified"])
def test_create_user_refuses_null_elsewhere(as_admin: TestClient, db: Session, field: str) -> None:
    response = as_admin.post(URL, json={"email": EMAIL} | {field: None})

    assert_error(response, 422, "INVALID_REQUEST", field)
    assert count_users(db) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", 5),
        ("email", ["ann@example.com"]),
        ("username", True),
        ("full_name", 12),
        ("department", {}),
        ("role", 1),
        ("role", "ADMIN"),
        ("role", "owner"),
        ("password", 12345678),
        ("is_active", "true"),
        ("is_active", 1),
        ("is_verified", 0),
        ("token_quota", True),
        ("token_quota", "12"),
        ("token_quota", 1.0),
        ("token_quota", 1.5),
        ("token_quota", -1),
        ("token_quota", 2**53),
        ("token_quota", 2**63),
        ("token_quota", 10**30),
    ],
)
def test_create_user_refuses_a_value_of_another_type_or_size(
    as_admin: TestClient, db: Session, field: str, value: Any
) -> None:
    response = as_admin.post(URL, json={"email": EMAIL} | {field: value})

    assert_error(response, 422, "INVALID_REQUEST", field)
    assert count_users(db) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "x" * 300 + "@example.com"),
        ("email", "ann@" + ".".join(["x" * 60] * 4) + ".example"),
        ("username", "xy"),
        ("username", "x" * 51),
        ("full_name", "x" * 101),
        ("department", "x" * 101),
    ],
)
def test_create_user_refuses_a_text_too_short_or_too_long(
    as_admin: TestClient, db: Session, field: str, value: str
) -> None:
    response = as_admin.post(URL, json={"email": EMAIL} | {field: value})

    assert_error(response, 422, "INVALID_REQUEST", field)
    assert count_users(db) == 1


def test_create_user_takes_texts_of_full_length(as_admin: TestClient) -> None:
    longest = {"username": "x" * 50, "full_name": "ä" * 100, "department": "🦊" * 100}

    response = as_admin.post(URL, json={"email": EMAIL} | longest)

    assert response.status_code == 201
    assert response.json() == response.json() | longest


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ann",
        "@example.com",
        "ann@",
        "ann@@example.com",
        "ann lee@example.com",
        "ann@exam ple.com",
        "ann@example.com\r\nBcc: all@example.com",
        "ann@example.com,bob@example.com",
        "Ann <ann@example.com>",
    ],
)
def test_create_user_refuses_what_is_no_e_mail(
    as_admin: TestClient, db: Session, email: str
) -> None:
    response = as_admin.post(URL, json={"email": email})

    assert_error(response, 422, "INVALID_REQUEST", "email")
    assert count_users(db) == 1


@pytest.mark.parametrize("username", ["ann lee", "ann@lee", "ann\n", "änn", "ann/lee", "../ann"])
def test_create_user_refuses_a_user_name_of_other_characters(
    as_admin: TestClient, db: Session, username: str
) -> None:
    response = as_admin.post(URL, json={"email": EMAIL, "username": username})

    assert_error(response, 422, "INVALID_REQUEST", "username")
    assert count_users(db) == 1


@pytest.mark.parametrize("character", [rb"\u0000", rb"\ud800", rb"\udfff"])
@pytest.mark.parametrize("field", ["email", "username", "full_name", "department", "password"])
def test_create_user_refuses_text_that_no_database_stores(
    as_admin: TestClient, db: Session, field: str, character: bytes
) -> None:
    values = {"email": b"margaret.hale@example.com", "username": b"margaret"}
    values[field] = values.get(field, b"wallpaper") + character
    pairs = (b'"%s": "%s"' % (name.encode(), value) for name, value in values.items())
    body = b"{" + b", ".join(pairs) + b"}"

    response = as_admin.post(URL, content=body, headers={"Content-Type": "application/json"})

    assert_error(response, 422, "INVALID_REQUEST", field)
    assert count_users(db) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (rb'{"email": "ann@example.com", "token_quota": NaN}', 422),
        (rb'{"email": "ann@example.com", "token_quota": 1e999}', 422),
        (rb'{"email": "ann@example.com", "\ud800": 1}', 422),
        (rb'{"email": "ann@example.com", "token_quota": ' + b"9" * 5000 + b"}", 400),
        (b'{"email": "ann\xff@example.com"}', 400),
        (b"[]", 422),
        (b"null", 422),
        (b'"ann@example.com"', 422),
        (b"{", 400),
        (b"", 422),
    ],
)
def test_create_user_refuses_an_unreadable_body(
    as_admin: TestClient, db: Session, body: bytes, status: int
) -> None:
    response = as_admin.post(URL, content=body, headers={"Content-Type": "application/json"})

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert count_users(db) == 1


@pytest.mark.parametrize("body", [{}, {"email": 5}, {"email": EMAIL, "nickname": "Ann"}])
def test_create_user_refuses_who_may_not_before_what_is_wrong(
    anonymous: TestClient, as_user: TestClient, body: dict[str, Any]
) -> None:
    responses = [client.post(URL, json=body) for client in (anonymous, as_user)]

    assert_error(responses[0], 401, "NOT_AUTHENTICATED")
    assert_error(responses[1], 403, "PERMISSION_DENIED")


def test_create_user_names_every_field_that_is_wrong(as_admin: TestClient) -> None:
    response = as_admin.post(URL, json={"email": "ann", "username": "xy", "role": "king"})

    assert_error(response, 422, "INVALID_REQUEST", "email", "username", "role")


def test_create_user_refused_repeats_nothing_that_was_sent(as_admin: TestClient) -> None:
    values = {"email": "hidden-address", "password": "hidden", "full_name": ["hidden-name"]}

    response = as_admin.post(URL, json=values)

    assert_error(response, 422, "INVALID_REQUEST", "email", "password", "full_name")
    assert "hidden" not in response.text


def test_create_user_refuses_an_unknown_parameter(as_admin: TestClient, db: Session) -> None:
    response = as_admin.post(f"{URL}?dry_rum=true", json={"email": EMAIL})

    assert_error(response, 422, "INVALID_REQUEST", "dry_rum")
    assert count_users(db) == 1


@pytest.mark.parametrize("values", [{}, {"department": "Sales"}, {"role": "user"}])
def test_create_user_by_a_manager_makes_a_plain_user_of_their_department(
    as_manager: TestClient, values: dict[str, str]
) -> None:
    response = as_manager.post(URL, json={"email": EMAIL} | values)

    record = response.json()
    assert response.status_code == 201
    assert (record["role"], record["department"]) == ("user", "Sales")


@pytest.mark.parametrize(
    "values",
    [
        {"role": "admin"},
        {"role": "manager"},
        {"role": "auditor"},
        {"department": "Kitchen"},
        {"department": "Sales II"},
        {"department": None},
        {"role": "manager", "department": "Kitchen"},
    ],
)
def test_create_user_by_a_manager_refuses_another_role_or_department(
    as_manager: TestClient, db: Session, values: dict[str, Any]
) -> None:
    response = as_manager.post(URL, json={"email": EMAIL} | values)

    assert_error(response, 403, "FIELDS_NOT_PERMITTED", *values)
    assert count_users(db) == 1


@pytest.mark.parametrize("values", [{}, {"department": None}, {"department": "Sales"}])
def test_create_user_by_a_manager_without_department_is_refused(
    as_manager: TestClient, manager: User, db: Session, values: dict[str, Any]
) -> None:
    manager.department = None
    db.commit()

    response = as_manager.post(URL, json={"email": EMAIL} | values)

    assert_error(response, 403, "PERMISSION_DENIED")
    assert "department" in response.json()["detail"]
    assert count_users(db) == 1


@pytest.mark.parametrize("is_one", [False, True])
def test_e_mail_is_told_where_both_names_are_taken(
    as_admin: TestClient, db: Session, is_one: bool
) -> None:
    """Whichever of the unique indexes the database looks into first."""
    values = [{"email": "a@example.com"}, {"username": "bert"}]
    for one in [values[0] | values[1]] if is_one else values:
        make_user(db, **one)
    other = make_user(db)
    gone = make_user(db, email="a@example.com", username="bert", deleted_at=utc_now())
    both = values[0] | values[1]

    refused = [
        as_admin.post(URL, json=both),
        as_admin.post(f"{URL}bulk", json={"items": [both]}),
        as_admin.patch(f"{URL}{other.id}", json=both),
        as_admin.post(f"{URL}{gone.id}/restore"),
        as_admin.post(f"{URL}bulk/restore", json={"ids": [gone.id]}),
    ]

    assert [(one.status_code, one.json()["error"]) for one in refused[:1] + refused[2:]] == [
        (409, "EMAIL_TAKEN")
    ] * 4
    assert "items.0.email" in refused[1].json()["errors"]


# --- The letter, and the first password.


def test_create_user_without_a_password_invites_them_to_set_one(
    as_admin: TestClient, anonymous: TestClient, db: Session
) -> None:
    as_admin.post(URL, json={"email": EMAIL})
    body = {"token": last_token(db), "password": PASSWORD}

    response = anonymous.post("/api/v1/auth/password/reset", json=body)

    form = {"username": EMAIL, "password": PASSWORD}
    assert letters(db) == [("invitation", EMAIL)]
    assert response.status_code == 200
    assert anonymous.post("/api/v1/auth/login", data=form).status_code == 200


def test_create_user_with_a_password_welcomes_them(as_admin: TestClient, db: Session) -> None:
    as_admin.post(URL, json={"email": EMAIL, "password": PASSWORD})

    assert letters(db) == [("welcome", EMAIL)]
    assert db.scalars(select(OneTimeToken)).all() == []


@pytest.mark.parametrize("given", [{}, {"password": PASSWORD}])
def test_create_user_inactive_sends_no_letter(
    as_admin: TestClient, db: Session, given: dict[str, str]
) -> None:
    as_admin.post(URL, json={"email": EMAIL, "is_active": False} | given)

    assert letters(db) == []


def test_create_user_refused_sends_no_letter(as_admin: TestClient, db: Session) -> None:
    make_user(db, email=EMAIL)

    as_admin.post(URL, json={"email": EMAIL})

    assert letters(db) == []


def test_create_user_without_a_password_lets_nobody_in(
    as_admin: TestClient, anonymous: TestClient, db: Session
) -> None:
    as_admin.post(URL, json={"email": EMAIL})

    for password in ("x", "None", "null"):
        form = {"username": EMAIL, "password": password}
        response = anonymous.post("/api/v1/auth/login", data=form)

        assert_error(response, 401, "INVALID_CREDENTIALS")


@pytest.mark.parametrize("is_required", [True, False])
def test_create_user_may_require_another_password(
    as_admin: TestClient, anonymous: TestClient, is_required: bool
) -> None:
    values = {"email": EMAIL, "password": PASSWORD, "must_change_password": is_required}

    as_admin.post(URL, json=values)

    form = {"username": EMAIL, "password": PASSWORD}
    token = anonymous.post("/api/v1/auth/login", data=form).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    status = anonymous.get("/api/v1/items/", headers=bearer).status_code
    assert status == (403 if is_required else 200)
