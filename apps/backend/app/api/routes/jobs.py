from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Request, Response

from app.api.answers import answer_page
from app.api.deps import DbSession, requires
from app.api.idempotency import idempotent, replayed
from app.api.listing import ListParameters
from app.api.problems import LIST_ANSWERS, problems
from app.api.routing import Router
from app.core.permissions import Permission
from app.crud.in_memory import get_page_of
from app.crud.listing import Record
from app.schemas.job import JobPublic
from app.schemas.listing import ListQuery
from app.tasks import schedule

router = Router(prefix="/jobs", tags=["jobs"])

job_list = ListParameters(JobPublic, name=tuple(schedule.JOBS))
JobListQuery = Annotated[ListQuery, Depends(job_list)]


@router.get(
    "/",
    response_model=list[JobPublic],
    responses=LIST_ANSWERS,
    dependencies=[requires(Permission.JOBS_RUN)],
    openapi_extra=job_list.openapi(),
)
def get_jobs(
    request: Request, response: Response, db: DbSession, query: JobListQuery
) -> Sequence[Record]:
    """List what is done in the background, when it is due, and how it went the last time."""
    jobs = schedule.get_jobs(db)
    page = get_page_of(jobs, query=query, searched=("name", "description"))
    return answer_page(page, query=query, unit="jobs", request=request, response=response)


@router.get(
    "/{name}",
    response_model=JobPublic,
    responses=problems(404),
    dependencies=[requires(Permission.JOBS_RUN)],
)
def get_job(name: str, db: DbSession) -> Record:
    """Show a job: when it is due, and how it went the last time."""
    return schedule.get_job(db, name=name)


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
def run_job(name: str, db: DbSession) -> Record:
    """Run a job now, whether it is due or not, and wait for its end.

    What it does not finish in a few seconds follows in the background. One that fails answers 200
    too: with its `error`.
    """
    return schedule.get_job(db, name=name)
