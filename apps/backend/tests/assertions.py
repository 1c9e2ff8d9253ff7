from datetime import datetime
from typing import Any

from httpx2 import Response

from tests.documented import assert_documented

PROBLEM_KEYS = {
    "status",
    "title",
    "error",
    "detail",
    "message",
    "errors",
    "path",
    "timestamp",
    "request_id",
}


def assert_error(response: Response, status: int, code: str, *fields: str) -> None:
    """Assert the whole of a refusal: status, media type, body, and the fields that it blames."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert set(body) == PROBLEM_KEYS | ({"changes"} if status == 412 else set())
    assert (body["status"], body["error"]) == (status, code), body
    assert set(body["errors"]) == set(fields), body
    assert body["message"] == body["detail"]
    assert body["request_id"] == response.headers["x-request-id"]
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None
    assert_documented(response)


def what_tells(response: Response) -> dict[str, Any]:
    """Return an answer without what differs from request to request, to compare it whole."""
    changing = {"timestamp", "request_id"}
    body = {name: value for name, value in response.json().items() if name not in changing}
    headers = {name: value for name, value in response.headers.items() if name != "x-request-id"}
    return {"status": response.status_code, "body": body, "headers": headers}
