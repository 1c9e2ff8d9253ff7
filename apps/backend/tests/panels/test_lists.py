"""The lists of the panels: what a person does with many records."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.panels.conftest import Api, Driver


def days_from_now(days: int) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}"


def test_list_shows_pages_and_the_records_referred_to(panel: Driver, api: Api) -> None:
    ann = api.make_user("ann@example.com")
    api.make_items(*(f"Paged {number:02}" for number in range(12)), owner_id=ann["id"])
    api.make_items("Left out")
    panel.open(panel.list_path)
    panel.search("Paged")

    first = [f"Paged {number:02}" for number in range(11, 1, -1)]
    panel.wait("ten on the first page", lambda: panel.rows() == first)
    panel.wait("the owners' e-mails", lambda: set(panel.owners()) == {"ann@example.com"})
    panel.next_page()
    panel.wait("two on the second page", lambda: panel.rows() == ["Paged 01", "Paged 00"])
    panel.picture("list")


@pytest.mark.parametrize("resource", ["items", "users"])
def test_list_sorts_by_every_header(panel: Driver, api: Api, resource: str) -> None:
    api.make_items("Sorted")
    panel.open(panel.list_path.replace("items", resource))
    headers = panel.wait("the headers", panel.headers)
    panel.answered(
        "GET", f"/{resource}", 200
    )  # A click before is lost: refine reads the address anew.

    for header in headers:
        panel.forget()
        panel.click(*panel.header(header))
        panel.answered("GET", f"/{resource}", 200)
        panel.click(*panel.header(header))
        panel.wait(
            f"sorted by {header}, both ways",
            lambda: len({one.query for one in panel.answers(f"/{resource}")}) >= 2,
        )
        assert {one.status for one in panel.answers(f"/{resource}")} == {200}, header


def test_list_filters_by_text_choice_and_day(panel: Driver, api: Api) -> None:
    api.make_items("Filtered oak", status="active")
    api.make_items("Filtered pine", status="draft")
    panel.open(panel.list_path)

    panel.search("filtered")
    panel.wait("both found", lambda: panel.rows() == ["Filtered pine", "Filtered oak"])
    panel.filter_status("active")
    panel.wait("the active one", lambda: panel.rows() == ["Filtered oak"])
    panel.filter_created(days_from_now(-1), days_from_now(1))
    panel.answered("GET", "/items", 200)
    panel.wait("a moment with its zone", lambda: "000Z" in panel.answers("/items")[-1].query)
    panel.wait("still the active one", lambda: panel.rows() == ["Filtered oak"])
    panel.filter_created(days_from_now(2), days_from_now(3))
    panel.wait("none of later", lambda: panel.rows() == [])
    panel.picture("filtered")


def test_delete_can_be_undone(panel: Driver, api: Api) -> None:
    api.make_items("Undone lamp", "Undone table")
    panel.open(panel.list_path)
    panel.search("Undone")
    panel.wait("both", lambda: panel.rows() == ["Undone table", "Undone lamp"])

    panel.delete_item("Undone table")
    panel.wait("gone from the list", lambda: panel.rows() == ["Undone lamp"])
    panel.picture("undo")
    panel.undo()
    panel.wait("back in the list", lambda: panel.rows() == ["Undone table", "Undone lamp"])
    panel.delete_item("Undone lamp")

    panel.wait("deleted", lambda: api.titles("Undone") == ["Undone table"])


def test_bulk_actions_change_all_of_the_chosen(panel: Driver, api: Api) -> None:
    items = api.make_items("Bulk lamp", "Bulk shelf", "Bulk table")
    panel.open(panel.list_path)
    panel.search("Bulk")
    panel.wait("all", lambda: panel.rows() == ["Bulk table", "Bulk shelf", "Bulk lamp"])

    panel.choose("Bulk table", "Bulk lamp")
    panel.wait("two chosen", lambda: panel.chosen() == 2)
    panel.picture("chosen")
    panel.archive_chosen()
    panel.answered("PATCH", "/items/bulk", 200)
    statuses = [api.send("GET", f"/items/{item['id']}")["status"] for item in items]
    panel.wait("none chosen", lambda: panel.chosen() == 0)
    panel.choose("Bulk shelf", "Bulk lamp")
    panel.wait("two chosen again", lambda: panel.chosen() == 2)
    panel.delete_chosen()
    panel.answered("POST", "/items/bulk/delete", 200)

    assert statuses == ["archived", "draft", "archived"]
    assert api.titles("Bulk") == ["Bulk table"]


def test_export_holds_what_the_list_shows(panel: Driver, api: Api) -> None:
    api.make_items("Exported b", "Exported a", "Kept back")
    panel.open(panel.list_path)
    panel.search("Exported")
    panel.wait("both", lambda: panel.rows() == ["Exported a", "Exported b"])
    panel.click(*panel.header(panel.title_header))
    panel.wait("sorted", lambda: panel.rows()[0] == "Exported a")

    panel.export()

    file: Path = panel.wait("a file", lambda: next(panel.downloads.glob("items-*.csv"), None))
    with file.open(encoding="utf-8-sig", newline="") as lines:
        titles = [row["title"] for row in csv.DictReader(lines)]
    assert titles == ["Exported a", "Exported b"]
