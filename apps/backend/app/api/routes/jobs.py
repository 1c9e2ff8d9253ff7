from typing import Any

from fastapi import Request

from app.api.deps import DbSession, requires
from app.api.idempotency import idempotent
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


@router.post(
    "/{name}/run",
    response_model=JobPublic,
    responses=problems(404, 409),
    dependencies=[requires(Permission.JOBS_RUN), idempotent],
)
def run_job(request: Request, name: str, db: DbSession) -> dict[str, Any]:
    """Run a job now, whether it is due or not, and wait for its end.

    What it does not finish in a few seconds follows in the background. One that fails answers 200
    too: with its `error`.
    """
    schedule.run_job(name, origin=request.state.origin)  # Before `db` takes a connection.
    return schedule.get_job(db, name=name)
