"""Letters wait in the database until a task delivers them: no crash and no dead mail server loses
one, and none leaves for a deed that was rolled back.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, or_, select, true, update
from sqlalchemy.orm import Session

from app.core.clock import utc_now
from app.core.errors import ConflictError, NotFoundError
from app.core.permissions import Scope
from app.crud import audit as crud_audit
from app.crud.batch import delete_batch
from app.crud.listing import Listing, Page, get_page, public_columns
from app.crud.one_time_token import is_usable, issue_first_tokens, issue_token
from app.db.writing import load_rows
from app.models.one_time_token import OneTimeToken, TokenPurpose
from app.models.outgoing_email import OutgoingEmail
from app.models.user import User
from app.schemas.letter import LetterPublic, LetterStatus, LetterTemplate
from app.schemas.listing import ListQuery

# What the link of a letter is good for; the other letters have none.
LINK_PURPOSES: Final[Mapping[str, TokenPurpose]] = {
    LetterTemplate.VERIFY_EMAIL: TokenPurpose.VERIFY_EMAIL,
    LetterTemplate.RESET_PASSWORD: TokenPurpose.RESET_PASSWORD,
    LetterTemplate.INVITATION: TokenPurpose.INVITATION,
}
MAX_ERROR_LENGTH: Final = 500
KEPT_AFTER_SENDING: Final = timedelta(days=30)


class LetterNotFoundError(NotFoundError):
    code = "LETTER_NOT_FOUND"
    text = "There is no such letter."


LETTERS: Final = Listing(
    model=OutgoingEmail,
    columns=public_columns(OutgoingEmail, LetterPublic),
    searched=("recipient", "template", "last_error"),
    alike=frozenset({"recipient"}),
    scopes=dict.fromkeys(Scope, true()),
    missing=LetterNotFoundError,
)


class LinkNotRenewableError(ConflictError):
    code = "LINK_NOT_RENEWABLE"
    text = "The link in this letter is no longer good, and its recipient needs no other one."


def write_letter(
    db: Session,
    *,
    user: User,
    template: LetterTemplate,
    token: OneTimeToken | None = None,
    recipient: str | None = None,
    **parameters: Any,
) -> None:
    """Have a letter sent to the user, or to another address of theirs, once this is committed.

    Whoever registers may give any name, a stranger's address, and so the words that the stranger
    reads: names stand only in letters to users who are verified.
    """
    name = _name_in_letters(_facts(user))
    token_id = token.id if token is not None else None
    letter = _letter(recipient or user.email, template, {"name": name} | parameters, token_id)
    db.add(OutgoingEmail(**letter))
    db.flush()


def ask_for_letter(db: Session, *, recipient: str, template: LetterTemplate) -> None:
    """Have a letter sent to an address that a stranger gave. Whom it helps is looked up when the
    letter leaves (`write_asked`): the time of the answer tells nothing of it.
    """
    db.add(OutgoingEmail(**_letter(recipient, template, {}, None)))
    db.flush()


def write_asked(db: Session, *, letter: OutgoingEmail) -> None:
    """Fill in what a letter lacks that was asked for, or delete it; then it has no parameters."""
    if letter.parameters:
        return
    statement = select(User).where(User.email == letter.recipient, User.is_active)
    user = db.scalar(statement.with_for_update(key_share=True))  # Of two links one stays good.
    purpose = LINK_PURPOSES.get(letter.template)
    if user is None or (purpose and not _needs(user, purpose)):
        db.delete(letter)
        return
    if purpose:
        token = issue_token(db, user=user, purpose=purpose)
        token.expires_at -= max(utc_now() - letter.created_at, timedelta())  # It counts from then.
        letter.token_id = token.id
    letter.parameters = {"name": _name_in_letters(_facts(user))}


def _facts(user: User) -> Mapping[str, Any]:
    names = ("id", "email", "full_name", "username")
    states = ("hashed_password", "is_active", "is_verified")
    return {name: getattr(user, name) for name in names + states}


def _name_in_letters(user: Mapping[str, Any]) -> str | None:
    return (user["full_name"] or user["username"]) if user["is_verified"] else None


def _letter(
    recipient: str, template: LetterTemplate, parameters: dict[str, Any], token_id: int | None
) -> dict[str, Any]:
    now = utc_now()
    return {
        "recipient": recipient,
        "template": template,
        "parameters": parameters,
        "token_id": token_id,
        "status": LetterStatus.WAITING,
        "created_at": now,
        "due_at": now,
    }


def send_verification(db: Session, *, user: User) -> None:
    token = issue_token(db, user=user, purpose=TokenPurpose.VERIFY_EMAIL)
    write_letter(db, user=user, template=LetterTemplate.VERIFY_EMAIL, token=token)


def send_welcome(db: Session, *, user: User) -> None:
    send_welcomes(db, users=[_facts(user)])


def _welcome(user: Mapping[str, Any]) -> LetterTemplate | None:
    if not user["is_active"]:
        return None
    if user["hashed_password"] is None:
        return LetterTemplate.INVITATION
    return LetterTemplate.WELCOME if user["is_verified"] else LetterTemplate.VERIFY_EMAIL


def _parameters(user: Mapping[str, Any], template: LetterTemplate) -> dict[str, Any]:
    named = {} if template is LetterTemplate.VERIFY_EMAIL else {"username": user["username"]}
    return {"name": _name_in_letters(user)} | named


def send_welcomes(db: Session, *, users: Sequence[Mapping[str, Any]]) -> None:
    """Greet new users, given by their columns; those without a password are invited to set it."""
    greeted = [(user, template) for user in users if (template := _welcome(user))]
    token_ids: dict[int, int] = {}
    for letter, purpose in LINK_PURPOSES.items():
        recipients = {user["id"]: user["email"] for user, template in greeted if template == letter}
        if recipients:
            token_ids |= issue_first_tokens(db, recipients=recipients, purpose=purpose)
    letters = [
        _letter(user["email"], template, _parameters(user, template), token_ids.get(user["id"]))
        for user, template in greeted
    ]
    load_rows(db, model=OutgoingEmail, rows=letters)


def get_letters(db: Session, *, query: ListQuery) -> Page:
    return get_page(db, listing=LETTERS, query=query, scope=true())


def get_letter_for_update(db: Session, *, letter_id: int) -> OutgoingEmail | None:
    statement = select(OutgoingEmail).where(OutgoingEmail.id == letter_id)
    return db.scalar(statement.with_for_update(key_share=True))


def resend_letter(db: Session, *, letter: OutgoingEmail) -> OutgoingEmail:
    """Have a letter sent once more, with a new link where its own is no longer good. One that has
    not been tried yet, or is being sent, stays as it is.

    Raises LinkNotRenewableError.
    """
    if letter.status == LetterStatus.WAITING and letter.last_error is None:
        return letter
    if letter.template in LINK_PURPOSES:
        _renew_link(db, letter)
    letter.status, letter.due_at = LetterStatus.WAITING, utc_now()
    letter.attempts, letter.last_error = 0, None
    crud_audit.record(db, action="letter_resent", resource_type="letter", resource_id=letter.id)
    return letter


def _renew_link(db: Session, letter: OutgoingEmail) -> None:
    token = get_token(db, letter=letter)
    if token is not None and is_usable(token):
        return
    user = db.scalar(select(User).where(User.email == letter.recipient, User.is_active))
    purpose = LINK_PURPOSES[letter.template]
    is_same = user is not None and (token is None or token.user_id == user.id)
    if user is None or not is_same or not _needs(user, purpose):
        raise LinkNotRenewableError
    letter.token_id = issue_token(db, user=user, purpose=purpose).id
    letter.parameters = letter.parameters | {"username": user.username}


def _needs(user: User, purpose: TokenPurpose) -> bool:
    match purpose:
        case TokenPurpose.VERIFY_EMAIL:
            return not user.is_verified
        case TokenPurpose.INVITATION:
            return user.hashed_password is None
        case TokenPurpose.RESET_PASSWORD:
            return True


def get_token(db: Session, *, letter: OutgoingEmail) -> OneTimeToken | None:
    return None if letter.token_id is None else db.get(OneTimeToken, letter.token_id)


def claim_letter(db: Session, *, until: datetime) -> OutgoingEmail | None:
    """Take the letter that has been due for longest, for nobody else before `until`: whoever dies
    with it in hand holds it up, but does not lose it.
    """
    now = utc_now()
    is_new = and_(OutgoingEmail.attempts == 0, OutgoingEmail.created_at > now)
    is_due = or_(OutgoingEmail.due_at <= now, is_new)  # Or the clock was set back since.
    first_due = (
        select(OutgoingEmail.id)
        .where(OutgoingEmail.status == LetterStatus.WAITING, is_due)
        .order_by(OutgoingEmail.due_at, OutgoingEmail.id)
        .limit(1)
        .with_for_update(skip_locked=True)  # On SQLite one unit at a time writes anyway.
    )
    return db.scalar(
        update(OutgoingEmail)
        .where(OutgoingEmail.id == first_due.scalar_subquery())
        .values(due_at=until, attempts=OutgoingEmail.attempts + 1, last_error=None)
        .returning(OutgoingEmail)
        .execution_options(synchronize_session=False)
    )


def mark_sent(db: Session, *, letter: OutgoingEmail) -> None:
    _mark(db, letter, status=LetterStatus.SENT, sent_at=utc_now())


def postpone(db: Session, *, letter: OutgoingEmail, until: datetime, error: str) -> None:
    _mark(db, letter, due_at=until, last_error=error[:MAX_ERROR_LENGTH])


def bury(db: Session, *, letter: OutgoingEmail, error: str) -> None:
    """Try no more, until an admin says so."""
    _mark(db, letter, status=LetterStatus.DEAD, last_error=error[:MAX_ERROR_LENGTH])


def _mark(db: Session, letter: OutgoingEmail, **values: Any) -> None:
    """Whoever took too long has lost the letter to another, and says nothing any more."""
    db.execute(
        update(OutgoingEmail)
        .where(
            OutgoingEmail.id == letter.id,
            OutgoingEmail.status == LetterStatus.WAITING,
            OutgoingEmail.due_at == letter.due_at,
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )


def delete_old_letters(db: Session) -> int:
    """Delete some of the letters sent long ago; those that wait, or could not be sent, stay."""
    chosen = select(OutgoingEmail.id).where(
        OutgoingEmail.status == LetterStatus.SENT,
        OutgoingEmail.sent_at <= utc_now() - KEPT_AFTER_SENDING,
    )
    return delete_batch(db, model=OutgoingEmail, chosen=chosen)
