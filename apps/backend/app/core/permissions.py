"""Who may do what: roles are sets of permissions, and what is not listed is denied.

A permission says which action a role may ever take; the scope says on whose rows. The
rows themselves are chosen beside each resource's queries (`crud/`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from app.core.text import text_key


class Permission(StrEnum):
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    USERS_PURGE = "users:purge"
    USERS_EXPORT = "users:export"
    ITEMS_READ = "items:read"
    ITEMS_WRITE = "items:write"
    ITEMS_WRITE_OTHERS = "items:write-others"
    ITEMS_PURGE = "items:purge"
    ITEMS_EXPORT = "items:export"
    USAGE_READ = "usage:read"
    USAGE_WRITE = "usage:write"
    USAGE_WRITE_OTHERS = "usage:write-others"
    USAGE_EXPORT = "usage:export"
    STATISTICS_READ = "statistics:read"
    SESSIONS_MANAGE = "sessions:manage"
    AUDIT_READ = "audit:read"
    AUDIT_EXPORT = "audit:export"
    AUDIT_REVERT = "audit:revert"
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


# Everybody may export what they may list.
_OF_THEIR_OWN: Final = frozenset(
    {
        Permission.ITEMS_READ,
        Permission.ITEMS_WRITE,
        Permission.ITEMS_EXPORT,
        Permission.USAGE_READ,
        Permission.USAGE_WRITE,
        Permission.USAGE_EXPORT,
        Permission.STATISTICS_READ,
    }
)
_OF_OTHERS: Final = frozenset(
    {
        Permission.USERS_READ,
        Permission.USERS_WRITE,
        Permission.USERS_EXPORT,
        Permission.ITEMS_WRITE_OTHERS,
        Permission.USAGE_WRITE_OTHERS,
    }
)

ROLE_PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.ADMIN: frozenset(Permission),
    Role.MANAGER: _OF_THEIR_OWN | _OF_OTHERS,
    Role.AUDITOR: frozenset(
        {
            Permission.USERS_READ,
            Permission.USERS_EXPORT,
            Permission.ITEMS_READ,
            Permission.ITEMS_EXPORT,
            Permission.USAGE_READ,
            Permission.USAGE_EXPORT,
            Permission.STATISTICS_READ,
            Permission.AUDIT_READ,
            Permission.AUDIT_EXPORT,
        }
    ),
    Role.USER: _OF_THEIR_OWN,
}

ROLE_SCOPES: Final[Mapping[Role, Scope]] = {
    Role.ADMIN: Scope.ALL,
    Role.MANAGER: Scope.DEPARTMENT,
    Role.AUDITOR: Scope.ALL,
    Role.USER: Scope.OWN,
}

# What an account may do only after its e-mail address has been verified.
VERIFIED_ONLY: Final = frozenset(
    permission
    for permission in Permission
    if permission.partition(":")[0] in {"items", "usage", "statistics"}
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
    def department_key(self) -> str:
        """However it is spelled; empty for who is in none."""
        return text_key(self.department) if self.department else ""

    @property
    def scope(self) -> Scope:
        """A manager without a department sees only themself."""
        scope = ROLE_SCOPES[self.role]
        return Scope.OWN if scope is Scope.DEPARTMENT and not self.department_key else scope

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
