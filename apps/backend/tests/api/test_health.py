from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.assertions import assert_error
from tests.settings import changed_settings

LIVE = "/health"
READY = "/health/ready"


def test_get_health_tells_that_the_process_lives(anonymous: TestClient) -> None:
    response = anonymous.get(LIVE)

    assert response.status_code == 200
    assert response.json() == {"status": "healthy"}


def test_get_health_asks_no_database(anonymous: TestClient, tmp_path: Path) -> None:
    with changed_settings(DATABASE_URL=f"sqlite:///{tmp_path}/none/x.db"):
        response = anonymous.get(LIVE)

    assert response.status_code == 200
    assert list(tmp_path.iterdir()) == []


def test_get_readiness_tells_that_requests_can_be_served(anonymous: TestClient) -> None:
    response = anonymous.get(READY)

    assert response.status_code == 200
    assert response.json() == {"status": "ready"}


def test_get_readiness_names_a_schema_that_was_never_made(
    anonymous: TestClient, tmp_path: Path
) -> None:
    with changed_settings(DATABASE_URL=f"sqlite:///{tmp_path}/new.db"):
        response = anonymous.get(READY)

    assert_error(response, 503, "SCHEMA_NOT_READY")
    assert "schema" in response.json()["detail"]
    assert int(response.headers["retry-after"]) >= 1


def test_get_readiness_takes_a_schema_that_a_newer_release_has_made(
    anonymous: TestClient, db: Session
) -> None:
    head = db.scalar(text("SELECT version_num FROM alembic_version"))
    db.execute(text("UPDATE alembic_version SET version_num = 'newer'"))

    response = anonymous.get(READY)

    db.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": head})
    assert response.status_code == 200


@pytest.mark.parametrize("path", [LIVE, READY])
def test_health_is_read_only(anonymous: TestClient, path: str) -> None:
    response = anonymous.post(path)

    assert_error(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", [LIVE, READY])
def test_health_needs_no_login_and_minds_no_bad_one(anonymous: TestClient, path: str) -> None:
    response = anonymous.get(path, headers={"Authorization": "Bearer nonsense"})

    assert response.status_code == 200


@pytest.mark.parametrize("path", [LIVE, READY])
def test_health_is_never_answered_from_a_shared_cache(anonymous: TestClient, path: str) -> None:
    response = anonymous.get(path)

    assert set(response.headers["cache-control"].split(", ")) & {"no-store", "no-cache"}
