"""Every request has an id of the server's own, in the answer and in each line it logs."""

import secrets
import time
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.config import get_settings
from app.core.origin import Origin

_CLIENT_ID_LENGTH = 128
_LONGEST_ADDRESS: Final = 45  # As the columns are that keep it.
_MOST_PROXIES: Final = 20
_LONGEST_HOP: Final = 64  # An address with its port, and a zone.

# Asked by address, and whatever else is the matter.
PROBES: Final = frozenset({"/health", "/health/", "/health/ready", "/health/ready/"})

log = structlog.get_logger("backdesk.access")


def first_header(scope: Scope, name: bytes) -> str | None:
    """Return the header's value; the name is in lower case, as servers hand it over."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None


def request_id_of(scope: Scope) -> str:
    return str(scope.get("state", {}).get("request_id", ""))


def client_address(scope: Scope, proxies: Sequence[IPv4Network | IPv6Network] = ()) -> str:
    """Walk from the socket back through the trusted proxies, to the first that is none.

    Each proxy appends whom it was called by, so what stands left of that is the client's own say.
    """
    client = scope.get("client")
    address = _read_address(client[0]) if client else None
    if address is None:
        return str(client[0])[:_LONGEST_ADDRESS] if client else ""
    if proxies:
        given = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
        for hop in reversed(given.rsplit(",", _MOST_PROXIES)):
            before = _read_address(hop.strip()[:_LONGEST_HOP])
            if before is None or not any(address in network for network in proxies):
                break
            address = before
    return str(address)


@lru_cache(maxsize=4096)
def _read_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address, with or without a port; IPv4 inside IPv6 is IPv4."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class RequestContextMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        settings = get_settings()
        self.logs_access = settings.ACCESS_LOG
        self.proxies = [ip_network(one) for one in settings.TRUSTED_PROXIES]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = secrets.token_hex(12)
        origin = Origin(request_id=request_id, address=client_address(scope, self.proxies))
        scope.setdefault("state", {}).update(request_id=request_id, origin=origin)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        if client_id := first_header(scope, b"x-request-id"):
            structlog.contextvars.bind_contextvars(client_request_id=client_id[:_CLIENT_ID_LENGTH])
        await self.app(scope, receive, _logging(scope, origin, send) if self.logs_access else send)


def _logging(scope: Scope, origin: Origin, send: Send) -> Send:
    started_at = time.perf_counter()

    async def send_and_log(message: Message) -> None:
        if message["type"] == "http.response.start":
            milliseconds = (time.perf_counter() - started_at) * 1000
            log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=message["status"],
                ms=round(milliseconds, 1),
                user_id=origin.actor_id,
                address=origin.address,
            )
        await send(message)

    return send_and_log
