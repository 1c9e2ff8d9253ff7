"""The tables, for both peers that are built on Django."""

from typing import Any

from django.db import models


class User(models.Model):
    email = models.CharField(max_length=254, unique=True)
    username = models.CharField(max_length=50, unique=True)
    full_name = models.CharField(max_length=100, null=True)
    department = models.CharField(max_length=100, null=True)
    role = models.CharField(max_length=20)
    hashed_password = models.CharField(max_length=255, null=True)
    is_active = models.BooleanField()
    is_verified = models.BooleanField()
    token_quota = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    last_login_at = models.DateTimeField(null=True)
    version = models.IntegerField(default=1)

    is_authenticated = True  # Django REST Framework asks.

    class Meta:
        app_label = "peers"
        db_table = "users"
        managed = False


class Item(models.Model):
    title = models.CharField(max_length=200)
    description = models.TextField(null=True)
    status = models.CharField(max_length=20, default="draft")
    owner = models.ForeignKey(User, on_delete=models.PROTECT)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    version = models.IntegerField(default=1)

    class Meta:
        app_label = "peers"
        db_table = "items"
        managed = False
        ordering = ("id",)


def items_of(user: User) -> "models.QuerySet[Any]":
    return Item.objects.all() if user.role == "admin" else Item.objects.filter(owner_id=user.id)
