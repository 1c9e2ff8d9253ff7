"""Files that are sent as a form. They wait on the disk, not in memory, for threads of their own."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, Final

from fastapi import Depends, File, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import FormData

from app.api.deps import RequiredPermission, identify
from app.api.limits import sharer_of
from app.api.media_type import refuse_no_upload
from app.api.one_visit import Handler, LongRoute
from app.api.threads import run_in_time
from app.core.config import get_settings
from app.core.errors import UnavailableError

MAX_PARTS: Final = 10  # More are no form of ours.
PLACES_PER_IMPORT: Final = 8  # One runs, the others are sent meanwhile, or wait.


class TooManyImportsError(UnavailableError):
    code = "TOO_MANY_IMPORTS"
    text = "As many imports as may wait here are waiting. Try again in a moment."


class ImportPlaces:
    """Of what is sent, waits and runs, since it takes room on the disk. One user has half of them
    at most.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = Counter[int]()

    @contextmanager
    def taken_by(self, user_id: int) -> Iterator[None]:
        """Raises TooManyImportsError."""
        if self._taken.total() >= self._count or self._taken[user_id] >= self._count // 2:
            raise TooManyImportsError
        self._taken[user_id] += 1
        try:
            yield
        finally:
            self._taken -= Counter([user_id])


class UploadRoute(LongRoute):
    """No file is taken in before it is known who sends it, that they may, and that it has room."""

    def handler_of(self, route: Any, *, stock: Handler | None = None) -> Handler | None:
        handle = super().handler_of(route, stock=stock)
        if handle is None or route.body_field is None:
            return handle

        async def admit(request: Request) -> Response:
            state, seconds = request.app.state, get_settings().REQUEST_TIMEOUT_SECONDS
            refuse_no_upload(request)
            asking = partial(self._refuse_strangers, request)
            whose = sharer_of(request)
            user_id = await run_in_time(state.threads, asking, seconds=seconds, whose=whose)
            with state.import_places.taken_by(user_id):
                return await handle(request)

        return admit

    async def read_body(self, request: Request, *, is_form: bool) -> bytes | FormData:
        if not is_form:
            return await super().read_body(request, is_form=is_form)
        return await request.form(max_files=MAX_PARTS, max_fields=MAX_PARTS)

    def _refuse_strangers(self, request: Request) -> int:
        user = identify(request)
        for dependency in self.dependant.dependencies:
            if isinstance(dependency.call, RequiredPermission):
                dependency.call(user)
        return user.id


async def get_upload(
    request: Request, file: Annotated[UploadFile, File(description="CSV or JSON Lines, in UTF-8.")]
) -> UploadFile:
    """Raises RequestValidationError. The form is there already, so nothing is waited for."""
    names = [name for name, _ in (await request.form()).multi_items()]
    wrong = {name: "extra_forbidden" for name in names if name != "file"}
    if names.count("file") > 1:
        wrong["file"] = "too_long"
    if wrong:
        raise RequestValidationError(
            [
                {"type": kind, "loc": ("body", name), "msg": "", "ctx": {"max_length": 1}}
                for name, kind in wrong.items()
            ]
        )
    return file


Upload = Annotated[UploadFile, Depends(get_upload)]
