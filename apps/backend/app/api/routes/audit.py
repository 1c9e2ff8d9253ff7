from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Request, Response

from app.api.deps import DbSession, requires
from app.api.listing import ListParameters
from app.api.pages import answer_page
from app.api.problems import LIST_ANSWERS
from app.api.routing import Router
from app.core.permissions import Permission
from app.crud import audit as crud_audit
from app.crud.listing import Record
from app.schemas.audit import AuditPublic
from app.schemas.listing import ListQuery

router = Router(prefix="/audit", tags=["audit"])

event_list = ListParameters(AuditPublic)
EventListQuery = Annotated[ListQuery, Depends(event_list)]


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
