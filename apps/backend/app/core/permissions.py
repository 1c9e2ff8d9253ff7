"""Who may do what: roles are sets of permissions, and what is not listed is denied.

A permission says which action a role may ever take; the scope says on whose rows. The
rows themselves are chosen beside each resource's queries (`crud/`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Permission(StrEnum):
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    ITEMS_READ = "items:read"
    ITEMS_WRITE = "items:write"
    ITEMS_WRITE_OTHERS = "items:write-others"
    SESSIONS_MANAGE = "sessions:manage"
    AUDIT_READ = "audit:read"
    LETTERS_MANAGE = "letters:manage"
    JOBS_RUN = "jobs:run"


class Role(StrEnum):
    ADMIN = "admin"
    MANAGER = "manager"
    AUDITOR = "auditor"
    USER = "user"


class Scope(StrEnum):
    ALL = "all"
    DEPARTMENT = "department"
    OWN = "own"


ROLE_PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.ADMIN: frozenset(Permission),
    Role.MANAGER: frozenset(
        {
            Permission.USERS_READ,
            Permission.USERS_WRITE,
            Permission.ITEMS_READ,
            Permission.ITEMS_WRITE,
            Permission.ITEMS_WRITE_OTHERS,
        }
    ),
    Role.AUDITOR: frozenset({Permission.USERS_READ, Permission.ITEMS_READ, Permission.AUDIT_READ}),
    Role.USER: frozenset({Permission.ITEMS_READ, Permission.ITEMS_WRITE}),
}

ROLE_SCOPES: Final[Mapping[Role, Scope]] = {
    Role.ADMIN: Scope.ALL,
    Role.MANAGER: Scope.DEPARTMENT,
    Role.AUDITOR: Scope.ALL,
    Role.USER: Scope.OWN,
}

# What an account may do only after its e-mail address has been verified.
VERIFIED_ONLY: Final = frozenset(
    {Permission.ITEMS_READ, Permission.ITEMS_WRITE, Permission.ITEMS_WRITE_OTHERS}
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking. `profile` is the public record that was read to find out."""

    id: int
    session_id: int
    role: Role
    department: str | None
    is_verified: bool
    must_change_password: bool
    profile: Mapping[str, Any]

    @property
    def scope(self) -> Scope:
        """A manager without a department sees only themself."""
        scope = ROLE_SCOPES[self.role]
        return Scope.OWN if scope is Scope.DEPARTMENT and self.department is None else scope

    @property
    def permissions(self) -> frozenset[Permission]:
        """What may be done now: nothing while the password is to be changed, and less than the
        role's until the e-mail address is verified.
        """
        if self.must_change_password:
            return frozenset()
        permissions = ROLE_PERMISSIONS[self.role]
        return permissions if self.is_verified else permissions - VERIFIED_ONLY

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions
