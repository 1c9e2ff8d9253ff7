"""How many processes `serve` starts where nobody says it."""

import pytest

from app.cli.server import MOST_WORKERS, sensible_workers
from app.core.affinity import number_of_cores
from app.core.config import Settings

SHARED = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": "kR7-vQ2_mX9pL4tZ8wB1nC6yD3fG5hJ0sA",
    "DATABASE_URL": "postgresql://backdesk:hush-hush@db/backdesk",
    "PUBLIC_URL": "https://backdesk.example.com",
    "REDIS_URL": "redis://cache:6379/0",
}


def workers_with(monkeypatch: pytest.MonkeyPatch, **values: str | None) -> int:
    for name, value in (SHARED | values).items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(
            name, value
        )
    return sensible_workers(Settings())


def test_workers_are_as_many_as_cores_where_they_share_what_they_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert workers_with(monkeypatch) == min(MOST_WORKERS, number_of_cores())


@pytest.mark.parametrize(
    "values",
    [
        {"REDIS_URL": None},
        {"DATABASE_URL": "sqlite:////srv/backdesk.db"},
        {"ENVIRONMENT": "local"},
    ],
)
def test_one_worker_counts_for_itself(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str | None]
) -> None:
    assert workers_with(monkeypatch, **values) == 1


def test_workers_are_as_many_as_somebody_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert workers_with(monkeypatch, WEB_CONCURRENCY="3") == 3
