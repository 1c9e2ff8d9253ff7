from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter

from app.api.one_visit import WORDS, OneVisitRoute

AUTH_BODY_BYTES: Final = 16 * 1024  # Of what anyone may send: nobody's name or token is longer.


class Router(APIRouter):
    """Runs sync routes in one thread visit."""

    def __init__(self, *, route_class: type[OneVisitRoute] = OneVisitRoute, **options: Any) -> None:
        super().__init__(route_class=route_class, **options)

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().add_api_route(path, endpoint, **options)
        word = path.strip("/").partition("/")[0]
        if self.prefix and word.isidentifier() and word != "me":
            WORDS.add(word)
