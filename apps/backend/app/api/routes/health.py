from collections.abc import Callable
from typing import TypeVar

from fastapi import Request

from app.api.deps import uncounted
from app.api.problems import problems
from app.api.routing import Router
from app.api.threads import Threads, run_in_time
from app.core.errors import UnavailableError
from app.core.rate_limit import RedisUnavailableError
from app.db.borrowing import RequestTimeoutError
from app.db.integrity import DatabaseUnavailableError, SchemaNotReadyError
from app.db.migrations import is_usable
from app.schemas.health import Health, Readiness

router = Router(prefix="/health", tags=["health"])

READINESS_TIMEOUT_SECONDS = 3

T = TypeVar("T")


class ShuttingDownError(UnavailableError):
    code = "SHUTTING_DOWN"
    text = "This process is about to end."


@router.get("", response_model=Health, dependencies=[uncounted])
async def get_health() -> Health:
    """Tell that the process lives."""
    return Health(status="healthy")


@router.get("/ready", response_model=Readiness, responses=problems(503), dependencies=[uncounted])
async def get_readiness(request: Request) -> Readiness:
    """Tell whether requests can be served: database and Redis answer, and the schema fits."""
    if request.app.state.is_ending:
        raise ShuttingDownError
    threads: Threads = request.app.state.probe_threads
    if not await _ask(threads, is_usable, DatabaseUnavailableError):
        raise SchemaNotReadyError
    refuse_silent_redis = request.app.state.limiter.refuse_silent_redis
    await _ask(threads, refuse_silent_redis, RedisUnavailableError)
    return Readiness(status="ready")


async def _ask(threads: Threads, part: Callable[[], T], refusal: type[UnavailableError]) -> T:
    """What is frozen would hold any driver's call for longer."""
    try:
        return await run_in_time(threads, part, seconds=READINESS_TIMEOUT_SECONDS)
    except RequestTimeoutError:
        raise refusal from None
