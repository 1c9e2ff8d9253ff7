from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field

from app.schemas.base import Schema
from app.schemas.user import email_as_stored

_RecordAction = Literal["create", "update", "delete", "restore", "purge", "revert", "export"]
_SignInAction = Literal["login", "login_failed", "logout", "logout_all", "refresh_refused"]
_SessionAction = Literal["session_ended", "sessions_ended"]
_AccountAction = Literal["password_changed", "password_reset_requested", "registration_tried"]
_OtherAction = Literal["verification_requested", "letter_resent", "job_run"]
AuditAction = Literal[_RecordAction, _SignInAction, _SessionAction, _AccountAction, _OtherAction]


class AuditPublic(Schema):
    """Who did what to which record, when, from where, in which request. Secrets never."""

    indexed = frozenset({"id", "at"})
    stored_as = MappingProxyType({"actor_email": email_as_stored})

    id: int
    at: datetime
    actor_id: int | None
    actor_email: str | None = Field(examples=["ada@example.com"])
    action: str = Field(examples=["update"])
    resource_type: str = Field(examples=["item"])
    resource_id: int | None
    changes: dict[str, list[Any]] = Field(description="Of each field the value before and after.")
    request_id: str | None
    session_id: int | None
    ip: str | None


class Reverted(Schema):
    """A record as it was before the request, and what it took: deletion takes back creation."""

    resource_type: str
    resource_id: int
    action: str = Field(description="`update`, `delete` or `restore`.")
    fields: list[str] = Field(description="Which fields have their former values again.")


class Reversal(Schema):
    reverted: list[Reverted]


class RehearsedChange(Schema):
    id: int | None = Field(description="Null for a record that would be created.")
    resource_type: str
    action: str = Field(
        description="`create`, `update`, `delete`, `restore` or `purge`.", examples=["update"]
    )
    fields: dict[str, list[Any]] = Field(description="Of each field the value before and after.")


class DryRun(Schema):
    """What a request would have done. Nothing of it was."""

    dry_run: bool = True
    changes: list[RehearsedChange]
    errors: dict[str, str] = Field(default_factory=dict, description="Of an import, by row.")
