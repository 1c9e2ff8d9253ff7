"""The one error body (RFC 9457), for every refusal, wherever it arises."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.clock import utc_now
from app.middleware.request_context import request_id_of
from app.schemas.problem import Problem

MEDIA_TYPE: Final = "application/problem+json"

# What a bare status means where whoever refused gave no code.
DEFAULTS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("BAD_REQUEST", "The request cannot be read."),
    404: ("NOT_FOUND", "There is nothing here."),
    405: ("METHOD_NOT_ALLOWED", "This path does not answer this method."),
    408: ("CLIENT_TIMEOUT", "The request did not arrive in time."),
    413: ("BODY_TOO_LARGE", "The request body is too large."),
    431: ("HEADERS_TOO_LARGE", "The headers of the request are too large."),
    500: ("INTERNAL_ERROR", "Something went wrong here. The request id helps to find out what."),
    501: ("NOT_IMPLEMENTED", "This server does not understand the transfer coding of the body."),
    503: ("UNAVAILABLE", "The service cannot answer right now. Try again in a moment."),
}
_IS_PROBLEM: Final = (b"content-type", MEDIA_TYPE.encode())
_KEPT: Final = {"allow", "retry-after", "www-authenticate", "vary"}

log = structlog.get_logger("backdesk.problem")


def problem_response(
    scope: Scope,
    status: int,
    *,
    code: str | None = None,
    detail: str | None = None,
    fields: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    schema: type[Problem] = Problem,
    **more: Any,
) -> Response:
    """Answer the one body; a `schema` beyond it needs `more`."""
    default_code, default_detail = DEFAULTS.get(status, DEFAULTS[400 if status < 500 else 500])
    text = detail or default_detail
    problem = schema(
        status=status,
        title=HTTPStatus(status).phrase,
        error=code or default_code,
        detail=text,
        message=text,
        errors=dict(fields or {}),
        path=_path(scope),
        timestamp=utc_now().replace(microsecond=0),
        request_id=request_id_of(scope),
        **more,
    )
    return Response(problem.model_dump_json(), status, headers, media_type=MEDIA_TYPE)


def _path(scope: Scope) -> str:
    return str(scope["path"]).encode("utf-8", "replace").decode()


class ProblemMiddleware:
    """Answer crashes, and give the error body to every error that left without it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = replaced = False

        async def send_problem(message: Message) -> None:
            nonlocal started, replaced
            if replaced:
                return
            if message["type"] == "http.response.start":
                started = True
                if message["status"] >= 400 and _IS_PROBLEM not in message["headers"]:
                    replaced = True
                    given = Headers(raw=message["headers"])
                    headers = {name: given[name] for name in _KEPT if name in given}
                    problem = problem_response(scope, message["status"], headers=headers)
                    await problem(scope, receive, send)
                    return
            await send(message)

        try:
            await self.app(scope, receive, send_problem)
        except ClientDisconnect:
            pass  # Nobody is left to answer.
        except Exception:
            log.exception("unhandled exception", path=_path(scope), method=scope["method"])
            if not started:
                await problem_response(scope, 500)(scope, receive, send)
