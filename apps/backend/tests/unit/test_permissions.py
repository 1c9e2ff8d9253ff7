import pytest

from app.core.permissions import (
    ROLE_PERMISSIONS,
    ROLE_SCOPES,
    VERIFIED_ONLY,
    Permission,
    Principal,
    Role,
    Scope,
)


def principal(role: Role, *, department: str | None = None) -> Principal:
    return Principal(
        id=1,
        session_id=1,
        role=role,
        department=department,
        is_verified=True,
        must_change_password=False,
        profile={},
    )


OWN = {
    "items:read",
    "items:write",
    "items:export",
    "usage:read",
    "usage:write",
    "usage:export",
    "statistics:read",
}
OTHERS = {"users:read", "users:write", "users:export", "items:write-others", "usage:write-others"}


@pytest.mark.parametrize(
    ("role", "permissions"),
    [
        ("admin", {str(permission) for permission in Permission}),
        ("manager", OWN | OTHERS),
        (
            "auditor",
            {
                "users:read",
                "users:export",
                "items:read",
                "items:export",
                "usage:read",
                "usage:export",
                "statistics:read",
                "audit:read",
                "audit:export",
            },
        ),
        ("user", OWN),
    ],
)
def test_role_holds_these_permissions_and_no_others(role: str, permissions: set[str]) -> None:
    held = {permission for permission in Permission if principal(Role(role)).may(permission)}

    assert held == permissions


def test_every_role_has_permissions_and_a_scope() -> None:
    assert set(ROLE_PERMISSIONS) == set(ROLE_SCOPES) == set(Role)


def test_nobody_but_an_admin_writes_beyond_a_department() -> None:
    may_write = {
        role
        for role, held in ROLE_PERMISSIONS.items()
        if ROLE_SCOPES[role] is Scope.ALL and any("write" in permission for permission in held)
    }

    assert may_write == {Role.ADMIN}


def test_auditors_write_nothing() -> None:
    held = ROLE_PERMISSIONS[Role.AUDITOR]

    assert {
        permission for permission in held if not permission.endswith((":read", ":export"))
    } == set()


@pytest.mark.parametrize(
    ("role", "department", "scope"),
    [
        (Role.ADMIN, None, Scope.ALL),
        (Role.ADMIN, "Sales", Scope.ALL),
        (Role.AUDITOR, None, Scope.ALL),
        (Role.MANAGER, "Sales", Scope.DEPARTMENT),
        (Role.MANAGER, None, Scope.OWN),
        (Role.USER, None, Scope.OWN),
        (Role.USER, "Sales", Scope.OWN),
    ],
)
def test_scope_follows_from_role_and_department(
    role: Role, department: str | None, scope: Scope
) -> None:
    assert principal(role, department=department).scope is scope


def test_what_users_own_needs_a_verified_address_and_users_do_not() -> None:
    resources = {permission.partition(":")[0] for permission in VERIFIED_ONLY}

    assert resources == {"items", "usage", "statistics"}
    assert {one for one in Permission if one.partition(":")[0] in resources} == VERIFIED_ONLY
