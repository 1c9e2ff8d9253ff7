"""One version, edited through several processes at once: one edit is made, none is lost."""

from functools import partial

import httpx2

from tests.faults.processes import ServerProcess
from tests.faults.product import ITEMS
from tests.racing import Call, at_once, statuses
from tests.services.postgresql import run

SEEN = {"If-Match": '"1"'}


def edit(server: ServerProcess, item_id: int, number: int) -> httpx2.Response:
    body = {"title": f"by {number}"}
    return server.client.patch(f"{ITEMS}{item_id}", json=body, headers=SEEN)


def test_edits_of_one_version_through_two_processes_are_made_once(
    servers: tuple[ServerProcess, ServerProcess], url: str
) -> None:
    item_id = servers[0].create("Lamp").json()["id"]
    calls: list[Call] = [
        partial(edit, server, item_id, number) for number, server in enumerate(servers * 4)
    ]

    answers = at_once(calls)

    (done,) = [answer for answer in answers if answer.is_success]
    told = [answer.json()["changes"] for answer in answers if answer is not done]
    assert statuses(answers) == {200: 1, 412: 7}
    assert run(url, "SELECT title, version FROM items") == [(done.json()["title"], 2)]
    assert {tuple(change["field"] for change in changes) for changes in told} == {("title",)}
