"""`Idempotency-Key`: a `POST` that is sent twice is done once, and answered alike.

The answer is stored in the transaction of the deed, just before it is committed, so that a process
that dies in between leaves both or none. Refusals are not stored: nothing was done.
"""

import hashlib
import json
from functools import partial
from typing import Annotated, Final

from fastapi import Depends, Header, Request, Response
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile

from app.api.deps import CurrentUser, DbSession
from app.api.one_visit import before_commit
from app.core.errors import InvalidInputError
from app.crud import idempotency_key as crud_idempotency_key
from app.db.session import read_only
from app.models.idempotency_key import IdempotencyKey

REPLAYED: Final = "Idempotency-Replayed"
# What tells of the answer itself; the rest is of the present request.
STORED_HEADERS: Final = ("content-type", "etag", "location")
CHUNK_BYTES: Final = 2**18

GivenKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description=(
            "Any text of your own, new for each deed, such as a UUID. The same request with the "
            "same key is done once; for 24 hours it is answered as it was the first time."
        ),
    ),
]


class TwoKeysError(InvalidInputError):
    text = "Send one key with a request."
    field = "Idempotency-Key"


class ReplayedAnswer(Exception):  # noqa: N818  No error: what was done before is told again.
    def __init__(self, response: Response) -> None:
        self.response = response
        super().__init__()


async def digest_request(request: Request, actor: CurrentUser, key: GivenKey = None) -> bytes:
    """Hash what is asked for. The body is in memory already, so nothing is waited for.

    Whose role or department has changed meanwhile asks for something else: what was answered may no
    longer be theirs to see.
    """
    if key is None:
        return b""
    digest = hashlib.sha256()
    who = f"{actor.role}\0{actor.department}"
    for part in (who, request.method, request.url.path.removesuffix("/"), request.url.query):
        digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
    if not request.headers.get("content-type", "").startswith("multipart/"):
        digest.update(_canonical(await request.body()))
        return digest.digest()
    for name, value in (await request.form()).multi_items():  # Its boundaries are drawn by lot.
        digest.update(name.encode() + b"\0")
        _digest_value(digest, value)
    return digest.digest()


def _canonical(body: bytes) -> bytes:
    """Write JSON in one way, whatever the order of its keys and the blanks between them."""
    try:
        return json.dumps(json.loads(body), sort_keys=True).encode()
    except (ValueError, RecursionError):  # No JSON; whoever reads it refuses it.
        return body


def _digest_value(digest: "hashlib._Hash", value: UploadFile | str) -> None:
    if isinstance(value, str):
        digest.update(value.encode() + b"\0")
        return
    while piece := value.file.read(CHUNK_BYTES):
        digest.update(piece)
    value.file.seek(0)


def claim_key(
    request: Request,
    db: DbSession,
    actor: CurrentUser,
    digest: Annotated[bytes, Depends(digest_request)],
    key: GivenKey = None,
) -> None:
    """Raises ReplayedAnswer, IdempotencyKeyReusedError, TwoKeysError."""
    if key is None:
        return
    if len(request.headers.getlist("idempotency-key")) > 1:
        raise TwoKeysError
    _replay(crud_idempotency_key.claim_key(db, user_id=actor.id, key=key, request_digest=digest))
    before_commit(partial(_store_answer, db, actor.id, key))


def replay_known(
    actor: CurrentUser, digest: Annotated[bytes, Depends(digest_request)], key: GivenKey = None
) -> None:
    """Look before what is done outside the transaction that claims the key.

    Raises ReplayedAnswer, IdempotencyKeyReusedError.
    """
    if key is not None:
        with read_only() as db:
            _replay(crud_idempotency_key.get_known(db, actor.id, key, request_digest=digest))


def _replay(stored: IdempotencyKey | None) -> None:
    if stored is not None:
        headers = {**(stored.headers or {}), REPLAYED: "true"}
        raise ReplayedAnswer(Response(stored.body, stored.status or 200, headers))


def _store_answer(db: Session, user_id: int, key: str, response: Response) -> Response:
    headers = {name: response.headers[name] for name in STORED_HEADERS if name in response.headers}
    crud_idempotency_key.store_answer(
        db,
        user_id=user_id,
        key=key,
        status=response.status_code,
        headers=headers,
        body=bytes(response.body),
    )
    return response


replayed: Final = Depends(replay_known)
# Stands on every route that writes by POST, behind what permits it and what hashes passwords.
idempotent: Final = Depends(claim_key)
