"""Letters leave the database for the mail server. Any number of runs may go on at once: each takes
one letter after another for itself, and sends it outside any transaction.
"""

import hashlib
from collections import Counter
from datetime import timedelta
from typing import Final

import structlog
from jinja2 import TemplateError

from app.core.clock import SteadyClock, utc_now
from app.core.config import get_settings
from app.core.letter_text import write_text
from app.core.mailer import Letter, Mailer, MailServerError, NeverError, NotNowError
from app.crud import letter as crud_letter
from app.crud.one_time_token import is_usable, token_text
from app.db.session import unit_of_work
from app.models.one_time_token import OneTimeToken
from app.models.outgoing_email import OutgoingEmail

# The other jobs, a shutdown and whoever asked for a run wait for it; another follows at once.
LONGEST_RUN: Final = timedelta(seconds=3)
# After each attempt but the last, which is followed by the letter's end: a weekend, all in all.
PAUSES: Final = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=8),
    timedelta(hours=24),
    timedelta(hours=24),
)
MAX_ATTEMPTS: Final = len(PAUSES) + 1
MOST_WAITS: Final = 20  # For the mail server, by far.

log = structlog.get_logger("backdesk.letters")


def deliver_mail(*, longest_run: timedelta = LONGEST_RUN) -> str:
    """Deliver what is due, and return how it went: "3 sent, 1 postponed".

    It ends early where the mail server is of no use, and when its time is up: the next run goes on.
    """
    outcomes: Counter[str] = Counter()
    clock = SteadyClock()
    ends_at = clock.now() + longest_run.total_seconds()
    with Mailer() as mailer:
        while clock.now() < ends_at and (claimed := _claim()) is not None:
            try:
                outcomes[_deliver(*claimed, mailer)] += 1
            except MailServerError as error:
                outcomes[_fail(claimed[0], str(error))] += 1
                return f"{_summary(outcomes)}; {error}"
    return _summary(outcomes)


def _summary(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in outcomes.items()) or "nothing was due"


def _claim() -> tuple[OutgoingEmail, OneTimeToken | None] | None:
    lease = timedelta(seconds=60 + MOST_WAITS * get_settings().SMTP_TIMEOUT_SECONDS)
    with unit_of_work() as db:
        letter = crud_letter.claim_letter(db, until=utc_now() + lease)
        if letter is None:
            return None
        crud_letter.write_asked(db, letter=letter)
        return letter, crud_letter.get_token(db, letter=letter)


def _deliver(letter: OutgoingEmail, token: OneTimeToken | None, mailer: Mailer) -> str:
    """Raises MailServerError."""
    if letter.attempts > MAX_ATTEMPTS:  # Each time, whoever had it in hand died.
        return _bury(letter, f"given up after {MAX_ATTEMPTS} attempts, the last unfinished")
    has_link = letter.template in crud_letter.LINK_PURPOSES
    if not letter.parameters or (has_link and (token is None or not is_usable(token))):
        # Nothing went wrong: a newer letter has replaced it, say, or it was nobody's and is gone.
        error = "not sent: its link was used, replaced or withdrawn, or is past its time"
        return _bury(letter, error, outcome="dropped")
    try:
        mailer.send(_write(letter, token))
    except NeverError as error:
        return _bury(letter, str(error))
    except NotNowError as error:
        return _fail(letter, str(error))
    except TemplateError as error:  # A letter of a newer release, perhaps, which others deliver.
        return _fail(letter, f"it cannot be written: {type(error).__name__}")
    with unit_of_work() as db:
        crud_letter.mark_sent(db, letter=letter)
    log.info("letter sent", letter_id=letter.id, template=letter.template)
    return "sent"


def _write(letter: OutgoingEmail, token: OneTimeToken | None) -> Letter:
    subject, text, html = write_text(
        letter.template,
        parameters=letter.parameters,
        written_at=letter.created_at,
        token=token_text(token) if token else None,
        expires_at=token.expires_at if token else None,
    )
    # The same until it is known to have been sent; a letter that an admin sends again is new.
    told_by = (letter.id, letter.created_at, letter.token_id, letter.sent_at)
    key = f"{letter.id}.{hashlib.sha256(repr(told_by).encode()).hexdigest()[:24]}"
    return Letter(key, letter.recipient, subject, text, html)


def _fail(letter: OutgoingEmail, error: str) -> str:
    """Postpone the letter, or give it up."""
    if letter.attempts >= MAX_ATTEMPTS:
        return _bury(letter, error)
    until = utc_now() + PAUSES[letter.attempts - 1]
    with unit_of_work() as db:
        crud_letter.postpone(db, letter=letter, until=until, error=error)
    log.warning("letter postponed", letter_id=letter.id, template=letter.template, error=error)
    return "postponed"


def _bury(letter: OutgoingEmail, error: str, *, outcome: str = "dead") -> str:
    with unit_of_work() as db:
        crud_letter.bury(db, letter=letter, error=error)
    tell = log.error if outcome == "dead" else log.info
    tell("letter not sent", letter_id=letter.id, template=letter.template, error=error)
    return outcome
