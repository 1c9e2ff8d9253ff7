from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

IS_HEAD: Final = "is_head"  # The key in the scope's state: nobody will see the body.


def is_head(scope: Scope) -> bool:
    return scope["state"].get(IS_HEAD, False) is True


class HeadMiddleware:
    """Answer HEAD as GET without the body (RFC 9110, section 9.3.2), on every path."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        scope.setdefault("state", {})[IS_HEAD] = True
        await self.app({**scope, "method": "GET"}, receive, send_without_body)
