"""Two servers on one Redis count as one."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

from tests.server import running_server
from tests.services.redis import RedisServer

LOGIN = "/api/v1/auth/login"
ME = "/api/v1/users/me"


def test_two_servers_let_exactly_the_limit_pass(redis: RedisServer, tmp_path: Path) -> None:
    settings = {
        "REDIS_URL": redis.url,
        "RATE_LIMIT_ENABLED": "true",
        "RATE_LIMIT_LOGIN": "7/hour",
        "RATE_LIMIT_USER": "40/day",
    }

    def database(name: str) -> str:
        return f"sqlite:///{tmp_path}/{name}.db"

    with (
        running_server(database_url=database("a"), log=tmp_path / "a", settings=settings) as one,
        running_server(database_url=database("b"), log=tmp_path / "b", settings=settings) as two,
        httpx2.Client(timeout=60) as client,
        ThreadPoolExecutor(12) as threads,
    ):
        form = {"username": one.admin_email, "password": one.admin_password}

        def sign_in(number: int) -> httpx2.Response:
            return client.post((one, two)[number % 2].url + LOGIN, data=form)

        tokens = [sign_in(number).json()["access_token"] for number in range(2)]

        def read_me(number: int) -> int:
            headers = {"Authorization": f"Bearer {tokens[number % 2]}"}
            return client.get((one, two)[number % 2].url + ME, headers=headers).status_code

        logins = Counter(threads.map(lambda number: sign_in(number).status_code, range(20)))
        reads = Counter(threads.map(read_me, range(100)))

    assert logins == {200: 7 - 2, 429: 20 - 5}
    assert reads == {200: 40, 429: 100 - 40}
