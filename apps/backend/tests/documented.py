"""What the OpenAPI document promises of refusals, held against those that tests meet."""

import re
from functools import cache
from typing import Any

from httpx2 import Response

from app.main import create_app


@cache
def _codes() -> list[tuple[re.Pattern[str], dict[tuple[str, str], list[str]]]]:
    """Return of each path the `error`s that the document lists, by method and status."""
    document = create_app().openapi()
    found = []
    for path in sorted(document["paths"], key=lambda path: path.count("{")):
        pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + "/?")
        found.append((pattern, _codes_of(document, document["paths"][path])))
    return found


def _codes_of(document: dict[str, Any], item: dict[str, Any]) -> dict[tuple[str, str], list[str]]:
    return {
        (method, status): codes_of(document, answer)
        for method, operation in item.items()
        for status, answer in operation["responses"].items()
        if status >= "400"
    }


def codes_of(document: dict[str, Any], answer: dict[str, Any]) -> list[str]:
    reference = answer["content"]["application/problem+json"]["schema"]["$ref"]
    _, own = document["components"]["schemas"][reference.rpartition("/")[2]]["allOf"]
    codes: list[str] = own["properties"]["error"]["enum"]
    return codes


def assert_documented(response: Response) -> None:
    """Assert that the operation lists the code of this refusal, where it lists its status."""
    method, path = response.request.method.lower().replace("head", "get"), response.url.path
    codes = next((codes for pattern, codes in _codes() if pattern.fullmatch(path)), {})
    listed = codes.get((method, str(response.status_code)))
    assert listed is None or response.json()["error"] in listed, (method, path, listed)
