"""The families of refusals. Leaves stand beside the rule that raises them.

`code` is for programs and never changes; `text` is for people. A leaf that blames one
field of the request names it in `field`.
"""

from collections.abc import Mapping, Sequence
from errno import EDQUOT, EFBIG, ENOSPC
from typing import Any, ClassVar


class DomainError(Exception):
    code: ClassVar[str]
    text: ClassVar[str]
    field: ClassVar[str | None] = None

    def __init__(self, *, fields: dict[str, str] | None = None, **values: Any) -> None:
        self.detail = self.text.format(**values)
        if fields is None:
            fields = {self.field: self.detail} if self.field else {}
        self.fields = fields
        super().__init__(self.detail)


class InvalidInputError(DomainError):
    """The request is well-formed, but a rule refuses a value."""

    code = "INVALID_REQUEST"
    text = "The request is not valid."


class SpentTokenError(DomainError):
    """A one-time token that was used, replaced or never given out, or whose time is up."""

    code = "SPENT_TOKEN"
    text = "This link has already been used or has expired. Ask for a new one."
    field = "token"


class NotAuthenticatedError(DomainError):
    code = "NOT_AUTHENTICATED"
    text = "Sign in to do this."


class PermissionDeniedError(DomainError):
    code = "PERMISSION_DENIED"
    text = "Your role does not permit this."


class NotFoundError(DomainError):
    code = "NOT_FOUND"
    text = "There is nothing here."


class ConflictError(DomainError):
    code = "CONFLICT"
    text = "This conflicts with what is stored."


class ChangedMeanwhileError(DomainError):
    """Somebody has changed the record since the client read it. `changes` tells of each field who
    did so last, and when.
    """

    code = "CHANGED_MEANWHILE"
    text = "{cause} Nothing was saved. Reload the record and make your change again."

    def __init__(self, changes: Sequence[Mapping[str, Any]] = ()) -> None:
        self.changes = changes
        people = dict.fromkeys(change["by"] or "the command line" for change in changes)
        fields = ", ".join(change["field"] for change in changes)
        cause = f"{' and '.join(people)} changed {fields} since you opened it."
        super().__init__(cause=cause if changes else "This is not the record's current version.")


class TooManyRequestsError(DomainError):
    code = "RATE_LIMITED"
    text = "Too many requests. Try again in {retry_after} s."

    def __init__(self, *, retry_after: int, **values: Any) -> None:
        self.retry_after = max(1, retry_after)
        super().__init__(retry_after=self.retry_after, **values)


class UnavailableError(DomainError):
    """A dependency is gone or busy; the same request may succeed later."""

    code = "UNAVAILABLE"
    text = "The service cannot answer right now. Try again in a moment."


class StorageFullError(UnavailableError):
    code = "STORAGE_FULL"
    text = "There is no room on the server's disk right now. Try again in a moment."


def is_full(error: Exception) -> bool:
    """Tell whether a disk, or a share of it, is full. Python then finds no place for files."""
    has_no_place = isinstance(error, FileNotFoundError) and "temporary directory" in str(error)
    return has_no_place or (isinstance(error, OSError) and error.errno in {ENOSPC, EDQUOT, EFBIG})
