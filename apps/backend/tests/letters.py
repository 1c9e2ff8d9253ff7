"""The letters that wait for delivery, and what their links hold."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.crud.letter import write_asked
from app.crud.one_time_token import token_text
from app.db.session import unit_of_work
from app.models import OneTimeToken, OutgoingEmail


def write_letters() -> None:
    """Do what a delivery does first: look up for whom each letter is, and drop the others."""
    with unit_of_work() as db:
        for letter in db.scalars(select(OutgoingEmail).order_by(OutgoingEmail.id)):
            write_asked(db, letter=letter)


def letters(db: Session) -> list[tuple[str, str]]:
    """Return the template and the recipient of each, the oldest first."""
    write_letters()
    columns = select(OutgoingEmail.template, OutgoingEmail.recipient)
    return [(row.template, row.recipient) for row in db.execute(columns.order_by(OutgoingEmail.id))]


def last_token(db: Session) -> str:
    """Return the token in the link of the last letter that has one."""
    write_letters()
    statement = (
        select(OneTimeToken)
        .join(OutgoingEmail, OutgoingEmail.token_id == OneTimeToken.id)
        .order_by(OutgoingEmail.id.desc())
        .limit(1)
    )
    return token_text(db.scalars(statement).one())
