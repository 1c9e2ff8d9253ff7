"""The letters that wait for delivery, and what their links hold."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.crud.one_time_token import token_text
from app.models import OneTimeToken, OutgoingEmail


def letters(db: Session) -> list[tuple[str, str]]:
    """Return the template and the recipient of each, the oldest first."""
    columns = select(OutgoingEmail.template, OutgoingEmail.recipient)
    return [(row.template, row.recipient) for row in db.execute(columns.order_by(OutgoingEmail.id))]


def last_token(db: Session) -> str:
    """Return the token in the link of the last letter that has one."""
    statement = (
        select(OneTimeToken)
        .join(OutgoingEmail, OutgoingEmail.token_id == OneTimeToken.id)
        .order_by(OutgoingEmail.id.desc())
        .limit(1)
    )
    return token_text(db.scalars(statement).one())
