"""What the database holds to be asked for, and by whom."""

from datetime import timedelta
from typing import Any, Final

import time_machine
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app.api.cookies import csrf_token
from app.core.clock import utc_now
from app.core.permissions import Role
from app.core.security import create_access_token
from app.crud.one_time_token import token_text
from app.models import User
from app.models.one_time_token import TokenPurpose
from app.schemas.letter import LetterStatus
from tests.alike.snapshot import Snapshot
from tests.browser import PASSWORD, cookie_header
from tests.factories import (
    Login,
    make_item,
    make_letter,
    make_login,
    make_login_event,
    make_one_time_token,
    make_session,
    make_usage,
    make_user,
)
from tests.logins import bearer

NOW: Final = "2030-01-01T00:10:30Z"


class Stage:
    """Set up once, with the clock at `NOW` and an empty database."""

    def __init__(self, app: FastAPI, engine: Engine) -> None:
        with Session(engine, expire_on_commit=False) as db:
            self._make_people(db)
            self._make_records(db)
        self.request_id = self._change_something(TestClient(app))
        self.snapshot = Snapshot(engine)

    def _make_people(self, db: Session) -> None:
        self.admin = make_user(
            db, email="admin@example.com", role=Role.ADMIN, password=PASSWORD, token_quota=None
        )
        self.user = make_user(db, email="user@example.com", department="Sales", password=PASSWORD)
        self.stranger = make_user(db, email="stranger@example.com", is_verified=False)
        newcomer = make_user(db, email="newcomer@example.com", must_change_password=True)
        make_user(db, email="boss@example.com", role=Role.ADMIN)  # The last one may not leave.
        self.gone = make_user(db, email="gone@example.com", deleted_at=utc_now())
        self.login = make_login(db, user=self.admin)
        ended = make_login(db, user=self.admin, ended_at=utc_now())
        self.other_session_id = make_session(db, user=self.admin).id
        self.admin_headers = tuple(bearer(self.login).items())
        headers = {
            "a user": bearer(make_login(db, user=self.user)),
            "one who is not verified": bearer(make_login(db, user=self.stranger)),
            "one who must change the password": bearer(make_login(db, user=newcomer)),
            "nobody": {},
            "a session that has ended": bearer(ended),
            "an expired token": _bearer_of_yesterday(self.admin, self.login),
            "a garbled token": {"Authorization": f"Bearer {self.login.access_token[:-9]}"},
            "a token that is none": {"Authorization": "Bearer x"},
            "an empty token": {"Authorization": "Bearer "},
            "another scheme": {"Authorization": "Basic YWRtaW46YWRtaW4="},
            "the scheme in capitals": {"Authorization": f"BEARER {self.login.access_token}"},
            **self._cookies(),
        }
        self.headers = {name: tuple(one.items()) for name, one in headers.items()}

    def _cookies(self) -> dict[str, dict[str, str]]:
        csrf = csrf_token(self.login.session_id)
        cookies = {
            "access_token": self.login.access_token,
            "refresh_token": self.login.refresh_token,
            "csrf_token": csrf,
        }
        from_page = {**cookie_header(cookies), "X-CSRF-Token": csrf}
        return {
            "cookies": from_page,
            "cookies alone": cookie_header(cookies),
            "cookies from a foreign page": {**from_page, "Origin": "https://foreign.example.com"},
        }

    def _make_records(self, db: Session) -> None:
        self.item = make_item(db, owner=self.user)
        self.gone_item = make_item(db, owner=self.user, title="Gone", deleted_at=utc_now())
        self.usage_id = make_usage(db, user=self.user).id
        self.audit_event_id = make_login_event(db, user=self.user, at=utc_now()).id
        self.letter_id = make_letter(db, status=LetterStatus.DEAD, last_error="No such user").id
        self.reset_token = _link(db, self.user, TokenPurpose.RESET_PASSWORD)
        self.verify_token = _link(db, self.stranger, TokenPurpose.VERIFY_EMAIL)

    def _change_something(self, client: TestClient) -> str:
        """Return the id of a request that can be taken back."""
        path = f"/api/v1/items/{self.item.id}"
        headers = dict(self.admin_headers)
        response = client.patch(path, json={"description": "Brass"}, headers=headers)
        assert response.status_code == 200, response.text
        return str(response.headers["x-request-id"])

    def known(self, path: str) -> dict[str, Any]:
        """Name the values that a schema cannot know, of parameters and fields of a path."""
        is_restore = path.endswith("/restore")
        item = self.gone_item if is_restore else self.item
        user = self.gone if is_restore else self.user
        return {
            "user_id": user.id,
            "owner_id": self.user.id,
            "item_id": item.id,
            "ids": [item.id if "/items/" in path else user.id],
            "event_id": self.usage_id,
            "audit_event_id": self.audit_event_id,
            "letter_id": self.letter_id,
            "session_id": self.other_session_id,
            "request_id": self.request_id,
            "name": "clean-up",
            "refresh_token": self.login.refresh_token,
            "current_password": PASSWORD,
            "EmailForm.email": self.stranger.email,
            "LoginForm.username": self.user.email,
            "LoginForm.password": PASSWORD,
            "ItemUpdate.version": None,  # It has changed before.
            "PasswordReset.token": self.reset_token,
            "TokenForm.token": self.verify_token,
            "Body_import_items.file": "title,status\nDesk lamp,active\n",
            "Body_import_users.file": "email,full_name\nann@example.com,Ann Lee\n",
        }


def _link(db: Session, user: User, purpose: TokenPurpose) -> str:
    return token_text(make_one_time_token(db, user=user, purpose=purpose))


def _bearer_of_yesterday(user: User, login: Login) -> dict[str, str]:
    with time_machine.travel(utc_now() - timedelta(days=1), tick=False):
        token = create_access_token(user_id=user.id, session_id=login.session_id)
    return {"Authorization": f"Bearer {token.text}"}
