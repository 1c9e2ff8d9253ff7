"""What an admin sees of the letters, and how one is sent again."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.security import hash_password
from app.crud.one_time_token import token_text
from app.models import AuditEvent, OneTimeToken, OutgoingEmail, User
from app.schemas.letter import LetterPublic, LetterStatus, LetterTemplate
from tests.assertions import assert_error
from tests.factories import make_letter, make_letter_with_link, make_one_time_token, make_user

URL = "/api/v1/letters/"
ClientOf = Callable[[User], TestClient]


def resend_url(letter: OutgoingEmail) -> str:
    return f"{URL}{letter.id}/resend"


def token_of(db: Session, letter: OutgoingEmail) -> OneTimeToken:
    db.refresh(letter)
    return db.get_one(OneTimeToken, letter.token_id)


def test_get_letters_shows_what_waits_was_sent_and_is_dead(
    as_admin: TestClient, db: Session
) -> None:
    make_letter(db, recipient="waits@example.com")
    make_letter(db, recipient="sent@example.com", status=LetterStatus.SENT, sent_at=utc_now())
    make_letter(db, recipient="dead@example.com", status=LetterStatus.DEAD, last_error="550")

    everything = as_admin.get(URL, params={"sort": "id"})
    dead = as_admin.get(URL, params={"status": "dead"})
    found = as_admin.get(URL, params={"q": "WAITS@"})

    statuses = [letter["status"] for letter in everything.json()]
    assert statuses == ["waiting", "sent", "dead"]
    assert everything.headers["content-range"] == "letters 0-2/3"
    assert [letter["last_error"] for letter in dead.json()] == ["550"]
    assert [letter["recipient"] for letter in found.json()] == ["waits@example.com"]


def test_get_letters_shows_no_secret(as_admin: TestClient, db: Session, user: User) -> None:
    letter = make_letter_with_link(db, user=user)
    token = token_of(db, letter)

    response = as_admin.get(URL)

    assert set(response.json()[0]) == set(LetterPublic.model_fields)
    secrets = (token_text(token), token.nonce, token.token_hash, "token")
    assert [secret for secret in secrets if secret in response.text] == []


def test_get_letters_takes_the_parameters_of_a_list(as_admin: TestClient, db: Session) -> None:
    for number in range(5):
        make_letter(db, recipient=f"user{number}@example.com")

    page = as_admin.get(URL, params={"sort": "-recipient", "skip": 1, "limit": 2})
    unknown = as_admin.get(URL, params={"parameters": "x"})

    recipients = [letter["recipient"] for letter in page.json()]
    assert recipients == ["user3@example.com", "user2@example.com"]
    assert page.headers["x-total-count"] == "5"
    assert_error(unknown, 422, "INVALID_REQUEST", "parameters")


def test_get_letter_shows_one_without_its_secret(
    as_admin: TestClient, db: Session, user: User
) -> None:
    letter = make_letter_with_link(db, user=user)

    response = as_admin.get(f"{URL}{letter.id}")

    assert response.json() == as_admin.get(URL).json()[0]
    assert token_text(token_of(db, letter)) not in response.text


@pytest.mark.parametrize("letter_id", ["999999", "export", "1.5"])
def test_get_letter_that_is_not_there_is_404(as_admin: TestClient, letter_id: str) -> None:
    assert_error(as_admin.get(f"{URL}{letter_id}"), 404, "LETTER_NOT_FOUND")


def test_get_letters_is_for_admins(as_auditor: TestClient, anonymous: TestClient) -> None:
    assert_error(as_auditor.get(URL), 403, "PERMISSION_DENIED")
    assert_error(anonymous.get(URL), 401, "NOT_AUTHENTICATED")


@pytest.mark.parametrize("status", [LetterStatus.SENT, LetterStatus.DEAD])
def test_resend_letter_makes_it_wait_again(
    as_admin: TestClient, db: Session, admin: User, status: LetterStatus
) -> None:
    letter = make_letter(db, status=status, attempts=8, last_error="550 no", sent_at=utc_now())

    response = as_admin.post(resend_url(letter))

    assert response.status_code == 200
    again = response.json()
    assert (again["status"], again["attempts"], again["last_error"]) == ("waiting", 0, None)
    db.refresh(letter)
    assert letter.due_at <= utc_now()
    event = db.scalars(select(AuditEvent).where(AuditEvent.action == "letter_resent")).one()
    assert (event.actor_id, event.resource_type, event.resource_id) == (
        admin.id,
        "letter",
        letter.id,
    )


def test_resend_letter_has_a_postponed_one_sent_now(as_admin: TestClient, db: Session) -> None:
    later = utc_now() + timedelta(hours=8)
    letter = make_letter(db, due_at=later, attempts=4, last_error="451 come again")

    response = as_admin.post(resend_url(letter))

    assert response.json()["attempts"] == 0
    db.refresh(letter)
    assert letter.due_at < later


def test_resend_letter_leaves_one_alone_that_is_being_sent(
    as_admin: TestClient, db: Session
) -> None:
    leased_until = utc_now() + timedelta(minutes=5)
    letter = make_letter(db, due_at=leased_until, attempts=1)

    response = as_admin.post(resend_url(letter))

    assert (response.status_code, response.json()["attempts"]) == (200, 1)
    db.refresh(letter)
    assert letter.due_at == leased_until


def test_resend_letter_keeps_a_link_that_is_good(
    as_admin: TestClient, db: Session, user: User
) -> None:
    letter = make_letter_with_link(db, user=user, status=LetterStatus.SENT)
    before = token_of(db, letter).id

    as_admin.post(resend_url(letter))

    assert token_of(db, letter).id == before


@pytest.mark.parametrize("fate", ["used", "expired", "gone", "retired key"])
def test_resend_letter_renews_a_link_that_opens_nothing(
    as_admin: TestClient, anonymous: TestClient, db: Session, fate: str
) -> None:
    user = make_user(db, email="ann@example.com")
    letter = make_letter_with_link(
        db, user=user, template=LetterTemplate.INVITATION, status=LetterStatus.DEAD
    )
    token = token_of(db, letter)
    match fate:
        case "used":
            token.used_at = utc_now()
        case "expired":
            token.expires_at = utc_now()
        case "retired key":
            token.key_id = "of another key"
        case _:
            db.delete(token)
    db.commit()

    response = as_admin.post(resend_url(letter))

    renewed = token_of(db, letter)
    body = {"token": token_text(renewed), "password": "marmalade-by-the-window"}
    assert response.status_code == 200
    assert renewed.purpose == "invitation"
    assert anonymous.post("/api/v1/auth/password/reset", json=body).status_code == 200


def verified(user: User) -> None:
    user.is_verified = True


def with_password(user: User) -> None:
    user.hashed_password = hash_password("marmalade-by-the-window")


def inactive(user: User) -> None:
    user.is_active = False


def at_another_address(user: User) -> None:
    user.email = "new@example.com"


def deleted(user: User) -> None:
    user.deleted_at = utc_now()


@pytest.mark.parametrize(
    ("template", "change"),
    [
        (LetterTemplate.VERIFY_EMAIL, verified),
        (LetterTemplate.INVITATION, with_password),
        (LetterTemplate.RESET_PASSWORD, inactive),
        (LetterTemplate.RESET_PASSWORD, at_another_address),
        (LetterTemplate.RESET_PASSWORD, deleted),
    ],
)
def test_resend_letter_refuses_a_link_that_nobody_needs(
    as_admin: TestClient,
    db: Session,
    template: LetterTemplate,
    change: Callable[[User], None],
) -> None:
    user = make_user(db, email="ann@example.com", is_verified=False)
    letter = make_letter_with_link(db, user=user, template=template, status=LetterStatus.SENT)
    token_of(db, letter).used_at = utc_now()
    change(user)
    db.commit()

    response = as_admin.post(resend_url(letter))

    assert_error(response, 409, "LINK_NOT_RENEWABLE")
    db.refresh(letter)
    assert letter.status == LetterStatus.SENT


def test_resend_letter_gives_no_link_to_the_next_owner_of_an_address(
    as_admin: TestClient, db: Session
) -> None:
    before, now = make_user(db, email="ann@example.com"), make_user(db)
    letter = make_letter_with_link(db, user=before, status=LetterStatus.SENT)
    token_of(db, letter).used_at = utc_now()
    before.email = "ann.lee@example.com"
    db.commit()
    now.email = "ann@example.com"
    db.commit()

    response = as_admin.post(resend_url(letter))

    assert_error(response, 409, "LINK_NOT_RENEWABLE")


def test_resend_letter_ends_the_links_before_it(
    as_admin: TestClient, db: Session, user: User
) -> None:
    old = make_letter_with_link(db, user=user, status=LetterStatus.SENT)
    newer = make_one_time_token(db, user=user)  # It withdraws the older one.

    as_admin.post(resend_url(old))

    db.refresh(newer)
    assert newer.used_at is not None
    assert token_of(db, old).used_at is None


def test_resend_letter_is_for_admins_and_for_letters_that_are_there(
    as_admin: TestClient, as_auditor: TestClient, db: Session
) -> None:
    letter = make_letter(db, status=LetterStatus.DEAD)

    assert_error(as_auditor.post(resend_url(letter)), 403, "PERMISSION_DENIED")
    assert_error(as_admin.post(f"{URL}{letter.id + 1}/resend"), 404, "LETTER_NOT_FOUND")
