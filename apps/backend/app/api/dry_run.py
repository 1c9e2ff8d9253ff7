"""`?dry_run=true`: the same code runs, its changes are told, and nothing of them stays.

What would be refused is refused as without it. What changed is read from the audit, which the same
transaction has written.
"""

from functools import partial
from typing import Annotated, Final

from fastapi import Depends, Query, Response
from sqlalchemy.orm import Session

from app.api.deps import DbSession
from app.api.one_visit import before_commit
from app.crud import audit as crud_audit
from app.db.session import rehearse
from app.schemas.audit import DryRun

IsDryRun = Annotated[
    bool,
    Query(alias="dry_run", description="Only tell what would change, and change nothing."),
]


def allow_dry_run(db: DbSession, is_dry_run: IsDryRun = False) -> None:
    if is_dry_run:
        rehearse(db)
        before_commit(partial(_tell_changes, db))


def _tell_changes(db: Session, _response: Response) -> Response:
    told = DryRun(changes=crud_audit.get_changes_of_request(db))
    return Response(told.model_dump_json(), media_type="application/json")


# Stands on every route that creates, changes or deletes records.
rehearsable: Final = Depends(allow_dry_run)
