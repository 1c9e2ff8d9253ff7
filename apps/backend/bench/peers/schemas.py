"""What comes in and goes out, for the peers that speak Pydantic."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["draft", "active", "archived"]


class UserPublic(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    email: str
    username: str
    full_name: str | None
    department: str | None
    role: str
    is_active: bool
    is_verified: bool
    token_quota: int | None
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None
    version: int


class ItemPublic(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    description: str | None
    status: str
    owner_id: int
    created_at: datetime
    updated_at: datetime
    version: int


class ItemCreate(BaseModel):
    title: str = Field(min_length=1, max_length=200)
    description: str | None = Field(None, max_length=20_000)
    status: Status = "draft"


class ItemUpdate(BaseModel):
    title: str = Field("", min_length=1, max_length=200)
    description: str | None = Field(None, max_length=20_000)
    status: Status = "draft"


class Tokens(BaseModel):
    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int
