"""Letters on their way to a real mail server, which fails in every way that mail servers do."""

import os
import re
import signal
import smtplib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from fastapi.testclient import TestClient
from sqlalchemy import inspect, select, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from app.core.clock import utc_now
from app.core.config import get_settings
from app.db.session import get_engine
from app.models import OneTimeToken, OutgoingEmail, User
from app.schemas.letter import LetterStatus, LetterTemplate
from app.tasks.deliver_mail import MAX_ATTEMPTS, deliver_mail
from tests.factories import make_letter, make_letter_with_link, make_user
from tests.server import BACKEND, free_port
from tests.services.smtp import Catcher, running_catcher, silent_server
from tests.settings import changed_settings

NEW_PASSWORD = "marmalade-by-the-window"


@pytest.fixture
def mail() -> Iterator[Catcher]:
    """The mail server that the application delivers to."""
    with running_catcher() as catcher, changed_settings(**catcher.settings):
        yield catcher


@pytest.fixture
def log(anonymous: TestClient, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the application logs, which has set its log up."""
    caplog.set_level("INFO")
    return caplog


def state(db: Session, letter: OutgoingEmail) -> tuple[str, int, str | None]:
    db.refresh(letter)
    return letter.status, letter.attempts, letter.last_error


def link_in(letter_text: str) -> tuple[str, str]:
    """Return the address of the one link with a token, and the token."""
    ((address, token),) = set(re.findall(r"(http\S+)#token=([\w-]+)", letter_text))
    return address, token


def make_due(db: Session, letter: OutgoingEmail) -> None:
    letter.due_at = utc_now()
    db.commit()


# --- What arrives


def test_deliver_mail_brings_text_and_html_to_the_recipient_alone(
    mail: Catcher, db: Session
) -> None:
    letter = make_letter(db, recipient="ann@example.com")

    outcome = deliver_mail()

    (received,) = mail.letters
    headers = received.message
    assert outcome == "1 sent"
    assert (received.sender, received.recipients) == ("backdesk@example.com", ["ann@example.com"])
    assert (headers["From"], headers["To"]) == (
        "Backdesk <backdesk@example.com>",
        "ann@example.com",
    )
    assert headers["Subject"] == "Welcome to Backdesk"
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["Date"].datetime.tzinfo is not None
    assert "Hello Ann," in received.text
    assert "Hello Ann," in received.html
    assert state(db, letter) == (LetterStatus.SENT, 1, None)
    assert letter.sent_at is not None


def test_deliver_mail_takes_the_link_of_a_forgotten_password_through_to_the_login(
    mail: Catcher, anonymous: TestClient, db: Session
) -> None:
    user = make_user(db, email="ann@example.com", password="wallpaper-on-tuesday")

    anonymous.post("/api/v1/auth/password/forgot", json={"email": user.email})
    deliver_mail()
    address, token = link_in(mail.letters[0].text)
    page = anonymous.get(address.removeprefix(get_settings().PUBLIC_URL))
    reset = anonymous.post(
        "/api/v1/auth/password/reset", json={"token": token, "password": NEW_PASSWORD}
    )
    login = anonymous.post(
        "/api/v1/auth/login", data={"username": user.email, "password": NEW_PASSWORD}
    )

    assert address == "http://127.0.0.1:8000/account/password"
    assert link_in(mail.letters[0].html.replace("&amp;", "&")) == (address, token)
    assert (page.status_code, reset.status_code, login.status_code) == (200, 200, 200)
    assert "60 minutes" in mail.letters[0].text
    deliver_mail()
    assert mail.letters[1].message["Subject"] == "Your password was changed"


def test_deliver_mail_takes_the_link_of_a_registration_through_to_the_verified_user(
    mail: Catcher, anonymous: TestClient, db: Session
) -> None:
    with changed_settings(OPEN_REGISTRATION="true", **mail.settings):
        anonymous.post(
            "/api/v1/auth/register",
            json={
                "email": "ann@example.com",
                "password": NEW_PASSWORD,
                "full_name": "You have won. See evil.example",
            },
        )
        deliver_mail()

    address, token = link_in(mail.letters[0].text)
    confirmed = anonymous.post("/api/v1/auth/email/verify/confirm", json={"token": token})

    assert address == "http://127.0.0.1:8000/account/verify"
    assert confirmed.status_code == 200
    assert db.scalar(select(User.is_verified)) is True
    assert "evil.example" not in mail.letters[0].message.as_string()


def test_deliver_mail_builds_links_from_the_public_url_alone(
    mail: Catcher, anonymous: TestClient, user: User
) -> None:
    with changed_settings(PUBLIC_URL="https://desk.example.com/", **mail.settings):
        anonymous.post(
            "/api/v1/auth/password/forgot",
            json={"email": user.email},
            headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"},
        )
        deliver_mail()

    address, _ = link_in(mail.letters[0].text)
    assert address == "https://desk.example.com/account/password"
    assert "evil.example" not in mail.letters[0].message.as_string()


def make_each(db: Session, user: User, template: LetterTemplate) -> None:
    parameters = {"name": "Ann", "username": "ann", "new_email": "new@example.com"}
    if template in {"verify_email", "reset_password", "invitation"}:
        make_letter_with_link(db, user=user, template=template, parameters=parameters)
    else:
        make_letter(db, template=template, parameters=parameters)


@pytest.mark.parametrize("template", LetterTemplate)
def test_deliver_mail_delivers_every_letter_with_links_that_lead_to_a_page(
    mail: Catcher, anonymous: TestClient, db: Session, user: User, template: LetterTemplate
) -> None:
    make_each(db, user, template)

    outcome = deliver_mail()

    (received,) = mail.letters
    links = {*re.findall(r"http\S+", received.text), *re.findall(r'href="([^"]+)', received.html)}
    pages = {link: anonymous.get(urlsplit(link).path) for link in links}
    assert outcome == "1 sent"
    assert received.message["Subject"]
    assert {urlsplit(link).netloc for link in links} == {"127.0.0.1:8000"}
    assert {page.headers["content-type"] for page in pages.values()} == {"text/html; charset=utf-8"}
    assert {page.status_code for page in pages.values()} == {200}


@pytest.mark.parametrize("template", LetterTemplate)
def test_deliver_mail_leads_to_the_panel(
    mail: Catcher, db: Session, user: User, template: LetterTemplate
) -> None:
    make_each(db, user, template)

    with changed_settings(PANEL_URL="https://panel.example.com/desk", **mail.settings):
        deliver_mail()

    (received,) = mail.letters
    assert "Backdesk, https://panel.example.com/desk" in received.text
    has_button = "Open Backdesk:\r\nhttps://panel.example.com/desk\r\n" in received.text
    assert has_button is (template in {"welcome", "registration_tried"})
    if template in {"verify_email", "reset_password", "invitation"}:
        address, _ = link_in(received.text)
        assert address.startswith("http://127.0.0.1:8000/account/")


def test_deliver_mail_keeps_one_connection_for_all_letters(mail: Catcher, db: Session) -> None:
    for _ in range(5):
        make_letter(db)

    outcome = deliver_mail()

    assert outcome == "5 sent"
    assert len(mail.sessions) == 1


def test_deliver_mail_holds_no_connection_while_it_sends(
    mail: Catcher, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_letter(db)
    held: list[int] = []
    send = smtplib.SMTP.send_message

    def watched(*args: Any) -> Any:
        pool = get_engine().pool
        assert isinstance(pool, QueuePool)
        held.append(pool.checkedout())
        return send(*args)

    monkeypatch.setattr(smtplib.SMTP, "send_message", watched)
    deliver_mail()

    assert held == [0]
    assert len(mail.letters) == 1


def test_deliver_mail_leaves_letters_that_are_not_due(mail: Catcher, db: Session) -> None:
    make_letter(db, due_at=utc_now() + timedelta(minutes=1))
    make_letter(db, status=LetterStatus.SENT)
    make_letter(db, status=LetterStatus.DEAD)

    outcome = deliver_mail()

    assert outcome == "nothing was due"
    assert mail.letters == []


# --- What a name or an address cannot do


def test_deliver_mail_lets_no_name_add_a_header_or_a_paragraph(
    mail: Catcher, as_admin: TestClient, db: Session
) -> None:
    """As an earlier release may have stored it."""
    as_admin.post("/api/v1/users/", json={"email": "ann@example.com", "full_name": "Ann"})
    letter = db.scalars(select(OutgoingEmail)).one()
    letter.parameters = letter.parameters | {"name": "Ann\r\nBcc: eve@example.com\r\n\r\nBuy!"}
    db.flush()

    deliver_mail()

    (received,) = mail.letters
    assert received.recipients == ["ann@example.com"]
    assert received.message["Bcc"] is None
    assert "Hello Ann Bcc: eve@example.com Buy!,\r\n" in received.text


def test_deliver_mail_shows_a_name_as_text_in_html(mail: Catcher, as_admin: TestClient) -> None:
    name = "<img src=x onerror=alert(1)> & Söhne"
    as_admin.post("/api/v1/users/", json={"email": "ann@example.com", "full_name": name})

    deliver_mail()

    assert "<img" not in mail.letters[0].html
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; Söhne" in mail.letters[0].html
    assert name in mail.letters[0].text


@pytest.mark.parametrize(
    "recipient",
    [
        "ann@example.com\r\nBcc: eve@example.com",
        "ann@example.com, eve@example.com",
        "Ann <ann@example.com>",
        "ann@example.com>",
        "ann",
        "@example.com",
        "änn@example.com",
        "",
    ],
)
def test_deliver_mail_sends_nothing_to_what_is_not_one_address(
    mail: Catcher, db: Session, recipient: str
) -> None:
    letter = make_letter(db, recipient=recipient)

    outcome = deliver_mail()

    assert outcome == "1 dead"
    assert mail.letters == []
    assert state(db, letter)[0] == LetterStatus.DEAD


# --- For whom it is, which is looked up when it leaves

ACCOUNTS: dict[str, dict[str, Any] | None] = {
    "nobody": None,
    "active": {},
    "unverified": {"is_verified": False},
    "inactive": {"is_active": False},
    "deleted": {"deleted_at": utc_now()},
}


@pytest.mark.parametrize(
    ("path", "helped"),
    [
        ("password/forgot", {"active", "unverified"}),
        ("email/verify", {"unverified"}),
    ],
)
@pytest.mark.parametrize("who", ACCOUNTS)
def test_deliver_mail_sends_what_was_asked_for_to_whom_it_helps(
    mail: Catcher, anonymous: TestClient, db: Session, path: str, helped: set[str], who: str
) -> None:
    values = ACCOUNTS[who]
    if values is not None:
        make_user(db, email="ann@example.com", **values)
    anonymous.post(f"/api/v1/auth/{path}", json={"email": "Ann@Example.com"})

    outcome = deliver_mail()

    assert outcome == ("1 sent" if who in helped else "1 dropped")
    assert mail.recipients() == (["ann@example.com"] if who in helped else [])
    assert len(db.scalars(select(OutgoingEmail)).all()) == len(mail.letters)


@pytest.mark.parametrize(("minutes", "is_sent"), [(50, True), (61, False)])
def test_deliver_mail_lets_a_link_last_from_when_it_was_asked_for(
    mail: Catcher, anonymous: TestClient, db: Session, minutes: int, is_sent: bool
) -> None:
    make_user(db, email="ann@example.com")
    asked_at = utc_now()
    anonymous.post("/api/v1/auth/password/forgot", json={"email": "ann@example.com"})

    with time_machine.travel(asked_at + timedelta(minutes=minutes)):
        deliver_mail()

    token = db.scalars(select(OneTimeToken)).one()
    assert len(mail.letters) == int(is_sent)
    assert abs(token.expires_at - asked_at - timedelta(hours=1)) < timedelta(seconds=30)


def test_deliver_mail_sends_new_letters_also_where_the_clock_was_set_back(
    mail: Catcher, anonymous: TestClient, db: Session
) -> None:
    make_user(db, email="ann@example.com")
    anonymous.post("/api/v1/auth/password/forgot", json={"email": "ann@example.com"})
    make_letter(db, recipient="later@example.com")
    mail.recipient_answers["later@example.com"] = "451 come again"

    with time_machine.travel(utc_now() - timedelta(hours=1)):
        outcomes = [deliver_mail(), deliver_mail()]
        token = link_in(mail.letters[0].text)[1]
        body = {"token": token, "password": NEW_PASSWORD}
        reset = anonymous.post("/api/v1/auth/password/reset", json=body)

    assert outcomes == ["1 sent, 1 postponed", "nothing was due"]
    assert reset.status_code == 200


def test_deliver_mail_leaves_the_last_of_two_links_good(
    mail: Catcher, anonymous: TestClient, db: Session
) -> None:
    make_user(db, email="ann@example.com")
    for _ in range(2):
        anonymous.post("/api/v1/auth/password/forgot", json={"email": "ann@example.com"})

    deliver_mail()

    tokens = [link_in(letter.text)[1] for letter in mail.letters]
    used = [
        anonymous.post(
            "/api/v1/auth/password/reset", json={"token": token, "password": NEW_PASSWORD}
        ).status_code
        for token in tokens
    ]
    assert used == [400, 200]


def test_deliver_mail_at_once_leaves_one_of_two_links_good(
    mail: Catcher, anonymous: TestClient, db: Session
) -> None:
    make_user(db, email="ann@example.com")
    for _ in range(4):
        anonymous.post("/api/v1/auth/password/forgot", json={"email": "ann@example.com"})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: deliver_mail(), range(4)))

    good = db.scalars(select(OneTimeToken).where(OneTimeToken.used_at.is_(None))).all()
    assert len(good) == 1


# --- What fails


def test_deliver_mail_without_a_server_ends_at_once_and_tries_later(db: Session) -> None:
    letters = [make_letter(db) for _ in range(3)]

    with running_catcher() as mail, changed_settings(**mail.settings):
        pass
    with changed_settings(**mail.settings):
        outcome = deliver_mail()

    assert outcome.startswith("1 postponed; 127.0.0.1:")
    assert "does not listen" in outcome
    states = [state(db, letter)[:2] for letter in letters]
    assert states == [
        (LetterStatus.WAITING, 1),
        (LetterStatus.WAITING, 0),
        (LetterStatus.WAITING, 0),
    ]
    assert timedelta(seconds=50) < letters[0].due_at - utc_now() <= timedelta(minutes=1)


def test_deliver_mail_delivers_when_the_server_is_back(db: Session) -> None:
    letters = [make_letter(db) for _ in range(3)]
    port = free_port()
    with running_catcher(port=port) as away, changed_settings(**away.settings):
        pass
    with changed_settings(**away.settings):
        deliver_mail()

    with (
        running_catcher(port=port) as back,
        changed_settings(**back.settings),
        time_machine.travel(utc_now() + timedelta(minutes=2)),
    ):
        outcome = deliver_mail()

    assert outcome == "3 sent"
    assert {state(db, letter)[0] for letter in letters} == {LetterStatus.SENT}
    assert len(back.letters) == 3


def test_deliver_mail_does_not_wait_for_a_server_that_never_answers(db: Session) -> None:
    letters = [make_letter(db) for _ in range(50)]
    with silent_server() as port:
        settings = Catcher(port).settings | {"SMTP_TIMEOUT_SECONDS": "0.3"}
        with changed_settings(**settings):
            outcome = deliver_mail()

    assert outcome.startswith("1 postponed; ")
    assert "does not answer" in outcome
    assert Counter(state(db, letter)[1] for letter in letters) == {1: 1, 0: 49}


def test_deliver_mail_ends_after_three_seconds_and_leaves_the_rest_to_the_next_run(
    mail: Catcher, db: Session
) -> None:
    for _ in range(3):
        make_letter(db)

    with time_machine.travel(utc_now()) as clock:
        mail.on_letter = lambda: clock.shift(timedelta(seconds=2))
        first, second = deliver_mail(), deliver_mail()

    assert (first, second) == ("2 sent", "1 sent")


def test_deliver_mail_postpones_what_is_refused_for_now_and_goes_on(
    mail: Catcher, db: Session
) -> None:
    later = make_letter(db, recipient="later@example.com")
    make_letter(db, recipient="ann@example.com")
    mail.recipient_answers["later@example.com"] = "451 4.7.1 Greylisted, come again"

    outcome = deliver_mail()

    assert outcome == "1 postponed, 1 sent"
    assert mail.recipients() == ["ann@example.com"]
    error = "the recipient is refused: 451 4.7.1 Greylisted, come again"
    assert state(db, later) == (LetterStatus.WAITING, 1, error)


def test_deliver_mail_gives_up_what_is_refused_for_good_and_goes_on(
    mail: Catcher, db: Session
) -> None:
    nobody = make_letter(db, recipient="nobody@example.com")
    make_letter(db, recipient="ann@example.com")
    mail.recipient_answers["nobody@example.com"] = "550 5.1.1 No such user"

    outcome = deliver_mail()

    assert outcome == "1 dead, 1 sent"
    error = "the recipient is refused: 550 5.1.1 No such user"
    assert state(db, nobody) == (LetterStatus.DEAD, 1, error)


def test_deliver_mail_keeps_no_answer_that_may_quote_the_letter(
    mail: Catcher, db: Session, user: User
) -> None:
    letter = make_letter_with_link(db, user=user)
    mail.data_answer = "554 5.7.1 Blocked: http://127.0.0.1:8000/account/password#token=abc"

    deliver_mail()

    assert state(db, letter) == (LetterStatus.DEAD, 1, "the letter is refused: 554 5.7.1")


def test_deliver_mail_stores_an_answer_of_any_length_and_kind(mail: Catcher, db: Session) -> None:
    letter = make_letter(db, recipient="nobody@example.com")
    mail.recipient_answers["nobody@example.com"] = "550 no\x00body\x1b[31m " + "x" * 400

    deliver_mail()

    error = state(db, letter)[2] or ""
    assert error.isprintable()
    assert error.startswith("the recipient is refused: 550 no body [31m xxx")
    assert len(error) < 300


def test_deliver_mail_pauses_longer_each_time_and_gives_up_after_eight(
    mail: Catcher, db: Session
) -> None:
    letter = make_letter(db, recipient="later@example.com")
    mail.recipient_answers["later@example.com"] = "451 come again"
    pauses = []

    for _ in range(MAX_ATTEMPTS - 1):
        deliver_mail()
        db.refresh(letter)
        pauses.append(round((letter.due_at - utc_now()) / timedelta(minutes=1)))
        make_due(db, letter)
    outcome = deliver_mail()

    assert outcome == "1 dead"
    assert state(db, letter)[:2] == (LetterStatus.DEAD, 8)
    assert pauses == [1, 5, 30, 120, 480, 1440, 1440]


@pytest.mark.parametrize("fate", ["used", "expired", "withdrawn", "gone", "retired key"])
def test_deliver_mail_does_not_send_a_link_that_opens_nothing(
    mail: Catcher, anonymous: TestClient, db: Session, user: User, fate: str
) -> None:
    letter = make_letter_with_link(db, user=user)
    token = db.get_one(OneTimeToken, letter.token_id)
    match fate:
        case "used" | "withdrawn":
            token.used_at = utc_now()
        case "expired":
            token.expires_at = utc_now()
        case "retired key":
            token.key_id = "of another key"
        case _:
            db.delete(token)
    db.commit()

    outcome = deliver_mail()

    assert outcome == "1 dropped"
    assert mail.letters == []
    assert (
        state(db, letter)[2]
        == "not sent: its link was used, replaced or withdrawn, or is past its time"
    )


def test_deliver_mail_leaves_a_letter_of_a_newer_release_to_others(
    mail: Catcher, db: Session
) -> None:
    letter = make_letter(db, template="of_tomorrow")
    make_letter(db)

    outcome = deliver_mail()

    assert outcome == "1 postponed, 1 sent"
    assert state(db, letter)[2] == "it cannot be written: TemplateNotFound"


def test_deliver_mail_makes_links_with_the_key_that_they_were_issued_under(
    mail: Catcher, anonymous: TestClient, db: Session, user: User
) -> None:
    make_letter_with_link(db, user=user)
    old_key, new_key = os.environ["SECRET_KEY"], "tests-sign-with-this-key-from-tomorrow-on"

    with changed_settings(SECRET_KEY=new_key, SECRET_KEY_PREVIOUS=old_key, **mail.settings):
        deliver_mail()
        _, token = link_in(mail.letters[0].text)
        body = {"token": token, "password": NEW_PASSWORD}
        reset = anonymous.post("/api/v1/auth/password/reset", json=body)

    assert reset.status_code == 200


# --- What is sent again


def test_dead_letter_is_seen_and_sent_again(
    mail: Catcher, as_admin: TestClient, db: Session, user: User
) -> None:
    letter = make_letter_with_link(db, user=user)
    mail.recipient_answers[user.email] = "550 5.1.1 No such user"
    deliver_mail()
    mail.recipient_answers.clear()

    (dead,) = as_admin.get("/api/v1/letters/", params={"status": "dead"}).json()
    resent = as_admin.post(f"/api/v1/letters/{dead['id']}/resend")
    outcome = deliver_mail()

    assert (dead["id"], dead["last_error"]) == (
        letter.id,
        "the recipient is refused: 550 5.1.1 No such user",
    )
    assert (resent.status_code, outcome) == (200, "1 sent")
    assert mail.recipients() == [user.email]
    assert as_admin.get("/api/v1/letters/", params={"status": "dead"}).json() == []


def test_sent_letter_that_is_sent_again_is_a_new_one_to_mail_programs(
    mail: Catcher, as_admin: TestClient, db: Session
) -> None:
    letter = make_letter(db)
    deliver_mail()

    as_admin.post(f"/api/v1/letters/{letter.id}/resend")
    deliver_mail()

    first, second = (received.message["Message-ID"] for received in mail.letters)
    assert first != second


# --- Many at once, and whoever dies


def deliver_in_a_process(mail: Catcher) -> subprocess.Popen[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": os.environ["DATABASE_URL"],
        "SECRET_KEY": os.environ["SECRET_KEY"],
        **mail.settings,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli", "deliver-mail"],
        cwd=BACKEND,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_deliver_mail_in_many_threads_delivers_each_letter_once(mail: Catcher, db: Session) -> None:
    recipients = sorted(f"user{number}@example.com" for number in range(40))
    for recipient in recipients:
        make_letter(db, recipient=recipient)
    mail.seconds_for_each = 0.02

    with ThreadPoolExecutor(4) as threads:
        outcomes = [one.result() for one in [threads.submit(deliver_mail) for _ in range(4)]]

    assert mail.recipients() == recipients
    assert len(mail.sessions) > 1
    assert sum(int(one.split()[0]) for one in outcomes if one.endswith("sent")) == 40


def test_deliver_mail_in_two_processes_delivers_each_letter_once(
    mail: Catcher, db: Session
) -> None:
    recipients = sorted(f"user{number}@example.com" for number in range(40))
    for recipient in recipients:
        make_letter(db, recipient=recipient)
    mail.at_once = 2  # Nobody is answered before both are there.

    processes = [deliver_in_a_process(mail) for _ in range(2)]
    outcomes = [process.communicate(timeout=60)[0] for process in processes]

    assert mail.recipients() == recipients
    assert len(mail.sessions) == 2
    assert sum(int(outcome.split()[0]) for outcome in outcomes) == 40


@pytest.mark.parametrize(("command", "copies"), [("RCPT", 0), ("DATA", 1)])
def test_deliver_mail_that_dies_loses_no_letter(
    mail: Catcher, db: Session, command: str, copies: int
) -> None:
    letter = make_letter(db)
    mail.holds = command

    process = deliver_in_a_process(mail)
    assert mail.held.wait(timeout=60)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    mail.let_go.set()
    mail.holds = None
    while_leased = deliver_mail()
    make_due(db, letter)  # As if the lease were over.
    after_it = deliver_mail()

    assert (while_leased, after_it) == ("nothing was due", "1 sent")
    assert len(mail.letters) == copies + 1
    assert len({received.message["Message-ID"] for received in mail.letters}) == 1
    assert state(db, letter) == (LetterStatus.SENT, 2, None)


def test_deliver_mail_says_nothing_of_a_letter_it_lost_to_another(
    mail: Catcher, db: Session
) -> None:
    letter = make_letter(db)
    mail.holds = "DATA"

    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(deliver_mail)
        assert mail.held.wait(timeout=60)
        db.refresh(letter)
        letter.due_at = other_lease = utc_now() + timedelta(hours=1)  # Somebody else has it now.
        db.commit()
        mail.let_go.set()
        slow.result(timeout=60)

    assert state(db, letter)[0] == LetterStatus.WAITING
    assert letter.due_at == other_lease


def test_deliver_mail_gives_up_a_letter_that_nobody_survives(mail: Catcher, db: Session) -> None:
    letter = make_letter(db, attempts=MAX_ATTEMPTS)

    outcome = deliver_mail()

    assert outcome == "1 dead"
    assert mail.letters == []
    assert "given up" in (state(db, letter)[2] or "")


# --- Where no token may be


def test_deliver_mail_leaves_no_token_in_the_database(
    mail: Catcher, anonymous: TestClient, db: Session, user: User
) -> None:
    anonymous.post("/api/v1/auth/password/forgot", json={"email": user.email})
    before = dump(db)
    deliver_mail()
    after = dump(db)

    _, token = link_in(mail.letters[0].text)
    assert user.email in before
    assert token not in before + after


def dump(db: Session) -> str:
    """Return everything that the database holds, as text."""
    db.expire_all()
    tables = inspect(db.get_bind()).get_table_names()
    return "\n".join(
        str(row)
        for table in tables
        for row in db.execute(text(f'SELECT * FROM "{table}"'))  # noqa: S608  Names from the database itself.
    )


def test_deliver_mail_without_a_server_writes_letters_to_the_log_in_local(
    db: Session, user: User, log: pytest.LogCaptureFixture
) -> None:
    letter = make_letter_with_link(db, user=user)

    outcome = deliver_mail()

    assert outcome == "1 sent"
    assert "/account/password#token=" in log.text
    assert state(db, letter)[0] == LetterStatus.SENT


def test_deliver_mail_without_a_server_writes_no_link_to_the_log_elsewhere(
    db: Session, user: User, log: pytest.LogCaptureFixture
) -> None:
    letter = make_letter_with_link(db, user=user)
    with changed_settings(ENVIRONMENT="staging", PUBLIC_URL="https://desk.example.com"):
        outcome = deliver_mail()

    logged = log.text
    assert outcome == "1 dead"
    assert "SMTP_HOST is not set" in logged
    assert "token=" not in logged
    assert "SMTP_HOST is not set" in (state(db, letter)[2] or "")


def test_deliver_mail_logs_no_link_where_there_is_a_server(
    mail: Catcher, db: Session, user: User, log: pytest.LogCaptureFixture
) -> None:
    make_letter_with_link(db, user=user)
    mail.data_answer = "451 4.3.0 Cannot take http://127.0.0.1:8000/account/password#token=abc"
    deliver_mail()
    mail.data_answer = "250 OK"
    make_letter_with_link(db, user=user)
    deliver_mail()

    logged = log.text
    _, token = link_in(mail.letters[0].text)
    assert "letter postponed" in logged
    assert "letter sent" in logged
    assert token not in logged
    assert "token=" not in logged
