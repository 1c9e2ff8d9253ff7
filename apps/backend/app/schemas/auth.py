from typing import Annotated, Literal

from pydantic import Field

from app.schemas.base import InputSchema, Schema
from app.schemas.user import GivenPassword


class LoginForm(InputSchema):
    """The OAuth 2 password form (RFC 6749, section 4.3.2)."""

    grant_type: Literal["password"] | None = None
    username: Annotated[str, Field(max_length=254, description="E-mail or user name.")]
    password: GivenPassword
    scope: Annotated[str, Field(max_length=200)] = ""
    client_id: Annotated[str, Field(max_length=200)] | None = None
    client_secret: Annotated[str, Field(max_length=200)] | None = None


class TokenPublic(Schema):
    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  The kind of token, not a secret.
    expires_in: int = Field(description="Seconds.")
