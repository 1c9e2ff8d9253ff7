from collections.abc import Callable
from typing import Any

from fastapi import APIRouter

from app.api.one_visit import OneVisitRoute


class Router(APIRouter):
    """Runs sync routes in one thread visit, and answers a collection without its slash too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=OneVisitRoute, **options)

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().add_api_route(path, endpoint, **options)
        if path.endswith("/"):
            hidden = {**options, "include_in_schema": False}
            super().add_api_route(path.removesuffix("/"), endpoint, **hidden)
