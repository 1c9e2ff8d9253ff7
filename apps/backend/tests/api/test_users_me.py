from collections.abc import Callable
from typing import Any

import pytest
from argon2 import low_level
from fastapi.testclient import TestClient
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_item, make_user
from tests.letters import last_token, letters

URL = "/api/v1/users/me"
PASSWORD = "wallpaper-on-tuesday"
BOTH_PATHS = pytest.mark.parametrize("path", ["me", "{id}"])
BOTH_VERBS = pytest.mark.parametrize("verb", ["PATCH", "PUT"])
# What nobody sets of their own account, each with a value other than the present one.
PRIVILEGED: dict[str, Any] = {
    "role": "auditor",
    "department": "Kitchen",
    "is_active": False,
    "is_verified": False,
    "token_quota": 999_999,
    "password": "curtains-on-friday",
}


@pytest.fixture
def ann(db: Session) -> User:
    return make_user(db, email="ann@example.com", username="annlee", password=PASSWORD)


@pytest.fixture
def as_ann(client_of: Callable[[User], TestClient], ann: User) -> TestClient:
    return client_of(ann)


def own_url(path: str, user: User) -> str:
    return f"/api/v1/users/{path.format(id=user.id)}"


@pytest.mark.parametrize("role", Role)
def test_get_me_shows_who_is_signed_in(
    client_of: Callable[[User], TestClient], db: Session, role: Role
) -> None:
    user = make_user(db, role=role)

    response = client_of(user).get(URL)

    assert response.status_code == 200
    assert (response.json()["id"], response.json()["role"]) == (user.id, role)


def test_get_me_takes_an_id_from_the_token_only(
    as_user: TestClient, user: User, admin: User
) -> None:
    headers = {"X-User-ID": f"{admin.id}", "X-Remote-User": admin.email, "Cookie": f"id={admin.id}"}

    response = as_user.get(URL, headers=headers)

    assert response.json()["id"] == user.id


@BOTH_PATHS
@BOTH_VERBS
@pytest.mark.parametrize("role", Role)
def test_update_me_changes_the_profile_whatever_the_role(
    client_of: Callable[[User], TestClient], db: Session, path: str, verb: str, role: Role
) -> None:
    user = make_user(db, role=role)
    client = client_of(user)
    before = client.get(URL).json()
    values = {"full_name": "Ann Lee", "username": "annlee"}

    response = client.request(verb, own_url(path, user), json=values)

    record = response.json()
    assert response.status_code == 200
    assert record == before | values | {"version": 2, "updated_at": record["updated_at"]}
    assert client.get(URL).json() == record


@BOTH_PATHS
@BOTH_VERBS
def test_update_me_takes_the_whole_record_back(
    as_user: TestClient, user: User, path: str, verb: str
) -> None:
    before = as_user.get(URL).json()

    response = as_user.request(verb, own_url(path, user), json=before)

    assert response.status_code == 200
    assert response.json() == before


def test_update_me_without_a_field_changes_nothing(as_user: TestClient) -> None:
    before = as_user.get(URL).json()

    response = as_user.patch(URL, json={})

    assert response.status_code == 200
    assert response.json() == before


@pytest.mark.parametrize(
    ("path", "role"),
    [("me", Role.USER), ("{id}", Role.USER), ("me", Role.ADMIN), ("{id}", Role.MANAGER)],
)
@pytest.mark.parametrize("field", PRIVILEGED)
def test_update_me_refuses_a_privileged_field_whatever_the_role(
    client_of: Callable[[User], TestClient], db: Session, path: str, role: Role, field: str
) -> None:
    user = make_user(db, role=role, department="Sales")
    client = client_of(user)
    before = client.get(URL).json()

    response = client.patch(
        own_url(path, user), json={"full_name": "Ann Lee", field: PRIVILEGED[field]}
    )

    assert_error(response, 403, "FIELDS_NOT_PERMITTED", field)
    assert client.get(URL).json() == before


def test_update_me_names_every_field_that_is_not_permitted(as_user: TestClient) -> None:
    before = as_user.get(URL).json()

    response = as_user.patch(URL, json={"full_name": "Ann Lee"} | PRIVILEGED)

    assert_error(response, 403, "FIELDS_NOT_PERMITTED", *PRIVILEGED)
    assert as_user.get(URL).json() == before


@pytest.mark.parametrize("field", ["department", "token_quota"])
def test_update_me_refuses_null_for_a_privileged_field(as_user: TestClient, field: str) -> None:
    response = as_user.patch(URL, json={field: None})

    assert_error(response, 403, "FIELDS_NOT_PERMITTED", field)


def test_update_me_refuses_the_password_kept_by_another_name(as_user: TestClient) -> None:
    response = as_user.patch(URL, json={"hashed_password": "$argon2id$"})

    assert_error(response, 422, "INVALID_REQUEST", "hashed_password")


def test_update_me_with_another_id_changes_oneself_only(
    as_user: TestClient, as_admin: TestClient, admin: User, user: User
) -> None:
    response = as_user.patch(URL, json={"id": admin.id, "full_name": "Ann Lee"})

    assert response.json()["id"] == user.id
    assert as_admin.get(URL).json()["full_name"] is None


@pytest.mark.parametrize(
    ("values", "code", "field"),
    [
        ({"username": "TAKEN"}, "USERNAME_TAKEN", "username"),
        ({"email": "Taken@example.com", "current_password": PASSWORD}, "EMAIL_TAKEN", "email"),
    ],
)
def test_update_me_refuses_what_another_has_taken(
    as_ann: TestClient, db: Session, values: dict[str, str], code: str, field: str
) -> None:
    make_user(db, email="taken@example.com", username="taken")

    response = as_ann.patch(URL, json={"full_name": "Ann Lee"} | values)

    assert_error(response, 409, code, field)
    assert as_ann.get(URL).json()["full_name"] is None


@BOTH_PATHS
@BOTH_VERBS
def test_update_me_changes_the_e_mail_with_the_password_and_unverifies(
    as_ann: TestClient, ann: User, path: str, verb: str
) -> None:
    values = {"email": "Margaret@example.com", "current_password": PASSWORD}

    response = as_ann.request(verb, own_url(path, ann), json=values)

    record = response.json()
    assert response.status_code == 200
    assert (record["email"], record["is_verified"]) == ("margaret@example.com", False)
    assert_error(as_ann.get("/api/v1/items/"), 403, "NOT_VERIFIED")


def test_update_me_with_the_whole_record_and_a_new_e_mail_unverifies(as_ann: TestClient) -> None:
    record = as_ann.get(URL).json()
    changed = record | {"email": "margaret@example.com", "current_password": PASSWORD}

    response = as_ann.put(URL, json=changed)

    assert response.status_code == 200
    assert response.json()["is_verified"] is False


@BOTH_PATHS
@pytest.mark.parametrize("given", [{}, {"current_password": "curtains-on-friday"}])
def test_update_me_refuses_a_new_e_mail_without_the_password(
    as_ann: TestClient, ann: User, path: str, given: dict[str, str]
) -> None:
    before = as_ann.get(URL).json()
    values = {"email": "margaret@example.com", "full_name": "Margaret"}

    response = as_ann.patch(own_url(path, ann), json=values | given)

    assert_error(response, 403, "CURRENT_PASSWORD_WRONG", "current_password")
    assert as_ann.get(URL).json() == before


@pytest.mark.parametrize("role", [Role.ADMIN, Role.MANAGER])
def test_update_me_needs_the_password_for_an_e_mail_whatever_the_role(
    client_of: Callable[[User], TestClient], db: Session, role: Role
) -> None:
    user = make_user(db, role=role, department="Sales")

    response = client_of(user).patch(
        own_url("{id}", user), json={"email": "new@example.com", "current_password": ""}
    )

    assert_error(response, 403, "CURRENT_PASSWORD_WRONG", "current_password")


def test_update_me_takes_the_same_e_mail_in_another_case_without_password(
    as_user: TestClient, user: User
) -> None:
    response = as_user.patch(URL, json={"email": user.email.upper()})

    assert response.status_code == 200
    assert response.json()["is_verified"] is True


def test_update_me_asks_for_no_password_otherwise(as_ann: TestClient) -> None:
    response = as_ann.patch(URL, json={"full_name": "Ann", "current_password": "mistyped"})

    assert response.status_code == 200


def test_update_me_lets_the_new_e_mail_sign_in_and_the_old_one_not(
    as_ann: TestClient, anonymous: TestClient
) -> None:
    as_ann.patch(URL, json={"email": "margaret@example.com", "current_password": PASSWORD})

    statuses = [
        anonymous.post(
            "/api/v1/auth/login", data={"username": name, "password": PASSWORD}
        ).status_code
        for name in ("margaret@example.com", "ann@example.com")
    ]
    assert statuses == [200, 401]


@BOTH_PATHS
def test_update_me_tells_the_old_address_and_has_the_new_one_verified(
    as_ann: TestClient, anonymous: TestClient, ann: User, db: Session, path: str
) -> None:
    new = "margaret@example.com"
    as_ann.patch(own_url(path, ann), json={"email": new, "current_password": PASSWORD})

    response = anonymous.post("/api/v1/auth/email/verify/confirm", json={"token": last_token(db)})

    assert letters(db) == [("email_changed", "ann@example.com"), ("verify_email", new)]
    assert response.status_code == 200
    assert as_ann.get(URL).json()["is_verified"] is True


def test_update_me_refused_a_new_e_mail_writes_no_letter(as_ann: TestClient, db: Session) -> None:
    make_user(db, email="taken@example.com")

    as_ann.patch(URL, json={"email": "margaret@example.com", "current_password": "mistyped"})
    as_ann.patch(URL, json={"email": "taken@example.com", "current_password": PASSWORD})

    assert letters(db) == []


@pytest.mark.parametrize("and_back", [False, True])
def test_update_me_with_a_new_e_mail_ends_the_links_sent_to_the_old_one(
    as_ann: TestClient, anonymous: TestClient, ann: User, db: Session, and_back: bool
) -> None:
    anonymous.post("/api/v1/auth/password/forgot", json={"email": ann.email})
    token = last_token(db)
    as_ann.patch(URL, json={"email": "margaret@example.com", "current_password": PASSWORD})
    if and_back:
        as_ann.patch(URL, json={"email": "ann@example.com", "current_password": PASSWORD})

    body = {"token": token, "password": "curtains-on-friday"}
    response = anonymous.post("/api/v1/auth/password/reset", json=body)

    assert_error(response, 400, "SPENT_TOKEN", "token")


def test_update_me_verifies_no_address_by_a_link_sent_to_another(
    as_ann: TestClient, anonymous: TestClient, db: Session
) -> None:
    as_ann.patch(URL, json={"email": "first@example.com", "current_password": PASSWORD})
    first = last_token(db)
    as_ann.patch(URL, json={"email": "second@example.com", "current_password": PASSWORD})

    response = anonymous.post("/api/v1/auth/email/verify/confirm", json={"token": first})

    assert_error(response, 400, "SPENT_TOKEN", "token")
    assert as_ann.get(URL).json()["is_verified"] is False


def test_update_me_takes_no_password_for_a_new_e_mail_that_was_changed_while_it_was_checked(
    as_ann: TestClient, ann: User, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = low_level.verify_secret

    def verify_and_change(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        db.execute(update(User).where(User.id == ann.id).values(hashed_password="another"))
        return result

    monkeypatch.setattr(low_level, "verify_secret", verify_and_change)

    response = as_ann.patch(
        URL, json={"email": "mallory@example.com", "current_password": PASSWORD}
    )

    assert_error(response, 403, "CURRENT_PASSWORD_WRONG", "current_password")
    assert as_ann.get(URL).json()["email"] == "ann@example.com"


def test_update_user_who_has_no_password_yet_invites_them_at_the_new_address(
    as_admin: TestClient, anonymous: TestClient, db: Session
) -> None:
    created = as_admin.post("/api/v1/users/", json={"email": "mistpyed@example.com"}).json()
    old = last_token(db)

    as_admin.patch(f"/api/v1/users/{created['id']}", json={"email": "mistyped@example.com"})

    assert letters(db)[1:] == [("invitation", "mistyped@example.com")]
    new = {"token": last_token(db), "password": PASSWORD}
    reset = "/api/v1/auth/password/reset"
    assert_error(anonymous.post(reset, json=new | {"token": old}), 400, "SPENT_TOKEN", "token")
    assert anonymous.post(reset, json=new).status_code == 200


@pytest.mark.parametrize("is_verified", [True, False])
def test_update_user_by_an_admin_with_a_new_e_mail_tells_the_old_address(
    as_admin: TestClient, db: Session, is_verified: bool
) -> None:
    user = make_user(db, email="ann@example.com", password=PASSWORD, is_verified=is_verified)
    new = "margaret@example.com"

    response = as_admin.patch(own_url("{id}", user), json={"email": new})

    to_verify = [] if is_verified else [("verify_email", new)]
    assert response.json()["is_verified"] is is_verified
    assert letters(db) == [("email_changed", "ann@example.com"), *to_verify]


@pytest.mark.parametrize("role", [Role.MANAGER, Role.AUDITOR, Role.USER])
def test_delete_me_ends_the_account_whatever_the_role(
    client_of: Callable[[User], TestClient], db: Session, role: Role
) -> None:
    client = client_of(make_user(db, role=role))

    response = client.delete(URL)

    assert (response.status_code, response.content) == (204, b"")
    assert_error(client.get(URL), 401, "INVALID_TOKEN")


def test_delete_me_gives_the_record_back_when_asked(as_user: TestClient, user: User) -> None:
    response = as_user.delete(URL, headers={"Prefer": "return=representation"})

    assert response.status_code == 200
    assert response.json()["id"] == user.id


def test_me_unverified_reads_and_changes_the_profile(
    client_of: Callable[[User], TestClient], db: Session
) -> None:
    client = client_of(make_user(db, is_verified=False))

    responses = [
        client.get(URL),
        client.get(f"{URL}/permissions"),
        client.patch(URL, json={"full_name": "Ann Lee"}),
    ]

    assert [response.status_code for response in responses] == [200, 200, 200]


@pytest.mark.parametrize("role", [Role.ADMIN, Role.USER])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "items/"),
        ("POST", "items/"),
        ("GET", "items/{item}"),
        ("PATCH", "items/{item}"),
        ("PUT", "items/{item}"),
        ("DELETE", "items/{item}"),
        ("GET", "users/{user}/items"),
    ],
)
def test_me_unverified_has_no_items(
    client_of: Callable[[User], TestClient], db: Session, role: Role, method: str, path: str
) -> None:
    user = make_user(db, role=role, is_verified=False)
    url = "/api/v1/" + path.format(item=make_item(db, owner=user).id, user=user.id)

    response = client_of(user).request(method, url, json={"title": "Lamp"})

    assert_error(response, 403, "NOT_VERIFIED")


@pytest.mark.parametrize(
    ("role", "held", "lacked"),
    [
        (Role.ADMIN, {"users:read", "users:write", "items:write", "items:write-others"}, set()),
        (Role.MANAGER, {"users:read", "users:write", "items:write", "items:write-others"}, set()),
        (Role.AUDITOR, {"users:read", "items:read"}, {"users:write", "items:write"}),
        (Role.USER, {"items:read", "items:write"}, {"users:read", "users:write"}),
    ],
)
def test_get_my_permissions_tells_what_the_role_may(
    client_of: Callable[[User], TestClient],
    db: Session,
    role: Role,
    held: set[str],
    lacked: set[str],
) -> None:
    response = client_of(make_user(db, role=role)).get(f"{URL}/permissions")

    permissions = set(response.json()["permissions"])
    assert response.status_code == 200
    assert response.json()["role"] == role
    assert permissions >= held
    assert permissions.isdisjoint(lacked)


def test_get_my_permissions_leaves_out_what_needs_a_verified_address(
    client_of: Callable[[User], TestClient], db: Session
) -> None:
    unverified = make_user(db, role=Role.ADMIN, is_verified=False)

    permissions = client_of(unverified).get(f"{URL}/permissions").json()["permissions"]

    assert "users:write" in permissions
    assert not [one for one in permissions if one.startswith("items:")]
