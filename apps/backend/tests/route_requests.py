"""A request for every route, with what it sends."""

from typing import Any

from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.security import hash_secret
from app.models import RefreshToken, User
from tests.factories import make_item, make_letter, make_login_event, make_session, make_usage

PASSWORD = "wallpaper-on-tuesday"
REFRESH_TOKEN = "what-this-login-was-given"
FIELDS = {
    "items": {"title": "Shelf"},
    "usage": {"tokens": 30, "kind": "summary"},
    "users": {"full_name": "Ann Lee"},
}
CHANGED = {"current_password": PASSWORD, "new_password": "curtains-on-friday"}
NOBODY: dict[str, Any] = {"filter": {"id": []}}
# What a request sends, where it is not a field of the resource.
BODIES: dict[str, dict[str, Any]] = {
    "POST /api/v1/auth/login": {"data": {"username": "caller@example.com", "password": PASSWORD}},
    "POST /api/v1/auth/refresh": {"json": {"refresh_token": REFRESH_TOKEN}},
    "POST /api/v1/auth/register": {"json": {"email": "new@example.com", "password": PASSWORD}},
    "POST /api/v1/auth/email/verify": {"json": {"email": "caller@example.com"}},
    "POST /api/v1/auth/email/verify/confirm": {"json": {"token": "x"}},
    "POST /api/v1/auth/password/forgot": {"json": {"email": "caller@example.com"}},
    "POST /api/v1/auth/password/reset": {"json": {"token": "x", "password": PASSWORD}},
    "POST /api/v1/users/me/password": {"json": CHANGED},
    "PATCH /api/v1/users/bulk": {"json": NOBODY | {"changes": FIELDS["users"]}},
    "POST /api/v1/users/bulk/delete": {"json": NOBODY},
    "POST /api/v1/users/bulk/restore": {"json": NOBODY},
    "PATCH /api/v1/items/bulk": {"json": NOBODY | {"changes": FIELDS["items"]}},
    "POST /api/v1/items/bulk/delete": {"json": NOBODY},
    "POST /api/v1/items/bulk/restore": {"json": NOBODY},
    "POST /api/v1/users/": {"json": {"email": "new@example.com"}},
    "POST /api/v1/users/bulk": {"json": {"items": [{"email": "new@example.com"}]}},
    "POST /api/v1/items/bulk": {"json": {"items": [{"title": "Shelf"}]}},
    "POST /api/v1/users/import": {"files": {"file": ("x.csv", b"email\nnew@example.com\n")}},
    "POST /api/v1/items/import": {"files": {"file": ("x.csv", b"title\nShelf\n")}},
}


def fill_in(path: str, db: Session, owner: User) -> str:
    session = make_session(db, user=owner)
    token_hash = hash_secret(REFRESH_TOKEN)
    db.add(RefreshToken(session_id=session.id, token_hash=token_hash, created_at=utc_now()))
    db.commit()
    path = path.replace("=own", "").replace(":path", "")
    return path.format(
        user_id=owner.id,
        session_id=session.id,
        item_id=make_item(db, owner=owner).id,
        event_id=make_usage(db, user=owner).id,
        letter_id=make_letter(db).id,
        audit_event_id=make_login_event(db, user=owner, at=utc_now()).id,
        name="clean-up",
        page="nope",
        request_id="0" * 24,
    )


def body_of(method: str, path: str) -> dict[str, Any]:
    if method in {"GET", "DELETE"}:
        return {}
    return BODIES.get(f"{method} {path}") or {"json": FIELDS.get(path.split("/")[3])}
