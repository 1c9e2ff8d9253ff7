"""Threads that hand over to each other stay on one core; those that work by themselves roam."""

import os
from pathlib import Path

import httpx2
import pytest

from tests.absent import leave_out
from tests.server import Server, running_server


@pytest.fixture
def allowed() -> set[int]:
    """The cores that this process may use, and so the servers that it starts."""
    if not hasattr(os, "sched_getaffinity"):
        leave_out("Only on Linux may a thread choose its cores.")
    return os.sched_getaffinity(0)


def test_threads_of_requests_stay_with_the_event_loop(server: Server, allowed: set[int]) -> None:
    use(server)

    loop, *others = cores_of_threads(server.process.pid)

    assert len(loop) == 1
    assert loop in others  # Of requests.
    assert any(len(cores) == len(allowed) for cores in others)  # Of the login.


def test_threads_roam_where_that_is_wanted(tmp_path: Path, allowed: set[int]) -> None:
    with running_server(
        database_url=f"sqlite:///{tmp_path}/free.db",
        log=tmp_path / "free.log",
        settings={"STAY_ON_ONE_CORE": "false"},
    ) as server:
        use(server)

        threads = cores_of_threads(server.process.pid)

    assert {len(cores) for cores in threads} == {len(allowed)}


def use(server: Server) -> None:
    login = {"username": server.admin_email, "password": server.admin_password}
    token = httpx2.post(f"{server.url}/api/v1/auth/login", data=login).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx2.get(f"{server.url}/api/v1/users/me", headers=headers).status_code == 200


def cores_of_threads(pid: int) -> list[set[int]]:
    """Return the cores that each thread may run on, the first one first."""
    folders = sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda folder: int(folder.name))
    return [allowed_cores((folder / "status").read_text()) for folder in folders]


def allowed_cores(status: str) -> set[int]:
    """Read the list of proc_status(5), such as `0-2,5`."""
    (line,) = [one for one in status.splitlines() if one.startswith("Cpus_allowed_list:")]
    spans = (span.partition("-") for span in line.split()[1].split(","))
    return {core for first, _, last in spans for core in range(int(first), int(last or first) + 1)}
