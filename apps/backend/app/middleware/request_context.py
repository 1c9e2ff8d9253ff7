"""Every request has an id of the server's own, in the answer and in each line it logs."""

import secrets
import time

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.config import get_settings
from app.core.origin import Origin

_CLIENT_ID_LENGTH = 128

log = structlog.get_logger("backdesk.access")


def request_id_of(scope: Scope) -> str:
    return str(scope.get("state", {}).get("request_id", ""))


def client_address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


class RequestContextMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.logs_access = get_settings().ACCESS_LOG

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = secrets.token_hex(12)
        origin = Origin(request_id=request_id, address=client_address(scope))
        scope.setdefault("state", {}).update(request_id=request_id, origin=origin)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        if client_id := Headers(scope=scope).get("x-request-id"):
            structlog.contextvars.bind_contextvars(client_request_id=client_id[:_CLIENT_ID_LENGTH])

        started_at = time.perf_counter()
        header = (b"x-request-id", request_id.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], header]
                if self.logs_access:
                    milliseconds = (time.perf_counter() - started_at) * 1000
                    log.info(
                        "request",
                        method=scope["method"],
                        path=scope["path"],
                        status=message["status"],
                        ms=round(milliseconds, 1),
                        user_id=origin.actor_id,
                        address=origin.address,
                    )
            await send(message)

        await self.app(scope, receive, send_with_id)
