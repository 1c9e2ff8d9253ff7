"""What may be set on a user, by whom. Pure rules: no statement stands here."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from pydantic_core import PydanticCustomError

from app.core.config import get_settings
from app.core.errors import InvalidInputError, PermissionDeniedError
from app.core.permissions import Permission, Principal, Role, Scope
from app.core.security import is_common_password
from app.core.text import fold, text_key, visible
from app.models.user import User
from app.schemas.user import normalise_email

# Nobody sets these of their own account, whatever their role.
PRIVILEGED: Final = frozenset(
    {
        "role",
        "department",
        "is_active",
        "is_verified",
        "token_quota",
        "password",
        "must_change_password",
    }
)
# Who sees one department only grants no role, and moves nobody out.
BEYOND_DEPARTMENT: Final = frozenset({"role", "department"})


class PasswordTooEasyError(InvalidInputError):
    code = "PASSWORD_TOO_EASY"
    text = "This password is too easy to guess: {reason}."

    def __init__(self, *, reason: str, field: str) -> None:
        text = self.text.format(reason=reason)
        super().__init__(reason=reason, fields={field: text})


class FieldsNotPermittedError(PermissionDeniedError):
    code = "FIELDS_NOT_PERMITTED"
    text = "You may not set {names} here."

    def __init__(self, names: Iterable[str]) -> None:
        listed = sorted(names)
        fields = dict.fromkeys(listed, "You may not set this here.")
        super().__init__(names=", ".join(listed), fields=fields)


class NoDepartmentError(PermissionDeniedError):
    text = "You create users in your own department, and have none yet: an admin can set it."


def refuse_easy_password(
    password: str, *, email: str, username: str | None, field: str = "password"
) -> None:
    """Raises PasswordTooEasyError."""
    shown = fold(visible(password))
    if not shown:
        raise PasswordTooEasyError(reason="it holds nothing but blanks", field=field)
    with suppress(PydanticCustomError):  # It is no address.
        shown = normalise_email(shown)
    if shown in {email, email.partition("@")[0], username}:
        raise PasswordTooEasyError(reason="it is your e-mail or user name", field=field)
    if is_common_password(shown):
        raise PasswordTooEasyError(reason="it is among the most common ones", field=field)


def refuse_forbidden_creation(values: Mapping[str, Any], actor: Principal) -> None:
    """A manager creates plain users of their own department.

    Raises FieldsNotPermittedError, NoDepartmentError.
    """
    if actor.scope is Scope.ALL:
        return
    if actor.scope is Scope.OWN:
        raise NoDepartmentError
    refused = set()
    if values["role"] != Role.USER:
        refused.add("role")
    if values["department"] != actor.department:
        refused.add("department")
    if _exceeds(values.get("token_quota", 0), actor):
        refused.add("token_quota")
    if refused:
        raise FieldsNotPermittedError(refused)


def refuse_forbidden_changes(user: User, changes: Mapping[str, Any], actor: Principal) -> None:
    """Raises FieldsNotPermittedError, PermissionDeniedError."""
    if text_key(changes.get("department") or "") == text_key(user.department or ""):
        changes = {name: new for name, new in changes.items() if name != "department"}  # Respelled.
    if user.id == actor.id:
        refused = PRIVILEGED.intersection(changes)
    else:
        refuse_unwritable(user, actor)
        refused = frozenset() if actor.scope is Scope.ALL else _beyond_department(changes, actor)
    if refused:
        raise FieldsNotPermittedError(refused)


def _beyond_department(changes: Mapping[str, Any], actor: Principal) -> frozenset[str]:
    refused = BEYOND_DEPARTMENT.intersection(changes)
    if "token_quota" in changes and _exceeds(changes["token_quota"], actor):
        refused |= {"token_quota"}
    return refused


def _exceeds(quota: int | None, actor: Principal) -> bool:
    """Nobody grants more than they hold; None is unlimited."""
    held: int | None = actor.profile["token_quota"]
    return held is not None and (quota is None or quota > held)


def default_quota(actor: Principal | None) -> int | None:
    """The server's default, unless it is more than whoever creates the user may grant."""
    quota = get_settings().DEFAULT_TOKEN_QUOTA
    if actor is None or actor.scope is Scope.ALL or not _exceeds(quota, actor):
        return quota
    held: int | None = actor.profile["token_quota"]
    return held


def refuse_unwritable_other(user: User, actor: Principal) -> None:
    """Raises PermissionDeniedError, but never of one's own account."""
    if user.id != actor.id:
        refuse_unwritable(user, actor)


def refuse_unwritable(user: User, actor: Principal) -> None:
    """Below an admin, others' accounts are written only where their role is `user`.

    Raises PermissionDeniedError.
    """
    is_beyond = actor.scope is not Scope.ALL and user.role != Role.USER
    if is_beyond or not actor.may(Permission.USERS_WRITE):
        raise PermissionDeniedError
