"""500 clients at once: each waits its turn for one of a few threads, and none is lost."""

import asyncio
from collections import Counter

import httpx2

from tests.server import Server

CLIENTS = 500


def test_read_me_answers_500_clients_at_once(server: Server) -> None:
    statuses = asyncio.run(_read_me_at_once(server, CLIENTS))

    assert statuses == Counter({200: CLIENTS})


async def _read_me_at_once(server: Server, clients: int) -> Counter[int]:
    limits = httpx2.Limits(max_connections=clients)
    async with httpx2.AsyncClient(base_url=server.url, limits=limits, timeout=60) as client:
        login = {"username": server.admin_email, "password": server.admin_password}
        answer = await client.post("/api/v1/auth/login", data=login)
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        reads = (client.get("/api/v1/users/me", headers=headers) for _ in range(clients))
        return Counter(response.status_code for response in await asyncio.gather(*reads))
