from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from app.schemas.base import InputSchema, Schema
from app.schemas.user import Email, FullName, GivenPassword, NewPassword, Username

# Longer than any of ours, so that a token of another kind is refused as what it is.
SecretText = Annotated[str, Field(min_length=1, max_length=2000)]


class LoginForm(InputSchema):
    """The OAuth 2 password form (RFC 6749, section 4.3.2)."""

    grant_type: Literal["password"] = "password"
    username: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=254),
        Field(description="E-mail or user name."),
    ]
    password: GivenPassword
    scope: Annotated[str, Field(max_length=200)] = ""
    client_id: Annotated[str, Field(max_length=200)] = ""
    client_secret: Annotated[str, Field(max_length=200)] = ""


class RefreshForm(InputSchema):
    refresh_token: SecretText


class Registration(InputSchema):
    email: Email
    password: NewPassword
    username: Username | None = Field(
        None, description="Made from the e-mail when left out; a taken one gets a suffix."
    )
    full_name: FullName | None = None


class EmailForm(InputSchema):
    email: Email


class TokenForm(InputSchema):
    token: SecretText


class PasswordReset(InputSchema):
    token: SecretText
    password: NewPassword


class PasswordChange(InputSchema):
    current_password: GivenPassword
    new_password: NewPassword


class TokenPublic(Schema):
    """The tokens of a session."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  The kind of token, not a secret.
    expires_in: int = Field(description="Seconds that the access token lasts.")


class CookiesPublic(Schema):
    """The tokens are in cookies that scripts cannot read."""

    csrf_token: str = Field(description="To send as `X-CSRF-Token`; also in a cookie.")
    token_type: Literal["cookie"] = "cookie"  # noqa: S105  Not a secret either.
    expires_in: int = Field(description="Seconds that the access token lasts.")


SignedIn = Annotated[TokenPublic | CookiesPublic, Field(discriminator="token_type")]


class SessionPublic(Schema):
    id: int
    device: str = Field(description="The client's `User-Agent`.")
    address: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    is_current: bool = Field(description="Whether it is the one that asks.")


class Message(Schema):
    message: str
