"""Nobody grants what they lack."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.models import User
from tests.assertions import assert_error
from tests.factories import make_user

USERS = "/api/v1/users/"

# What a manager holds, what they would grant, and whether they may; null is unlimited.
QUOTAS = [
    (1000, 1000, True),
    (1000, 0, True),
    (1000, 1001, False),
    (1000, None, False),
    (0, 1, False),
    (None, 2**53 - 1, True),
    (None, None, True),
]
GRANTS = pytest.mark.parametrize(("held", "granted", "may"), QUOTAS)


@pytest.fixture
def manager_with(
    client_of: Callable[[User], TestClient], db: Session
) -> Callable[[int | None], TestClient]:
    def manager_with(quota: int | None) -> TestClient:
        manager = make_user(db, role=Role.MANAGER, department="Sales", token_quota=quota)
        return client_of(manager)

    return manager_with


@GRANTS
def test_create_user_by_a_manager_grants_no_more_than_they_hold(
    manager_with: Callable[[int | None], TestClient],
    held: int | None,
    granted: int | None,
    may: bool,
) -> None:
    response = manager_with(held).post(
        USERS, json={"email": "new@example.com", "token_quota": granted}
    )

    if may:
        assert response.json()["token_quota"] == granted
    else:
        assert_error(response, 403, "FIELDS_NOT_PERMITTED", "token_quota")


@GRANTS
def test_update_user_by_a_manager_grants_no_more_than_they_hold(
    manager_with: Callable[[int | None], TestClient],
    db: Session,
    held: int | None,
    granted: int | None,
    may: bool,
) -> None:
    colleague = make_user(db, department="Sales", token_quota=7)

    response = manager_with(held).patch(
        f"{USERS}{colleague.id}", json={"token_quota": granted, "full_name": "Ann"}
    )

    db.refresh(colleague)
    if may:
        assert response.json()["token_quota"] == colleague.token_quota == granted
    else:
        assert_error(response, 403, "FIELDS_NOT_PERMITTED", "token_quota")
        assert (colleague.token_quota, colleague.full_name) == (7, None)


@pytest.mark.parametrize("quota", [1001, None])
@pytest.mark.parametrize("role", Role)
def test_update_me_raises_nobodys_own_quota(
    client_of: Callable[[User], TestClient], db: Session, role: Role, quota: int | None
) -> None:
    user = make_user(db, role=role, department="Sales")
    client = client_of(user)

    responses = [
        client.patch(url, json={"token_quota": quota})
        for url in (f"{USERS}me", f"{USERS}{user.id}")
    ]

    for response in responses:
        assert_error(response, 403, "FIELDS_NOT_PERMITTED", "token_quota")


@pytest.mark.parametrize("role", [Role.MANAGER, Role.AUDITOR, Role.ADMIN])
def test_update_user_by_a_manager_takes_over_no_account_of_another_role(
    manager_with: Callable[[int | None], TestClient], db: Session, role: Role
) -> None:
    """Whoever sets a password, or the address of the letter that does, holds the account."""
    other = make_user(db, role=role, department="Sales")
    client = manager_with(None)

    for change in ({"password": "curtains-on-friday"}, {"email": "mine@example.com"}):
        response = client.patch(f"{USERS}{other.id}", json=change)
        assert_error(response, 403, "PERMISSION_DENIED")
