"""The short way from a path to its route.

FastAPI asks one router and route after the other whether a path is theirs, and leads each request
through nine layers, most of which have nothing to do for a sync route. Here a table knows the
routes, and a request goes straight to its visit. Whatever the table does not know takes FastAPI's
own way: other paths and methods, and async routes; and all of them while a test overrides
dependencies, or a tracer listens.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.one_visit import Handler, OneVisitRoute, has_no_word

TRACED: Final = "fastapi.telemetry"  # The keys in the scope.
_HANDLER: Final = "backdesk.handler"
_BODY_HEADERS: Final = frozenset({b"content-length", b"transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Way:
    """Where a route is, and who handles its requests; where nobody does here, FastAPI has to."""

    context: RouteContext
    handler: Handler | None

    def parameters(self, path: str) -> dict[str, Any] | None:
        """Return the parameters in the path; None where it is another's."""
        found = self.context.path_regex.match(path)
        if found is None:
            return None
        convertors = self.context.param_convertors
        parameters = {
            name: convertors[name].convert(text) for name, text in found.groupdict().items()
        }
        return parameters if has_no_word(parameters) else None


Found = tuple[Way, dict[str, Any]]  # With the parameters in the path.


class RouteTable:
    """The routes by method and path, each found where FastAPI would find it."""

    def __init__(self, app: FastAPI) -> None:
        self._fixed: dict[tuple[str, str], Found] = {}
        self._patterns: dict[tuple[str, int], list[Way]] = defaultdict(list)
        for context in iter_route_contexts(app.routes):
            route = context.original_route
            handler = route.handler_of(context) if isinstance(route, OneVisitRoute) else None
            way = Way(context, handler)
            for method in context.methods or ():
                self._patterns[method, _depth(str(context.path))].append(way)
        for (method, _), ways in self._patterns.items():
            bare = [str(way.context.path).removesuffix("/") for way in ways]
            for path in (*bare, *(f"{one}/" for one in bare)):
                if found := self._search(method, path):
                    self._fixed[method, path] = found

    def find(self, method: str, path: str) -> Found | None:
        return self._fixed.get((method, path)) or self._search(method, path)

    def _search(self, method: str, path: str) -> Found | None:
        for way in self._patterns.get((method, _depth(path)), ()):
            parameters = way.parameters(path)
            if parameters is not None:
                return way, parameters
        return None


def _depth(path: str) -> int:
    return path.removesuffix("/").count("/")


class ShortWay:
    def __init__(self, long_way: ASGIApp, *, app: FastAPI) -> None:
        self.long_way = long_way
        self.app = app
        self.table = RouteTable(app)
        handlers = dict(app.exception_handlers)
        for of_crashes in (500, Exception):  # As in FastAPI, which has a layer of its own for them.
            handlers.pop(of_crashes, None)
        self.visit = ExceptionMiddleware(_visit, handlers=handlers)
        self.bounded = cache(partial(RequestBodyLimitMiddleware, self.visit))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._find(scope)
        if found is None or found[0].handler is None:
            await self.long_way(scope, receive, send)
            return
        way, scope["path_params"] = found[0], dict(found[1])
        scope[_HANDLER] = way.handler
        scope["route"], scope["endpoint"] = way.context.original_route, way.context.endpoint
        scope["router"] = self.app.router
        most_bytes = way.context.max_body_size
        may_have_body = scope["method"] != "GET" or any(
            name in _BODY_HEADERS for name, _ in scope["headers"]
        )
        is_bounded = may_have_body and most_bytes is not None
        await (self.bounded(most_bytes) if is_bounded else self.visit)(scope, receive, send)

    def _find(self, scope: Scope) -> Found | None:
        is_short = (
            scope["type"] == "http"
            and not scope.get("root_path")
            and TRACED not in scope
            and not self.app.dependency_overrides
        )
        return self.table.find(scope["method"], scope["path"]) if is_short else None


async def _visit(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive, send)
    response = await scope[_HANDLER](request)
    await response(scope, receive, send)
