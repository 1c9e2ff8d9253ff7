import re
from collections.abc import Callable
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal

import email_validator
from pydantic import AfterValidator, Field, StringConstraints, WrapValidator
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from app.core.permissions import Permission, Role
from app.core.text import LINE, fold, normalise, trim
from app.schemas.base import (
    CELL,
    COMPARED,
    DIGITS,
    EMPTY_IS_NULL,
    MAX_BULK,
    MAX_SAFE_INTEGER,
    TRIMMED,
    ImportSchema,
    InputSchema,
    ReadOnly,
    Schema,
    SeenVersion,
    UpdateSchema,
    text_as,
)

# Internal networks use addresses such as ann@corp.local, which no public network may.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

PASSWORD_MIN_LENGTH: Final = 8
PASSWORD_MAX_LENGTH: Final = 128
MOST_TYPED: Final = 4 * PASSWORD_MAX_LENGTH  # NFKC joins at most 4 characters (accents) to one.
MAX_PASSWORDS: Final = 50  # In one request.
USERNAME: Final = r"^([A-Za-z0-9._-]{3,50})?$"
# Addresses that are right at a glance; the rest is looked at with care, which takes 30 times as
# long. No label of the domain is longer than 63, and none begins as an international one.
_PLAIN_EMAIL: Final = re.compile(
    r"(?=[^@]{1,64}@[^@]{1,63}$)"
    r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@([A-Za-z0-9]+(-[A-Za-z0-9]+)*\.)+[A-Za-z]{2,}"
)


def normalise_email(value: str) -> str:
    """Return the address in lower case, an international domain in its ASCII form (IDNA)."""
    if _PLAIN_EMAIL.fullmatch(value):
        return value.lower()
    try:
        address = email_validator.validate_email(
            trim(normalise(value)), check_deliverability=False, allow_smtputf8=False
        )
    except email_validator.EmailNotValidError:
        raise PydanticCustomError("email", "This is not a valid e-mail address.") from None
    return str(address.ascii_email).lower()


def normalise_username(value: str) -> str:
    return trim(normalise(value)).lower()


def _count_joined(value: Any, read: Callable[[Any], Any]) -> Any:
    """Count characters as they were typed or as NFKC joins them, whichever are fewer."""
    is_countable = isinstance(value, str) and len(value) <= MOST_TYPED
    read(min(value, normalise(value), key=len) if is_countable else value)
    return value


def email_as_stored(text: str) -> str:
    """Write an address, or the end of one, as the stored ones are: also `@münchen.example`."""
    name, at, domain = text.strip().rpartition("@")
    try:
        return name.lower() + at + normalise_email(f"x@{domain}").removeprefix("x@")
    except PydanticCustomError:
        return text.strip().lower()


Email = Annotated[
    str,
    StringConstraints(max_length=254),
    AfterValidator(normalise_email),
    Field(json_schema_extra={"format": "email"}, examples=["ann@example.com"]),
    TRIMMED,
]
Username = Annotated[
    str,
    StringConstraints(max_length=50, pattern=USERNAME),
    Field(examples=["ann"]),
    EMPTY_IS_NULL,
    text_as(normalise_username),
]
_Line = Annotated[str, Field(max_length=100, pattern=LINE), COMPARED, EMPTY_IS_NULL, TRIMMED]
FullName = Annotated[_Line, Field(examples=["Ann Lee"])]
Department = Annotated[_Line, Field(examples=["Sales"])]
DepartmentName = TypeAliasType("DepartmentName", str)  # So that OpenAPI names it.
RoleName = Annotated[Role, Field(strict=False)]
TokenQuota = Annotated[int, Field(ge=0, le=MAX_SAFE_INTEGER, examples=[100_000])]
NewPassword = Annotated[
    str,
    Field(
        min_length=PASSWORD_MIN_LENGTH,
        max_length=PASSWORD_MAX_LENGTH,
        description="Refused when common, or equal to the e-mail, its local part or the user name.",
        examples=["correct horse battery staple"],
    ),
    WrapValidator(_count_joined),
]
OptionalPassword = Annotated[NewPassword, Field(json_schema_extra={"minLength": 0}), EMPTY_IS_NULL]
GivenPassword = Annotated[str, Field(max_length=PASSWORD_MAX_LENGTH), WrapValidator(_count_joined)]


class UserCreate(InputSchema):
    email: Email
    username: Username | None = Field(None, description="Made from the e-mail when left out.")
    full_name: FullName | None = None
    department: Department | None = None
    role: RoleName = Role.USER
    password: OptionalPassword | None = Field(
        None, description="Without one the user is invited by letter to set it."
    )
    must_change_password: bool = Field(
        False, description="Whether the user must choose another password at the next sign-in."
    )
    is_active: bool = True
    is_verified: bool = True
    token_quota: TokenQuota | None = Field(
        None, description="Monthly; null is unlimited. Left out, the server's default applies."
    )


def _refuse_many_passwords(users: list[UserCreate]) -> list[UserCreate]:
    """To hash so many takes a processor some seconds."""
    if sum(user.password is not None for user in users) > MAX_PASSWORDS:
        raise PydanticCustomError(
            "too_many_passwords",
            "At most {count} of the users may bring a password. Leave it out of the others: "
            "they are invited by letter to set one.",
            {"count": MAX_PASSWORDS},
        )
    return users


class UserBulkCreate(InputSchema):
    items: Annotated[
        list[UserCreate],
        Field(min_length=1, max_length=MAX_BULK),
        AfterValidator(_refuse_many_passwords),
    ]


class UserBulkChanges(UpdateSchema):
    """What many may get at once: neither what is unique to each, nor a password."""

    nullable = frozenset({"full_name", "department", "token_quota"})

    full_name: FullName | None = None
    department: Department | None = None
    role: RoleName | None = None
    must_change_password: bool | None = None
    is_active: bool | None = None
    is_verified: bool | None = None
    token_quota: Annotated[TokenQuota, EMPTY_IS_NULL] | None = None


class UserUpdate(UserBulkChanges):
    nullable = UserBulkChanges.nullable | {"password", "current_password"}

    email: Email | None = None
    username: Username | None = None
    password: OptionalPassword | None = Field(None, description="Null or empty is no change.")
    current_password: Annotated[GivenPassword, EMPTY_IS_NULL] | None = Field(
        None, exclude=True, description="Needed to change one's own e-mail."
    )

    id: ReadOnly = None
    created_at: ReadOnly = None
    updated_at: ReadOnly = None
    last_login_at: ReadOnly = None
    version: SeenVersion = None


class UserImport(ImportSchema):
    """A row of an import. Its column `token_quota`, where there is one, is null for unlimited."""

    nullable = frozenset({"username", "full_name", "department", "token_quota"})
    required: ClassVar[frozenset[str]] = frozenset({"email"})
    key = "email"

    email: Email | None = None
    username: Username | None = None
    full_name: FullName | None = None
    department: Department | None = None
    role: Annotated[RoleName, CELL] = Role.USER
    is_active: Annotated[bool, CELL] = True
    is_verified: Annotated[bool, CELL] = True
    token_quota: Annotated[TokenQuota, DIGITS, CELL] | None = None

    def creation(self) -> UserCreate:
        return UserCreate.model_construct(
            self.model_fields_set, password=None, must_change_password=False, **self.__dict__
        )

    def changes(self) -> dict[str, Any]:
        """Return what is given of an existing user. An empty user name is none given."""
        exclude = {"username"} if self.username is None else set()
        return self.model_dump(exclude_unset=True, exclude=exclude)


class UserPublic(Schema):
    indexed = frozenset(
        {
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
        }
    )
    stored_as = MappingProxyType({"email": email_as_stored, "username": fold})

    id: int
    email: str = Field(examples=["ada@example.com"])
    username: str = Field(examples=["ada"])
    full_name: str | None = Field(examples=["Ada Lovelace"])
    department: str | None = Field(examples=["Research"])
    role: Role
    is_active: bool
    is_verified: bool
    token_quota: int | None
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None
    version: int


# One more is told as `100+`: what hangs on a user may be millions of rows.
MOST_COUNTED: Final = 100
Count = int | Literal["100+"]


class UserImpact(Schema):
    """What hangs on a user: numbers up to 100, and `100+` beyond."""

    items: Count
    items_in_trash: Count
    usage_entries: Count = Field(description="Of all time.")
    sessions: Count = Field(description="Devices on which they are signed in.")
    letters_waiting: Count = Field(description="To their present address.")


class UserPermissions(Schema):
    """What the signed-in user may do, for a panel to show or hide things by."""

    role: Role
    permissions: list[Permission]
    must_change_password: bool = Field(description="Then nothing else is permitted before.")
