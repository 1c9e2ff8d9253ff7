"""The headers that every answer carries."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-xss-protection", b"0"),  # The old filter that it once switched on was itself a hole.
)
_CSP: Final = (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'")
# Swagger UI starts from an inline script and styles itself.
_DOCS_CSP: Final = (
    b"content-security-policy",
    (
        b"default-src 'self'; script-src 'self' 'unsafe-inline'; "
        b"style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
    ),
)
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
_CACHE: Final = (b"cache-control", b"private, no-cache")


class SecurityHeadersMiddleware:
    def __init__(self, app: ASGIApp, docs_path: str, *, is_https: bool) -> None:
        self.app = app
        self.docs_path = docs_path
        self.is_https = is_https  # As clients reach it: a proxy in front may end the TLS.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        csp = _DOCS_CSP if scope["path"] == self.docs_path else _CSP

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *_ALWAYS, csp]
                if self.is_https or scope["scheme"] == "https":
                    headers.append(_HSTS)
                if all(name != b"cache-control" for name, _ in headers):
                    headers.append(_CACHE)
                message["headers"] = headers
            await send(message)

        await self.app(scope, receive, send_with_headers)
