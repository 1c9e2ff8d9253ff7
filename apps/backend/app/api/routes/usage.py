from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Path, Request, Response

from app.api.answers import answer_page, name_location
from app.api.deps import CurrentUser, DbSession, or_not_found, requires
from app.api.exports import add_export_route
from app.api.idempotency import idempotent
from app.api.listing import ListParameters
from app.api.problems import CREATE_ANSWERS, LIST_ANSWERS, problems
from app.api.routing import Router
from app.core.permissions import Permission
from app.crud import usage as crud_usage
from app.crud.listing import Record
from app.crud.records import get_record
from app.schemas.base import RecordId
from app.schemas.listing import ListQuery
from app.schemas.usage import UsageCreate, UsagePublic, UsageRecorded, UserUsage

router = Router(tags=["usage"])

usage_list = ListParameters(UsagePublic)
UsageListQuery = Annotated[ListQuery, Depends(usage_list)]
EventId = Annotated[RecordId, or_not_found(crud_usage.UsageNotFoundError), Path()]


def get_visible_usage(event_id: EventId, db: DbSession, actor: CurrentUser) -> Record:
    return get_record(db, crud_usage.USAGE, record_id=event_id, actor=actor)


VisibleUsage = Annotated[Record, Depends(get_visible_usage)]


@router.get(
    "/usage/",
    response_model=list[UsagePublic],
    responses=LIST_ANSWERS,
    dependencies=[requires(Permission.USAGE_READ)],
    openapi_extra=usage_list.openapi(),
)
def get_usage(
    request: Request, response: Response, db: DbSession, actor: CurrentUser, query: UsageListQuery
) -> Sequence[Record]:
    """List the entries that you may see: what you, your department or all have consumed."""
    page = crud_usage.get_usage(db, query=query, actor=actor)
    return answer_page(page, query=query, unit="usage", request=request, response=response)


@router.post(
    "/usage/",
    status_code=201,
    response_model=UsageRecorded,
    responses=CREATE_ANSWERS | problems(409),
    dependencies=[requires(Permission.USAGE_WRITE), idempotent],
)
def record_usage(
    request: Request, response: Response, db: DbSession, actor: CurrentUser, usage_in: UsageCreate
) -> Record:
    """Consume tokens yourself, or for another where you may write others' usage.

    What is more than the quota leaves for this month is refused as a whole: 429 `QUOTA_EXCEEDED`,
    and `Retry-After` tells when the month turns (UTC). An entry is never changed or deleted.
    """
    event = crud_usage.record_usage(db, usage_in=usage_in, actor=actor)
    name_location(request, response, event["id"])
    return event


add_export_route(
    router,
    crud_usage.USAGE,
    usage_list,
    name="usage",
    permission=Permission.USAGE_EXPORT,
    path="/usage/export",
)


@router.get(
    "/usage/{event_id}",
    response_model=UsagePublic,
    responses=problems(404),
    dependencies=[requires(Permission.USAGE_READ)],
)
def get_usage_event(event: VisibleUsage) -> Record:
    """Show an entry."""
    return event


@router.get(
    "/users/me/usage", response_model=UserUsage, dependencies=[requires(Permission.USAGE_READ)]
)
def get_my_usage(db: DbSession, actor: CurrentUser) -> Record:
    """Tell what you have consumed, in all and this month (UTC), and what remains of your quota."""
    return crud_usage.get_usage_of(db, actor=actor)
