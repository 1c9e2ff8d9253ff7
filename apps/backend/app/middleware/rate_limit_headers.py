"""How much is left of each limit that a request was counted for, on every answer to it.

The headers are those of draft-ietf-httpapi-ratelimit-headers: lists of structured fields.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.types import Scope

from app.core.rate_limit import Standing

# The key in the scope's state: standings by the name of their limit.
STANDINGS: Final = "rate_limits"


def rate_limit_headers(scope: Scope) -> Sequence[tuple[bytes, bytes]]:
    counted: Mapping[str, Sequence[Standing]] = scope["state"].get(STANDINGS, {})
    standings = [one for limit in counted.values() for one in limit]
    if not standings:
        return ()
    policies = (f'"{s.window.name}";q={s.window.quota};w={s.window.seconds}' for s in standings)
    left = (f'"{s.window.name}";r={s.remaining};t={s.reset_seconds}' for s in standings)
    return (
        (b"ratelimit-policy", ", ".join(policies).encode()),
        (b"ratelimit", ", ".join(left).encode()),
    )
