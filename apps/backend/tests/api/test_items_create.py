from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import Item, User
from tests.assertions import assert_error

URL = "/api/v1/items/"


def test_create_item_answers_the_record_and_its_place(as_user: TestClient, user: User) -> None:
    response = as_user.post(URL, json={"title": "Desk lamp"})

    record = response.json()
    assert response.status_code == 201
    assert record["owner_id"] == user.id
    assert record["status"] == "draft"
    assert as_user.get(response.headers["location"]).json() == record


def test_create_item_refuses_an_empty_title(as_user: TestClient, db: Session) -> None:
    response = as_user.post(URL, json={"title": ""})

    assert_error(response, 422, "INVALID_REQUEST", "title")
    assert db.scalar(select(func.count()).select_from(Item)) == 0
