from typing import Annotated, Literal

from pydantic import Field

from app.schemas.base import InputSchema, Schema
from app.schemas.user import GivenPassword


class LoginForm(InputSchema):
    """The OAuth 2 password form (RFC 6749, section 4.3.2)."""

    grant_type: Literal["password"] = "password"
    username: Annotated[
        str, Field(min_length=1, max_length=254, description="E-mail or user name.")
    ]
    password: Annotated[GivenPassword, Field(min_length=1)]
    scope: Annotated[str, Field(max_length=200)] = ""
    client_id: Annotated[str, Field(max_length=200)] = ""
    client_secret: Annotated[str, Field(max_length=200)] = ""


class TokenPublic(Schema):
    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  The kind of token, not a secret.
    expires_in: int = Field(description="Seconds.")
