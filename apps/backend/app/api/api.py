"""All routes, put together; and the promise that each says who may call it."""

from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from app.api.deps import (
    RequiredPermission,
    anyone,
    anyone_uncounted,
    check_must_change_password,
    get_current_user,
)
from app.api.limits import RouteLimit
from app.api.routes import (
    accounts,
    audit,
    auth,
    health,
    items,
    jobs,
    letters,
    me,
    pages,
    statistics,
    usage,
    users,
)
from app.core.config import get_settings

# Served to anyone, without FastAPI's dependencies, and so without a declaration.
PAGES: Final = frozenset(
    {"/docs", "/docs/assets", "/account/assets", *pages.ACCOUNT_PAGES, *pages.WAYS_IN}
)


class UndeclaredRouteError(RuntimeError):
    """Stops the start: a route says neither `public`, nor `signed_in`, nor `requires(…)`."""


def add_routes(app: FastAPI) -> None:
    settings = get_settings()
    api = APIRouter(prefix=settings.API_V1_STR)
    # Paths with a word of their own come before those with an id in its place.
    for imports in (users.imports, items.imports):
        api.include_router(imports, max_body_size=settings.MAX_IMPORT_BYTES)
    for resource in (
        auth,
        accounts,
        me,
        users,
        items,
        usage,
        statistics,
        audit,
        letters,
        jobs,
    ):
        api.include_router(resource.router)
    app.include_router(api)
    app.include_router(health.router)
    pages.add_account_pages(app)
    if settings.DOCS_ENABLED:
        pages.add_docs(app)
    refuse_undeclared_routes(app)


def refuse_undeclared_routes(app: FastAPI) -> None:
    """Raises UndeclaredRouteError."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        path = context.path or getattr(route, "path", None)
        is_page = path == f"{app.state.api_prefix}/openapi.json" or path in PAGES
        if access_of(context) is None if isinstance(route, APIRoute) else not is_page:
            raise UndeclaredRouteError(f"{path} declares no permission")


def access_of(context: RouteContext) -> str | None:
    """Return `public`, `signed in` or the permission that the route declares."""
    dependencies = context.dependant.dependencies  # An argument has a name, and declares nothing.
    declared = {child.call for child in dependencies if child.name is None}
    permissions = sorted(c.permission for c in declared if isinstance(c, RequiredPermission))
    if permissions:
        return ", ".join(permissions)
    if declared & {check_must_change_password, get_current_user}:
        return "signed in"
    return "public" if declared & {anyone, anyone_uncounted} else None


def limits_of(context: RouteContext) -> list[str]:
    """Return what the route declares beside the general limits."""
    settings = get_settings()
    declared = (child.call for child in context.dependant.dependencies)
    return [
        f"{getattr(settings, one.limit.setting)} per {one.per}"
        for one in declared
        if isinstance(one, RouteLimit) and one != anyone
    ]


def route_contexts(app: FastAPI) -> list[RouteContext]:
    """Return every route of the API once, hidden aliases left out."""
    return [
        context
        for context in iter_route_contexts(app.routes)
        if isinstance(context.original_route, APIRoute) and context.include_in_schema
    ]
