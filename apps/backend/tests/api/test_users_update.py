from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.permissions import Role
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_user

URL = "/api/v1/users/"
LOGIN = "/api/v1/auth/login"
PASSWORD = "wallpaper-on-tuesday"
READ_ONLY = {
    "id": 999_999,
    "created_at": "1999-12-31T00:00:00Z",
    "updated_at": "1999-12-31T00:00:00Z",
    "last_login_at": "1999-12-31T00:00:00Z",
}
BOTH_VERBS = pytest.mark.parametrize("verb", ["PATCH", "PUT"])


@pytest.fixture
def ann(db: Session) -> User:
    return make_user(
        db,
        email="annabel.lee@example.com",
        username="northandsouth",
        full_name="Ann Lee",
        department="Sales",
    )


@BOTH_VERBS
def test_update_user_changes_what_is_given_and_nothing_else(
    as_admin: TestClient, ann: User, verb: str
) -> None:
    url = f"{URL}{ann.id}"
    before = as_admin.get(url).json()

    response = as_admin.request(verb, url, json={"full_name": "Ann Hale"})

    record = response.json()
    assert response.status_code == 200
    assert record == before | {
        "full_name": "Ann Hale",
        "version": before["version"] + 1,
        "updated_at": record["updated_at"],
    }
    assert record["updated_at"] > before["updated_at"]
    assert as_admin.get(url).json() == record


def test_update_user_by_an_admin_changes_every_field(as_admin: TestClient, ann: User) -> None:
    values = {
        "email": "margaret@example.com",
        "username": "margaret",
        "full_name": "Margaret",
        "department": "Kitchen",
        "role": "manager",
        "is_active": False,
        "is_verified": False,
        "token_quota": 7,
    }

    response = as_admin.patch(f"{URL}{ann.id}", json=values)

    assert response.status_code == 200
    assert response.json() == response.json() | values


@BOTH_VERBS
def test_update_user_without_a_field_changes_nothing(
    as_admin: TestClient, ann: User, verb: str
) -> None:
    url = f"{URL}{ann.id}"
    before = as_admin.get(url).json()

    response = as_admin.request(verb, url, json={})

    assert response.status_code == 200
    assert response.json() == before
    assert as_admin.get(url).json() == before


@BOTH_VERBS
def test_update_user_takes_the_whole_record_back_and_changes_nothing(
    as_admin: TestClient, ann: User, verb: str
) -> None:
    url = f"{URL}{ann.id}"
    before = as_admin.get(url).json()

    response = as_admin.request(verb, url, json=before)

    assert response.status_code == 200
    assert response.json() == before


def test_update_user_with_present_values_in_another_case_changes_nothing(
    as_admin: TestClient, ann: User
) -> None:
    url = f"{URL}{ann.id}"
    before = as_admin.get(url).json()

    response = as_admin.patch(url, json={"email": ann.email.upper(), "username": "NorthAndSouth"})

    assert response.status_code == 200
    assert response.json() == before


@BOTH_VERBS
@pytest.mark.parametrize("field", READ_ONLY)
def test_update_user_takes_a_read_only_field_without_effect(
    as_admin: TestClient, ann: User, verb: str, field: str
) -> None:
    url = f"{URL}{ann.id}"
    before = as_admin.get(url).json()

    response = as_admin.request(verb, url, json={field: READ_ONLY[field]})

    assert response.status_code == 200
    assert response.json() == before


@BOTH_VERBS
@pytest.mark.parametrize("field", ["hashed_password", "deleted_at", "department_folded"])
def test_update_user_does_not_tell_whether_a_hidden_value_was_guessed(
    as_admin: TestClient, ann: User, verb: str, field: str
) -> None:
    value = getattr(ann, field)

    response = as_admin.request(verb, f"{URL}{ann.id}", json={"full_name": "Ann", field: value})

    assert_error(response, 422, "INVALID_REQUEST", field)


@pytest.mark.parametrize("field", ["full_name", "department", "token_quota"])
def test_update_user_clears_a_field_by_null(as_admin: TestClient, ann: User, field: str) -> None:
    response = as_admin.patch(f"{URL}{ann.id}", json={field: None})

    assert response.status_code == 200
    assert response.json()[field] is None


@pytest.mark.parametrize("field", ["full_name", "department", "token_quota"])
def test_update_user_clears_a_field_by_an_emptied_input(
    as_admin: TestClient, ann: User, field: str
) -> None:
    """A form sends an emptied number as an empty text."""
    response = as_admin.patch(f"{URL}{ann.id}", json={field: ""})

    assert response.status_code == 200
    assert response.json()[field] is None


@pytest.mark.parametrize(
    "field",
    ["email", "username", "role", "is_active", "is_verified", "must_change_password"],
)
def test_update_user_refuses_null_elsewhere(as_admin: TestClient, ann: User, field: str) -> None:
    url = f"{URL}{ann.id}"
    before = as_admin.get(url).json()

    response = as_admin.patch(url, json={"full_name": "Ann Hale", field: None})

    assert_error(response, 422, "INVALID_REQUEST", field)
    assert as_admin.get(url).json() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", 5),
        ("email", "ann"),
        ("email", "x" * 300 + "@example.com"),
        ("username", "xy"),
        ("username", "x" * 51),
        ("username", "ann lee"),
        ("full_name", 12),
        ("username", ""),
        ("email", ""),
        ("full_name", "x" * 101),
        ("department", "x" * 101),
        ("role", "king"),
        ("password", "7 chars"),
        ("password", "x" * 129),
        ("current_password", "x" * 5000),
        ("is_active", "true"),
        ("is_active", 1),
        ("is_verified", 0),
        ("token_quota", True),
        ("token_quota", "12"),
        ("token_quota", 1.0),
        ("token_quota", -1),
        ("token_quota", 2**53),
        ("token_quota", 10**30),
        ("hashed_password", "x"),
        ("deleted_at", None),
        ("nickname", "Annie"),
    ],
)
def test_update_user_refuses_an_unknown_field_or_value(
    as_admin: TestClient, ann: User, field: str, value: Any
) -> None:
    url = f"{URL}{ann.id}"
    before = as_admin.get(url).json()

    response = as_admin.patch(url, json={"department": "Kitchen"} | {field: value})

    assert_error(response, 422, "INVALID_REQUEST", field)
    assert as_admin.get(url).json() == before


@pytest.mark.parametrize("character", [rb"\u0000", rb"\ud800"])
@pytest.mark.parametrize(
    "field", ["email", "username", "full_name", "department", "password", "id", "created_at"]
)
def test_update_user_refuses_text_that_no_database_stores(
    as_admin: TestClient, ann: User, field: str, character: bytes
) -> None:
    body = b'{"%s": "wallpaper%s"}' % (field.encode(), character)

    response = as_admin.patch(
        f"{URL}{ann.id}", content=body, headers={"Content-Type": "application/json"}
    )

    assert_error(response, 422, "INVALID_REQUEST", field)


@pytest.mark.parametrize("email", ["taken@example.com", "Taken@Example.COM"])
def test_update_user_refuses_an_e_mail_taken_in_any_case(
    as_admin: TestClient, ann: User, db: Session, email: str
) -> None:
    make_user(db, email="taken@example.com")
    url = f"{URL}{ann.id}"
    before = as_admin.get(url).json()

    response = as_admin.patch(url, json={"full_name": "Ann Hale", "email": email})

    assert_error(response, 409, "EMAIL_TAKEN", "email")
    assert as_admin.get(url).json() == before


@pytest.mark.parametrize("username", ["taken", "TAKEN"])
def test_update_user_refuses_a_user_name_taken_in_any_case(
    as_admin: TestClient, ann: User, db: Session, username: str
) -> None:
    make_user(db, username="taken")
    url = f"{URL}{ann.id}"
    before = as_admin.get(url).json()

    response = as_admin.patch(url, json={"full_name": "Ann Hale", "username": username})

    assert_error(response, 409, "USERNAME_TAKEN", "username")
    assert as_admin.get(url).json() == before


def test_update_user_takes_e_mail_and_user_name_of_a_deleted_one(
    as_admin: TestClient, ann: User, db: Session
) -> None:
    values = {"email": "free@example.com", "username": "free"}
    make_user(db, **values, deleted_at=utc_now())

    response = as_admin.patch(f"{URL}{ann.id}", json=values)

    assert response.status_code == 200
    assert response.json() == response.json() | values


def test_update_user_sets_a_password_that_replaces_the_old_one(
    as_admin: TestClient, anonymous: TestClient, db: Session
) -> None:
    user = make_user(db, username="annlee", password="curtains-on-friday")

    response = as_admin.patch(f"{URL}{user.id}", json={"password": PASSWORD})

    statuses = [
        anonymous.post(LOGIN, data={"username": "annlee", "password": password}).status_code
        for password in ("curtains-on-friday", PASSWORD)
    ]
    assert response.status_code == 200
    assert statuses == [401, 200]


def test_update_user_with_a_password_ends_every_session_of_theirs(
    as_admin: TestClient, as_user: TestClient, user: User
) -> None:
    response = as_admin.patch(f"{URL}{user.id}", json={"password": PASSWORD})

    assert response.status_code == 200
    assert_error(as_user.get(f"{URL}me"), 401, "INVALID_TOKEN")
    assert as_admin.get(f"{URL}me").status_code == 200


@pytest.mark.parametrize(
    "values",
    [
        {"password": "qwertyuiop"},
        {"password": "Annabel.Lee@example.com"},
        {"password": "Annabel.LEE"},
        {"password": "Margaret.HALE", "email": "margaret.hale@example.com"},
        {"password": "NorthAndSouth"},
        {"password": "Wives.And.Daughters", "username": "wives.and.daughters"},
        {"password": "margaret@mill.example", "email": "Margaret@mill.example"},
    ],
)
def test_update_user_refuses_an_easy_password(
    as_admin: TestClient, ann: User, values: dict[str, str]
) -> None:
    url = f"{URL}{ann.id}"
    before = as_admin.get(url).json()

    response = as_admin.patch(url, json={"full_name": "Ann Hale"} | values)

    assert_error(response, 422, "PASSWORD_TOO_EASY", "password")
    assert as_admin.get(url).json() == before


def test_update_user_by_an_admin_needs_no_password_of_theirs_for_an_e_mail(
    as_admin: TestClient, ann: User
) -> None:
    response = as_admin.patch(f"{URL}{ann.id}", json={"email": "margaret@example.com"})

    assert response.status_code == 200
    assert response.json()["email"] == "margaret@example.com"


@pytest.mark.parametrize("values", [{"role": "user"}, {"is_active": False}])
def test_update_user_takes_an_admin_down_while_another_stays(
    as_admin: TestClient, db: Session, values: dict[str, Any]
) -> None:
    other = make_user(db, role=Role.ADMIN)

    response = as_admin.patch(f"{URL}{other.id}", json=values)

    assert response.status_code == 200
    assert response.json() == response.json() | values


@BOTH_VERBS
@pytest.mark.parametrize("path", ["999999", "{deleted}"])
def test_update_user_refuses_one_that_is_not_there(
    as_admin: TestClient, db: Session, verb: str, path: str
) -> None:
    deleted = make_user(db, deleted_at=utc_now())

    response = as_admin.request(verb, URL + path.format(deleted=deleted.id), json={})

    assert_error(response, 404, "USER_NOT_FOUND")


def test_update_user_refuses_an_unknown_parameter(as_admin: TestClient, ann: User) -> None:
    response = as_admin.patch(f"{URL}{ann.id}?dry_rum=true", json={"full_name": "Ann Hale"})

    assert_error(response, 422, "INVALID_REQUEST", "dry_rum")
    assert as_admin.get(f"{URL}{ann.id}").json()["full_name"] == "Ann Lee"


def test_update_user_refused_repeats_nothing_that_was_sent(as_admin: TestClient, ann: User) -> None:
    response = as_admin.patch(f"{URL}{ann.id}", json={"email": "hidden", "password": "hidden"})

    assert_error(response, 422, "INVALID_REQUEST", "email", "password")
    assert "hidden" not in response.text


def test_update_user_by_a_manager_edits_a_plain_user_of_their_department(
    as_manager: TestClient, ann: User
) -> None:
    values = {
        "email": "margaret@example.com",
        "username": "margaret",
        "full_name": "Margaret",
        "is_active": False,
        "token_quota": 7,
    }

    response = as_manager.patch(f"{URL}{ann.id}", json=values)

    assert response.status_code == 200
    assert response.json() == response.json() | values


@BOTH_VERBS
def test_update_user_by_a_manager_takes_the_whole_record_back(
    as_manager: TestClient, ann: User, verb: str
) -> None:
    record = as_manager.get(f"{URL}{ann.id}").json()

    response = as_manager.request(verb, f"{URL}{ann.id}", json=record | {"full_name": "Ann Hale"})

    assert response.status_code == 200
    assert response.json()["full_name"] == "Ann Hale"


@pytest.mark.parametrize(
    "values",
    [
        {"role": "admin"},
        {"role": "manager"},
        {"role": "auditor"},
        {"department": "Kitchen"},
        {"department": "Sales II"},
        {"department": None},
        {"role": "manager", "department": None},
    ],
)
def test_update_user_by_a_manager_grants_no_role_and_moves_nobody_out(
    as_manager: TestClient, ann: User, values: dict[str, Any]
) -> None:
    url = f"{URL}{ann.id}"
    before = as_manager.get(url).json()

    response = as_manager.patch(url, json={"full_name": "Ann Hale"} | values)

    assert_error(response, 403, "FIELDS_NOT_PERMITTED", *values)
    assert as_manager.get(url).json() == before


@pytest.mark.parametrize("role", [Role.ADMIN, Role.MANAGER, Role.AUDITOR])
@pytest.mark.parametrize("values", [{"full_name": "Ann Hale"}, {"password": PASSWORD}])
def test_update_user_by_a_manager_refuses_any_other_role(
    as_manager: TestClient, db: Session, role: Role, values: dict[str, str]
) -> None:
    url = f"{URL}{make_user(db, role=role, department='Sales').id}"
    before = as_manager.get(url).json()

    response = as_manager.patch(url, json=values)

    assert_error(response, 403, "PERMISSION_DENIED")
    assert as_manager.get(url).json() == before


@pytest.mark.parametrize("department", ["Kitchen", "Sales II", None])
def test_update_user_by_a_manager_refuses_another_department(
    as_manager: TestClient, as_admin: TestClient, db: Session, department: str | None
) -> None:
    url = f"{URL}{make_user(db, department=department).id}"

    response = as_manager.patch(url, json={"full_name": "Ann Hale"})

    assert_error(response, 404, "USER_NOT_FOUND")
    assert as_admin.get(url).json()["full_name"] is None


def test_update_user_by_a_manager_without_department_refuses_all_but_themself(
    as_manager: TestClient, manager: User, db: Session
) -> None:
    manager.department = None
    db.commit()
    other = make_user(db, department=None)

    others, own = (
        as_manager.patch(f"{URL}{user.id}", json={"full_name": "Ann Hale"})
        for user in (other, manager)
    )

    assert_error(others, 404, "USER_NOT_FOUND")
    assert own.status_code == 200


@BOTH_VERBS
def test_update_user_by_an_auditor_is_refused(as_auditor: TestClient, ann: User, verb: str) -> None:
    response = as_auditor.request(verb, f"{URL}{ann.id}", json={"full_name": "Ann Hale"})

    assert_error(response, 403, "PERMISSION_DENIED")
    assert as_auditor.get(f"{URL}{ann.id}").json()["full_name"] == "Ann Lee"


@BOTH_VERBS
def test_update_user_by_a_plain_user_is_refused(as_user: TestClient, ann: User, verb: str) -> None:
    response = as_user.request(verb, f"{URL}{ann.id}", json={"full_name": "Ann Hale"})

    assert_error(response, 404, "USER_NOT_FOUND")
