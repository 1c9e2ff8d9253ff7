from typing import Any, Final

from fastapi import APIRouter

from app.api.one_visit import OneVisitRoute

AUTH_BODY_BYTES: Final = 16 * 1024  # Of what anyone may send: nobody's name or token is longer.


class Router(APIRouter):
    """Runs sync routes in one thread visit."""

    def __init__(self, *, route_class: type[OneVisitRoute] = OneVisitRoute, **options: Any) -> None:
        super().__init__(route_class=route_class, **options)
