from itertools import count
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.core.security import hash_password
from app.models import User

_numbers = count(1)


def make_user(
    db: Session, *, email: str | None = None, password: str | None = None, **values: Any
) -> User:
    """Make a verified, active user of role `user`, who cannot sign in without a password."""
    address = email or f"user{next(_numbers)}@example.com"
    defaults: dict[str, Any] = {
        "username": address.replace("@", ".")[:50],
        "role": Role.USER,
        "is_active": True,
        "is_verified": True,
        "token_quota": 1000,
        "hashed_password": hash_password(password) if password is not None else None,
    }
    user = User(email=address, **defaults | values)
    db.add(user)
    db.commit()
    db.refresh(user)
    return user


def make_users(db: Session, count: int, **values: Any) -> list[int]:
    """Make many at once, and return their ids."""
    defaults: dict[str, Any] = {
        "role": Role.USER,
        "is_active": True,
        "is_verified": True,
        "token_quota": 1000,
    }
    addresses = [f"user{next(_numbers)}@example.com" for _ in range(count)]
    rows = [
        {"email": one, "username": one.replace("@", "."), **defaults, **values} for one in addresses
    ]
    return list(db.scalars(insert(User).returning(User.id, sort_by_parameter_order=True), rows))
