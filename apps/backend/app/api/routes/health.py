from app.api.deps import public
from app.api.problems import problems
from app.api.routing import Router
from app.api.threads import run_in_time
from app.db.borrowing import RequestTimeoutError
from app.db.integrity import DatabaseUnavailableError, SchemaNotReadyError
from app.db.migrations import is_usable
from app.schemas.health import Health, Readiness

router = Router(prefix="/health", tags=["health"])

READINESS_TIMEOUT_SECONDS = 3


@router.get("", response_model=Health, dependencies=[public])
async def get_health() -> Health:
    """Tell that the process lives."""
    return Health(status="healthy")


@router.get("/ready", response_model=Readiness, responses=problems(503), dependencies=[public])
async def get_readiness() -> Readiness:
    """Tell whether requests can be served: the database answers, and its schema fits."""
    try:
        fits = await run_in_time(None, is_usable, seconds=READINESS_TIMEOUT_SECONDS)
    except RequestTimeoutError:
        raise DatabaseUnavailableError from None
    if not fits:
        raise SchemaNotReadyError
    return Readiness(status="ready")
