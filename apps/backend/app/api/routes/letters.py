from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Path, Request, Response

from app.api.answers import answer_page
from app.api.deps import CurrentUser, DbSession, or_not_found, requires
from app.api.idempotency import idempotent
from app.api.listing import ListParameters
from app.api.problems import LIST_ANSWERS, problems
from app.api.routing import Router
from app.core.permissions import Permission
from app.crud import letter as crud_letter
from app.crud.listing import Record
from app.crud.records import get_record
from app.models.outgoing_email import OutgoingEmail
from app.schemas.base import RecordId
from app.schemas.letter import LetterPublic
from app.schemas.listing import ListQuery

router = Router(prefix="/letters", tags=["letters"])

letter_list = ListParameters(LetterPublic)
LetterListQuery = Annotated[ListQuery, Depends(letter_list)]
LetterId = Annotated[RecordId, or_not_found(crud_letter.LetterNotFoundError), Path()]


def get_locked_letter(letter_id: LetterId, db: DbSession) -> OutgoingEmail:
    letter = crud_letter.get_letter_for_update(db, letter_id=letter_id)
    if letter is None:
        raise crud_letter.LetterNotFoundError
    return letter


def get_visible_letter(letter_id: LetterId, db: DbSession, actor: CurrentUser) -> Record:
    return get_record(db, crud_letter.LETTERS, record_id=letter_id, actor=actor)


VisibleLetter = Annotated[Record, Depends(get_visible_letter)]
LockedLetter = Annotated[OutgoingEmail, Depends(get_locked_letter)]


@router.get(
    "/",
    response_model=list[LetterPublic],
    responses=LIST_ANSWERS,
    dependencies=[requires(Permission.LETTERS_MANAGE)],
    openapi_extra=letter_list.openapi(),
)
def get_letters(
    request: Request, response: Response, db: DbSession, query: LetterListQuery
) -> Sequence[Record]:
    """List the letters that wait, were sent, or could not be. What their links open is not shown.

    `sent_at` is when the letter was last sent, also while it waits to be sent again.
    """
    page = crud_letter.get_letters(db, query=query)
    return answer_page(page, query=query, unit="letters", request=request, response=response)


@router.get(
    "/{letter_id}",
    response_model=LetterPublic,
    responses=problems(404),
    dependencies=[requires(Permission.LETTERS_MANAGE)],
)
def get_letter(letter: VisibleLetter) -> Record:
    """Show a letter, and how its delivery went."""
    return letter


@router.post(
    "/{letter_id}/resend",
    response_model=LetterPublic,
    responses=problems(404, 409),
    dependencies=[requires(Permission.LETTERS_MANAGE), idempotent],
)
def resend_letter(db: DbSession, letter: LockedLetter) -> OutgoingEmail:
    """Have a letter sent again that is dead or sent, or one that is postponed sent now.

    Where its link is no longer good, the letter gets a new one, which ends the link of any other.
    """
    return crud_letter.resend_letter(db, letter=letter)
