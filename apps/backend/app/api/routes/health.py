import asyncio

from app.api.deps import public
from app.api.problems import problems
from app.api.routing import Router
from app.core.errors import UnavailableError
from app.db.integrity import DatabaseUnavailableError
from app.db.migrations import is_usable
from app.schemas.health import Health, Readiness

router = Router(prefix="/health", tags=["health"])

READINESS_TIMEOUT_SECONDS = 3


class SchemaNotReadyError(UnavailableError):
    code = "SCHEMA_NOT_READY"
    text = "The database's schema is not at this release's version. Run: migrate."


@router.get("", response_model=Health, dependencies=[public])
async def get_health() -> Health:
    """Tell that the process lives."""
    return Health(status="healthy")


@router.get("/ready", response_model=Readiness, responses=problems(503), dependencies=[public])
async def get_readiness() -> Readiness:
    """Tell whether requests can be served: the database answers, and its schema fits."""
    try:
        # The bound is here: a frozen database would hold any driver's call for longer.
        async with asyncio.timeout(READINESS_TIMEOUT_SECONDS):
            fits = await asyncio.to_thread(is_usable)
    except TimeoutError:
        raise DatabaseUnavailableError from None
    if not fits:
        raise SchemaNotReadyError
    return Readiness(status="ready")
