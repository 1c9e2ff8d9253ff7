"""The operations of the OpenAPI document, and what one of them is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.alike.samples import Schema

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    spec: Mapping[str, Any]
    methods_of_path: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_first_of_path(self) -> bool:
        return self.method == self.methods_of_path[0]

    def parameters(self, place: str) -> Mapping[str, Schema]:
        found = self.spec.get("parameters", ())
        return {one["name"]: one["schema"] for one in found if one["in"] == place}

    @cached_property
    def required_query(self) -> frozenset[str]:
        found = self.spec.get("parameters", ())
        required = (one for one in found if one["in"] == "query" and one.get("required"))
        return frozenset(one["name"] for one in required)

    @cached_property
    def body(self) -> tuple[str, Schema] | None:
        """Return the media type and the schema of the body, where one is read."""
        content = self.spec.get("requestBody", {}).get("content", {})
        return next(((kind, one["schema"]) for kind, one in content.items()), None)


def operations_of(document: Mapping[str, Any]) -> list[Operation]:
    return [
        Operation(method.upper(), path, spec, tuple(one.upper() for one in operations))
        for path, operations in document["paths"].items()
        for method, spec in operations.items()
    ]


@dataclass(frozen=True)
class Case:
    """A request, named by what is special about it.

    What stands in `before_commit` has no place in the stock handler: `only_ours` are headers that
    ask for it and leave the answer as it is, and with `may_crash` it changes the answer.
    """

    name: str
    method: str
    path: str
    query: str = ""
    who: Headers = ()
    headers: Headers = ()
    content_type: str | None = None
    body: bytes | None = None
    is_over_limit: bool = False
    only_ours: Headers = ()
    may_crash: bool = False

    @property
    def url(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def all_headers(self) -> Headers:
        kind = () if self.content_type is None else (("Content-Type", self.content_type),)
        return (*self.who, *kind, *self.headers)

    def __str__(self) -> str:
        told = [f"[{self.name}] {self.method} {self.url[:300]}"]
        if self.body is not None:
            told.append(f"{self.content_type} {self.body[:300]!r}")
        return ", ".join(told)
