from typing import Any

from fastapi import Depends, Request

from app.api.deps import DbSession, requires
from app.api.idempotency import idempotent, replayed
from app.api.problems import problems
from app.api.routing import Router
from app.core.permissions import Permission
from app.schemas.job import JobPublic
from app.tasks import schedule

router = Router(prefix="/jobs", tags=["jobs"])


@router.get("/", response_model=list[JobPublic], dependencies=[requires(Permission.JOBS_RUN)])
def get_jobs(db: DbSession) -> list[dict[str, Any]]:
    """List what is done in the background, when it is due, and how it went the last time."""
    return schedule.get_jobs(db)


def run_named_job(request: Request, name: str) -> None:
    schedule.run_job(name, origin=request.state.origin)


@router.post(
    "/{name}/run",
    response_model=JobPublic,
    responses=problems(404, 409),
    # The job commits what it does, so it runs ahead of the transaction that claims the key: sent
    # again after a crash in between, it runs again.
    dependencies=[requires(Permission.JOBS_RUN), replayed, Depends(run_named_job), idempotent],
)
def run_job(name: str, db: DbSession) -> dict[str, Any]:
    """Run a job now, whether it is due or not, and wait for its end.

    What it does not finish in a few seconds follows in the background. One that fails answers 200
    too: with its `error`.
    """
    return schedule.get_job(db, name=name)
