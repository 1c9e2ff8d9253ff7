"""The application, put together. Importing it connects to nothing."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import cached_property, partial
from typing import Any
from urllib.parse import urlsplit

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from app import __version__
from app.api.api import add_routes
from app.api.error_handlers import add_error_handlers
from app.api.one_visit import fixed_paths
from app.api.openapi import document, operation_id
from app.api.short_way import ShortWay
from app.api.streaming import TooManyExportsError
from app.api.threads import Threads
from app.core.affinity import roam
from app.core.cache import Cache
from app.core.config import Settings, get_settings
from app.core.logging import configure_logging
from app.core.rate_limit import RateLimiter
from app.core.security import HASHES_AT_ONCE
from app.db.session import dispose
from app.middleware.address import AddressMiddleware, OriginMiddleware
from app.middleware.admission import AdmissionMiddleware
from app.middleware.answer_headers import AnswerHeadersMiddleware
from app.middleware.problem import ProblemMiddleware
from app.middleware.request_context import RequestContextMiddleware
from app.tasks.schedule import background_jobs

EXPOSED_HEADERS = (
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Next-Cursor",
    "X-Request-ID",
    "X-Total-Count",
    "X-Total-Count-Estimated",
)

PROBES_AT_ONCE = 2  # They must not wait for requests.

log = structlog.get_logger("backdesk.main")


class Backdesk(FastAPI):
    """FastAPI, with the layers that must see every answer wrapped around the finished stack.

    `add_middleware` would put them inside the ones that answer crashes and large bodies.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """FastAPI would look at each request whether somebody traces it; that is known once."""
        if scope["type"] != "http" or self.middleware_stack is None or self.is_traced:
            await super().__call__(scope, receive, send)
        else:
            scope["app"] = self
            await self.middleware_stack(scope, receive, send)

    @cached_property
    def is_traced(self) -> bool:
        return self._native_telemetry.enabled()

    def build_middleware_stack(self) -> ASGIApp:
        settings = get_settings()
        self.state.fixed_paths = fixed_paths(self)
        inner = app = super().build_middleware_stack()
        if self.user_middleware:
            log.warning("add_middleware() makes every request take FastAPI's own, longer way")
        else:
            app = ShortWay(app, app=self)
        app = AddressMiddleware(app, allowed_hosts=_accepted_hosts(settings))
        app = AdmissionMiddleware(app, settings)
        app = ProblemMiddleware(app)
        app = OriginMiddleware(
            app,
            allow_origins=settings.ALLOWED_ORIGINS,
            allow_credentials="*" not in settings.ALLOWED_ORIGINS,  # No cookies for everybody.
            allow_methods=["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
        )
        if settings.ALLOWED_ORIGINS:
            app = ProblemMiddleware(app)  # For the preflight of a method that it refuses.
        outer = seen_by_every_answer(app)

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            await (outer if scope["type"] == "http" else inner)(scope, receive, send)

        return serve

    def openapi(self) -> dict[str, Any]:
        return document(self)


def seen_by_every_answer(app: ASGIApp) -> ASGIApp:
    return RequestContextMiddleware(AnswerHeadersMiddleware(app))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = get_settings()
    if settings.RATE_LIMIT_ENABLED and settings.WEB_CONCURRENCY > 1 and not settings.REDIS_URL:
        log.warning(
            "each process counts rate limits for itself: set REDIS_URL, or as many times more pass",
            processes=settings.WEB_CONCURRENCY,
        )
    with background_jobs() if settings.JOBS_ENABLED else nullcontext():
        yield
    app.state.limiter.close()
    app.state.cache.close()
    dispose()


def create_app() -> Backdesk:
    settings = get_settings()
    configure_logging()
    app = Backdesk(
        title=settings.PROJECT_NAME,
        version=__version__,
        lifespan=lifespan,
        openapi_url=None,  # The documents are served by our own routes, from our own files.
        redirect_slashes=False,
        max_body_size=settings.MAX_BODY_BYTES,
        generate_unique_id_function=operation_id,
    )
    app.state.api_prefix = settings.API_V1_STR
    app.state.is_ending = False
    _add_threads(app, settings)
    app.state.limiter = RateLimiter(settings)
    app.state.cache = Cache(settings)
    add_error_handlers(app)
    add_routes(app)
    return app


def _add_threads(app: FastAPI, settings: Settings) -> None:
    state, roaming = app.state, partial(Threads, at_start=roam)
    most = settings.MAX_REQUESTS_IN_FLIGHT // 2
    state.threads = Threads(settings.DB_POOL_SIZE, name="request", most_waiting=most)
    state.hashing_threads = roaming(HASHES_AT_ONCE, name="hashing", most_waiting=most)
    imports = 1 if settings.is_sqlite else settings.IMPORTS_AT_ONCE
    state.import_threads = roaming(imports, name="import")
    state.sending = Counter()  # Of each user, the imports that are not done yet.
    state.probe_threads = roaming(PROBES_AT_ONCE, name="probe")
    state.export_threads = roaming(
        settings.EXPORTS_AT_ONCE, name="export", most_waiting=0, refusal=TooManyExportsError
    )


def _accepted_hosts(settings: Settings) -> list[str]:
    if settings.ALLOWED_HOSTS or settings.ENVIRONMENT == "local":
        return settings.ALLOWED_HOSTS
    return [urlsplit(settings.PUBLIC_URL).hostname or "localhost"]
