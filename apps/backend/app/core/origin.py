"""Who does something, from where, in which request: what the audit notes of every deed."""

from dataclasses import dataclass


@dataclass(slots=True)
class Origin:
    """Empty for the command line and for jobs. The actor is known once the request has signed in.

    `address` is the client's own, as far as the proxies on the way are trusted.
    """

    request_id: str | None = None
    address: str | None = None
    device: str = ""
    actor_id: int | None = None
    actor_email: str | None = None
    session_id: int | None = None
