"""URLs are UTF-8 in percent signs (RFC 3986). Other bytes are refused, not read as U+FFFD."""

import string
from urllib.parse import quote, unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from app.middleware.problem import problem_response

REPLACEMENT = "\ufffd"  # What a server reads for bytes in a path that are no UTF-8.


class UrlEncodingMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_readable(scope):
            refusal = problem_response(
                scope, 400, code="INVALID_URL", detail="The URL is no UTF-8."
            )
            await refusal(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _is_readable(scope: Scope) -> bool:
    query: bytes = scope["query_string"]
    if b"%" in query or not query.isascii():
        try:
            unquote_to_bytes(query).decode()
        except UnicodeDecodeError:
            return False
        if not query.isascii():  # As curl sends what was typed.
            scope["query_string"] = quote(query, safe=string.printable).encode()
    return REPLACEMENT not in scope["path"]
