"""URLs are UTF-8 in percent signs (RFC 3986). Other bytes are refused, not read as U+FFFD."""

import string
from urllib.parse import quote, unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from app.middleware.problem import problem_response


class UrlEncodingMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _is_utf8(scope):
            await self.app(scope, receive, send)
        else:
            refusal = problem_response(scope, 400, detail="The URL is not UTF-8.")
            await refusal(scope, receive, send)


def _is_utf8(scope: Scope) -> bool:
    query: bytes = scope["query_string"]
    if not query.isascii():  # As curl sends what was typed.
        scope["query_string"] = query = quote(query, safe=string.printable).encode()
    if b"%" in query:
        try:
            unquote_to_bytes(query).decode()
        except UnicodeDecodeError:
            return False
    return "\ufffd" not in scope["path"]
