"""Django Ninja: Pydantic schemas and synchronous operations, rendered by orjson."""

import os
from typing import Any, Literal

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "bench.peers.django_settings"
os.environ["ROOT_URLCONF"] = __name__
django.setup()

import orjson  # noqa: E402  After the set-up.
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db.models import Q  # noqa: E402
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse  # noqa: E402
from django.shortcuts import get_object_or_404  # noqa: E402
from django.urls import path  # noqa: E402
from ninja import Form, NinjaAPI, PatchDict, Schema  # noqa: E402
from ninja.errors import AuthenticationError  # noqa: E402
from ninja.renderers import BaseRenderer  # noqa: E402
from ninja.security import HttpBearer  # noqa: E402
from pydantic import Field  # noqa: E402

from bench.peers.common import COLUMNS, csv_parts, is_right, tokens_for, user_id_of  # noqa: E402
from bench.peers.django_tables import Item, User, items_of  # noqa: E402
from bench.peers.schemas import ItemPublic, Tokens, UserPublic  # noqa: E402


class UserOut(UserPublic, Schema):
    pass


class ItemOut(ItemPublic, Schema):
    pass


class ItemIn(Schema):
    title: str = Field(min_length=1, max_length=200)
    description: str | None = Field(None, max_length=20_000)
    status: Literal["draft", "active", "archived"] = "draft"


class ORJSONRenderer(BaseRenderer):
    """As the documentation gives it."""

    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:  # noqa: ARG002
        return orjson.dumps(data, option=orjson.OPT_UTC_Z)


class TokenAuthentication(HttpBearer):
    def authenticate(self, request: HttpRequest, token: str) -> User | None:  # noqa: ARG002
        return User.objects.filter(id=user_id_of(token), is_active=True).first()


api = NinjaAPI(renderer=ORJSONRenderer(), auth=TokenAuthentication(), openapi_url=None)


@api.post("/auth/login", response=Tokens, auth=None)
def login(request: HttpRequest, username: Form[str], password: Form[str]) -> dict[str, Any]:  # noqa: ARG001
    user = User.objects.filter(Q(email=username) | Q(username=username)).first()
    if user is None or not is_right(password, user.hashed_password):
        raise AuthenticationError
    return tokens_for(user.id)


@api.get("/users/me", response=UserOut)
def read_user_me(request: Any) -> User:
    return request.auth


@api.get("/items/", response=list[ItemOut])
def read_items(request: Any, response: HttpResponse, skip: int = 0, limit: int = 100) -> Any:
    items = items_of(request.auth)
    response["X-Total-Count"] = str(items.count())
    return items[skip : skip + limit]


@api.get("/items/export")
def export_items(request: Any) -> StreamingHttpResponse:
    rows = items_of(request.auth).values_list(*COLUMNS).iterator(chunk_size=1000)
    return StreamingHttpResponse(csv_parts(rows), content_type="text/csv")


@api.get("/items/{item_id}", response=ItemOut)
def read_item(request: Any, item_id: int) -> Item:
    return get_object_or_404(items_of(request.auth), id=item_id)


@api.post("/items/", response={201: ItemOut})
def create_item(request: Any, item_in: ItemIn) -> Item:
    return 201, Item.objects.create(**item_in.dict(), owner_id=request.auth.id)


@api.patch("/items/{item_id}", response=ItemOut)
def update_item(request: Any, item_id: int, item_in: PatchDict[ItemIn]) -> Item:
    item = get_object_or_404(items_of(request.auth), id=item_id)
    for name, value in item_in.items():
        setattr(item, name, value)
    item.version += 1
    item.save()
    return item


urlpatterns = [path("api/v1/", api.urls)]
application = get_wsgi_application()
