from collections.abc import Sequence
from typing import Annotated, get_args

from fastapi import Depends, Path, Request, Response

from app.api.answers import answer_page
from app.api.deps import CurrentUser, DbSession, or_not_found, requires
from app.api.dry_run import rehearsable
from app.api.exports import add_export_route
from app.api.idempotency import idempotent
from app.api.listing import ListParameters
from app.api.one_visit import LongRoute
from app.api.problems import LIST_ANSWERS, problems
from app.api.routing import Router
from app.core.permissions import Permission
from app.crud import audit as crud_audit
from app.crud import revert as crud_revert
from app.crud.listing import Record
from app.crud.records import get_record
from app.schemas.audit import AuditAction, AuditPublic, Reversal
from app.schemas.base import RecordId
from app.schemas.listing import ListQuery

router = Router(prefix="/audit", tags=["audit"])
reverting = Router(route_class=LongRoute)  # Of an import, it takes as long as that.

event_list = ListParameters(
    AuditPublic, action=get_args(AuditAction), resource_type=crud_audit.resource_types()
)
RequestId = Annotated[
    str,
    or_not_found(crud_revert.RequestNotFoundError, pattern="[0-9a-f]{1,32}"),
    Path(pattern=r"^[0-9a-f]{1,32}$", description="As in `X-Request-ID`."),
]
AuditEventId = Annotated[RecordId, or_not_found(crud_audit.AuditEventNotFoundError), Path()]
EventListQuery = Annotated[ListQuery, Depends(event_list)]


def get_visible_event(audit_event_id: AuditEventId, db: DbSession, actor: CurrentUser) -> Record:
    return get_record(db, crud_audit.EVENTS, record_id=audit_event_id, actor=actor)


VisibleEvent = Annotated[Record, Depends(get_visible_event)]


@router.get(
    "/",
    response_model=list[AuditPublic],
    responses=LIST_ANSWERS,
    dependencies=[requires(Permission.AUDIT_READ)],
    openapi_extra=event_list.openapi(),
)
def get_audit(
    request: Request, response: Response, db: DbSession, query: EventListQuery
) -> Sequence[Record]:
    """List who did what to which record, when, from where, in which request."""
    page = crud_audit.get_events(db, query=query)
    return answer_page(page, query=query, unit="audit", request=request, response=response)


@reverting.post(
    "/{request_id}/revert",
    response_model=Reversal,
    responses=problems(404, 409),
    dependencies=[requires(Permission.AUDIT_REVERT), rehearsable, idempotent],
)
def revert_request(db: DbSession, actor: CurrentUser, request_id: RequestId) -> Reversal:
    """Take back all that one request has changed, or nothing.

    Rows that were changed since are refused, and named as `user.7`. A revert is a request as any
    other, and can be taken back itself.
    """
    reverted = crud_revert.revert_request(db, request_id=request_id, actor=actor)
    return Reversal(reverted=list(reverted))


router.include_router(reverting)


add_export_route(
    router, crud_audit.EVENTS, event_list, name="audit", permission=Permission.AUDIT_EXPORT
)


@router.get(
    "/{audit_event_id}",
    response_model=AuditPublic,
    responses=problems(404),
    dependencies=[requires(Permission.AUDIT_READ)],
)
def get_audit_event(event: VisibleEvent) -> Record:
    """Show one event."""
    return event
