"""The headers that every answer carries, put on in one go."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.middleware.rate_limit_headers import rate_limit_headers
from app.middleware.request_context import request_id_of
from app.middleware.security_headers import UNCACHED, security_headers

_CACHE_CONTROL: Final = UNCACHED[0]


class AnswerHeadersMiddleware:
    def __init__(self, app: ASGIApp, docs_path: str, *, is_https: bool) -> None:
        self.app = app
        self.docs_path = docs_path
        self.is_https = is_https  # As clients reach it: a proxy in front may end the TLS.
        self.usual = security_headers(is_docs=False, is_https=is_https)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        constant = self.usual
        is_docs, is_https = scope["path"] == self.docs_path, scope["scheme"] == "https"
        if is_docs or is_https is not self.is_https:
            constant = security_headers(is_docs=is_docs, is_https=is_https or self.is_https)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *constant, *rate_limit_headers(scope)]
                headers.append((b"x-request-id", request_id_of(scope).encode()))
                if all(name != _CACHE_CONTROL for name, _ in headers):
                    headers.append(UNCACHED)
                message["headers"] = headers
            await send(message)

        await self.app(scope, receive, send_with_headers)
