"""What a login's tokens open."""

from fastapi.testclient import TestClient

from tests.factories import Login


def bearer(login: Login) -> dict[str, str]:
    return {"Authorization": f"Bearer {login.access_token}"}


def is_signed_in(client: TestClient, login: Login) -> bool:
    """Whether both tokens work; that only one of them does is never right."""
    asked = client.get("/api/v1/users/me", headers=bearer(login)).status_code
    body = {"refresh_token": login.refresh_token}
    refreshed = client.post("/api/v1/auth/refresh", json=body).status_code
    assert (asked, refreshed) in {(200, 200), (401, 401)}
    return asked == 200
