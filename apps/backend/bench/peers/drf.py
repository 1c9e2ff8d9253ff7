"""Django REST Framework: model serialisers, generic views, its own pagination."""

import os
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "bench.peers.django_settings"
os.environ["ROOT_URLCONF"] = __name__
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402  After the set-up.
from django.db.models import Q, QuerySet  # noqa: E402
from django.http import StreamingHttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework import generics, permissions, serializers  # noqa: E402
from rest_framework.authentication import BaseAuthentication  # noqa: E402
from rest_framework.exceptions import AuthenticationFailed  # noqa: E402
from rest_framework.pagination import LimitOffsetPagination  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

from bench.peers.common import COLUMNS, csv_parts, is_right, tokens_for, user_id_of  # noqa: E402
from bench.peers.django_tables import Item, User, items_of  # noqa: E402


class TokenAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[User, None] | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            return None
        user = User.objects.filter(id=user_id_of(token), is_active=True).first()
        if user is None:
            raise AuthenticationFailed
        return user, None

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002  So in the framework.
        return "Bearer"


class UserSerializer(serializers.ModelSerializer):
    class Meta:
        model = User
        exclude = ("hashed_password",)


class ItemSerializer(serializers.ModelSerializer):
    status = serializers.ChoiceField(("draft", "active", "archived"), default="draft")
    owner_id = serializers.IntegerField(read_only=True)

    class Meta:
        model = Item
        fields = COLUMNS
        read_only_fields = ("version",)


class LoginSerializer(serializers.Serializer):
    username = serializers.CharField()
    password = serializers.CharField()


class Pages(LimitOffsetPagination):
    offset_query_param = "skip"
    default_limit = 100

    def get_paginated_response(self, data: Any) -> Response:
        return Response(data, headers={"X-Total-Count": str(self.count)})


class Protected:
    authentication_classes = (TokenAuthentication,)
    permission_classes = (permissions.IsAuthenticated,)


class Login(APIView):
    authentication_classes = ()

    def post(self, request: Request) -> Response:
        form = LoginSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        name, password = form.validated_data["username"], form.validated_data["password"]
        user = User.objects.filter(Q(email=name) | Q(username=name)).first()
        if user is None or not is_right(password, user.hashed_password):
            raise AuthenticationFailed
        return Response(tokens_for(user.id))


class Me(Protected, generics.RetrieveAPIView):
    serializer_class = UserSerializer

    def get_object(self) -> User:
        return self.request.user


class Items(Protected, generics.ListCreateAPIView):
    serializer_class = ItemSerializer
    pagination_class = Pages

    def get_queryset(self) -> QuerySet[Item]:
        return items_of(self.request.user)

    def perform_create(self, serializer: ItemSerializer) -> None:
        serializer.save(owner_id=self.request.user.id)


class OneItem(Protected, generics.RetrieveUpdateAPIView):
    serializer_class = ItemSerializer

    def get_queryset(self) -> QuerySet[Item]:
        return items_of(self.request.user)

    def perform_update(self, serializer: ItemSerializer) -> None:
        serializer.save(version=serializer.instance.version + 1)


class Export(Protected, APIView):
    def get(self, request: Request) -> StreamingHttpResponse:
        rows = items_of(request.user).values_list(*COLUMNS).iterator(chunk_size=1000)
        return StreamingHttpResponse(csv_parts(rows), content_type="text/csv")


urlpatterns = [
    path("api/v1/auth/login", Login.as_view()),
    path("api/v1/users/me", Me.as_view()),
    path("api/v1/items/", Items.as_view()),
    path("api/v1/items/export", Export.as_view()),
    path("api/v1/items/<int:pk>", OneItem.as_view()),
]

application = get_wsgi_application()
