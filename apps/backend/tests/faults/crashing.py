"""The product, in a process that dies when a write is committed and its answer is to be sent."""

import os

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.main import create_app


def create() -> ASGIApp:
    app = create_app()

    async def crash(scope: Scope, receive: Receive, send: Send) -> None:
        async def die_or_send(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["method"] == "POST":
                os._exit(9)
            await send(message)

        await app(scope, receive, die_or_send)

    return crash
