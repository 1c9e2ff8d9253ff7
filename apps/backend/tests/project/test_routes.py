"""Every route says who may call it, and the public ones are these."""

from typing import Final

import pytest
from fastapi import FastAPI, Response
from fastapi.routing import APIRoute, iter_route_contexts

from app.api.api import UndeclaredRouteError, access_of, add_routes
from app.api.deps import CurrentUser
from app.api.routing import Router
from app.main import create_app

PUBLIC: Final = {
    ("POST", "/api/v1/auth/login"),
    ("POST", "/api/v1/auth/refresh"),
    ("POST", "/api/v1/auth/logout"),
    ("POST", "/api/v1/auth/logout-all"),
    ("POST", "/api/v1/auth/register"),
    ("POST", "/api/v1/auth/email/verify"),
    ("POST", "/api/v1/auth/email/verify/confirm"),
    ("POST", "/api/v1/auth/password/forgot"),
    ("POST", "/api/v1/auth/password/reset"),
    ("GET", "/health"),
    ("GET", "/health/ready"),
}
# Served without FastAPI's dependencies, so without a declaration: what it is stands here.
UNDECLARED: Final = {
    "/",
    "/account",
    "/account/",
    "/account/assets",
    "/account/change",
    "/account/forgot",
    "/account/password",
    "/account/resend",
    "/account/verify",
    "/account/{page:path}",
    "/api/v1/openapi.json",
    "/docs",
    "/docs/assets",
}


def test_route_without_a_permission_stops_the_start() -> None:
    app = new_app()

    @app.get("/open")
    def get_open() -> None: ...

    with pytest.raises(UndeclaredRouteError, match="/open"):
        add_routes(app)


def test_route_of_a_router_without_a_permission_stops_the_start() -> None:
    app, router = new_app(), Router(prefix="/open")

    @router.get("/")
    def get_open() -> None: ...

    app.include_router(router, prefix="/api/v1")
    with pytest.raises(UndeclaredRouteError, match="/api/v1/open"):
        add_routes(app)


def test_route_that_only_asks_who_is_there_stops_the_start() -> None:
    app = new_app()

    @app.get("/secrets")
    def get_secrets(actor: CurrentUser) -> None: ...

    with pytest.raises(UndeclaredRouteError, match="/secrets"):
        add_routes(app)


def test_route_past_the_framework_without_a_declaration_stops_the_start() -> None:
    app = new_app()
    app.add_route("/leak", lambda _request: Response("everything"))

    with pytest.raises(UndeclaredRouteError, match="/leak"):
        add_routes(app)


def test_routes_of_the_application_do_not_stop_it() -> None:
    app = new_app()

    add_routes(app)

    assert any(context.path == "/health" for context in iter_route_contexts(app.routes))


def test_public_routes_are_the_listed_ones() -> None:
    public = {
        (method, context.path)
        for context in iter_route_contexts(create_app().routes)
        if isinstance(context.original_route, APIRoute) and access_of(context) == "public"
        for method in context.methods or ()
    }

    assert public == PUBLIC


def test_routes_outside_the_declaration_are_the_listed_ones() -> None:
    paths = {
        getattr(context.original_route, "path", str(context.original_route))
        for context in iter_route_contexts(create_app().routes)
        if not isinstance(context.original_route, APIRoute)
    }

    assert paths == UNDECLARED


def new_app() -> FastAPI:
    app = FastAPI(openapi_url=None)
    app.state.api_prefix = "/api/v1"
    return app
