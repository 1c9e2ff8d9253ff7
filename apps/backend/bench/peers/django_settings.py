"""Django's settings for both peers that are built on it."""

import os
from typing import Any, Final

from sqlalchemy.engine import make_url

from bench.peers.common import DATABASE_URL, POOL_SIZE, SECRET_KEY

__all__ = ["SECRET_KEY"]

_url: Final = make_url(DATABASE_URL)

DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
APPEND_SLASH = False
ROOT_URLCONF = os.environ["ROOT_URLCONF"]
INSTALLED_APPS: list[str] = []
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": _url.host,
        "PORT": _url.port,
        "USER": _url.username,
        "PASSWORD": _url.password,
        "NAME": _url.database,
        "OPTIONS": {"pool": {"min_size": POOL_SIZE, "max_size": POOL_SIZE}},
    }
}
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "rest_framework.parsers.JSONParser",
        "rest_framework.parsers.FormParser",
    ],
    "UNAUTHENTICATED_USER": None,
}
