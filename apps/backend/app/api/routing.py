from collections.abc import Callable
from typing import Any, Final, get_origin

from fastapi import APIRouter

from app.api.one_visit import WORDS, OneVisitRoute

AUTH_BODY_BYTES: Final = 16 * 1024  # Of what anyone may send: nobody's name or token is longer.


class Router(APIRouter):
    """Runs sync routes in one thread visit, and answers collections with and without a slash."""

    def __init__(self, *, route_class: type[OneVisitRoute] = OneVisitRoute, **options: Any) -> None:
        super().__init__(route_class=route_class, **options)

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().add_api_route(path, endpoint, **options)
        if self.prefix and (word := path.strip("/").partition("/")[0]).isidentifier():
            WORDS.add(word)
        is_collection = get_origin(options.get("response_model")) is list
        if path.endswith("/") or is_collection:
            twin = path.removesuffix("/") if path.endswith("/") else f"{path}/"
            super().add_api_route(twin, endpoint, **{**options, "include_in_schema": False})
