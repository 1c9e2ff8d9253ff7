"""Files, as a browser sends them."""

from collections.abc import Sequence
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response


def send_file(
    client: TestClient, url: str, content: str | bytes, *, name: str = "file.csv", **query: Any
) -> Response:
    data = content.encode() if isinstance(content, str) else content
    return client.post(url, params=query, files={"file": (name, data)})


def csv_of(heading: str, rows: Sequence[str]) -> str:
    return "\n".join([heading, *rows, ""])
