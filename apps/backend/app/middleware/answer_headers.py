"""The headers that every answer carries, put on in one go; and HEAD, which is GET without the body.

How much is left of each limit is told as in draft-ietf-httpapi-ratelimit-headers: in lists of
structured fields.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.rate_limit import Standing
from app.middleware.request_context import request_id_of

# The keys in the scope's state.
STANDINGS: Final = "rate_limits"  # What the request was counted for, by the name of the limit.
_IS_HEAD: Final = "is_head"

RawHeaders = Sequence[tuple[bytes, bytes]]

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
_UNCACHED: Final = (b"cache-control", b"private, no-cache")  # Unless the answer says otherwise.


def is_head(scope: Scope) -> bool:
    """Tell whether nobody will see the body."""
    return scope["state"].get(_IS_HEAD, False) is True


class AnswerHeadersMiddleware:
    def __init__(self, app: ASGIApp, docs_path: str, *, is_https: bool) -> None:
        self.app = app
        self.docs_path = docs_path
        self.is_https = is_https  # As clients reach it: a proxy in front may end the TLS.
        self.usual = _security_headers(is_docs=False, is_https=is_https)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        constant = self.usual
        is_docs, is_https = scope["path"] == self.docs_path, scope["scheme"] == "https"
        if is_docs or is_https is not self.is_https:
            constant = _security_headers(is_docs=is_docs, is_https=is_https or self.is_https)
        has_body = scope["method"] != "HEAD"
        if not has_body:  # Answered as GET (RFC 9110, section 9.3.2).
            scope["state"][_IS_HEAD] = True
            scope = {**scope, "method": "GET"}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *constant, *_rate_limit_headers(scope)]
                headers.append((b"x-request-id", request_id_of(scope).encode()))
                if all(name != _UNCACHED[0] for name, _ in headers):
                    headers.append(_UNCACHED)
                message["headers"] = headers
            elif not has_body:
                message = {**message, "body": b""}
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _security_headers(*, is_docs: bool, is_https: bool) -> RawHeaders:
    policy = _DOCS_CSP if is_docs else _CSP
    return (*_ALWAYS, policy, _HSTS) if is_https else (*_ALWAYS, policy)


def _rate_limit_headers(scope: Scope) -> RawHeaders:
    counted: Mapping[str, Sequence[Standing]] = scope["state"].get(STANDINGS, {})
    standings = [one for limit in counted.values() for one in limit]
    if not standings:
        return ()
    policies = (f'"{s.window.name}";q={s.window.quota};w={s.window.seconds}' for s in standings)
    left = (f'"{s.window.name}";r={s.remaining};t={s.reset_seconds}' for s in standings)
    return (
        (b"ratelimit-policy", ", ".join(policies).encode()),
        (b"ratelimit", ", ".join(left).encode()),
    )
