"""A dump of the database opens nothing: of every secret handed out only a hash is kept."""

from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.crud.one_time_token import token_text
from app.models import Base, OneTimeToken
from tests.factories import make_user
from tests.letters import write_letters

PASSWORD = "wallpaper-on-tuesday"
NEW_PASSWORD = "curtains-on-friday"
AUTH = "/api/v1/auth"


def dump(db: Session) -> str:
    return "\n".join(
        repr(tuple(row))
        for table in Base.metadata.sorted_tables
        for row in db.execute(select(table))
    )


def test_secrets_are_not_in_the_database(
    anonymous: TestClient, as_admin: TestClient, db: Session
) -> None:
    user = make_user(db, email="ann@example.com", password=PASSWORD, is_verified=False)
    form = {"username": user.email, "password": PASSWORD}
    login = anonymous.post(f"{AUTH}/login", data=form).json()
    body = {"refresh_token": login["refresh_token"]}
    refreshed = anonymous.post(f"{AUTH}/refresh", json=body).json()
    anonymous.post(f"{AUTH}/email/verify", json={"email": user.email})
    anonymous.post(f"{AUTH}/password/forgot", json={"email": user.email})
    as_admin.post("/api/v1/users/", json={"email": "new@example.com"})
    anonymous.post(f"{AUTH}/login", data=form | {"password": "mistyped-on-monday"})
    passwords = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    bearer = {"Authorization": f"Bearer {refreshed['access_token']}"}
    anonymous.post("/api/v1/users/me/password", json=passwords, headers=bearer)
    in_cookies = anonymous.post(f"{AUTH}/login?mode=cookie", data=form | {"password": NEW_PASSWORD})

    write_letters()
    links = [token_text(token) for token in db.scalars(select(OneTimeToken))]
    secrets = [
        PASSWORD,
        NEW_PASSWORD,
        "mistyped-on-monday",
        *(
            tokens[name]
            for tokens in (login, refreshed)
            for name in ("access_token", "refresh_token")
        ),
        *in_cookies.cookies.values(),
        *links,
    ]
    dumped = dump(db)
    assert len(links) == 3
    assert len(set(secrets)) == 13
    assert user.email in dumped
    assert [secret for secret in secrets if secret in dumped] == []
