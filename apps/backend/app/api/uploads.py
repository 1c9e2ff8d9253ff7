"""Files that are sent as a form. They wait on the disk, not in memory, for threads of their own."""

from collections import Counter
from functools import partial
from typing import Annotated, Any, Final

from fastapi import Depends, File, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import WithJsonSchema
from starlette.datastructures import FormData

from app.api.deps import RequiredPermission, check_must_change_password, identify
from app.api.limits import sharer_of
from app.api.media_type import refuse_no_upload
from app.api.one_visit import Handler, LongRoute
from app.api.threads import run_in_time
from app.core.config import get_settings
from app.core.errors import UnavailableError

MAX_PARTS: Final = 10  # More are no form of ours.
# Imports that are sent, wait or run: they take room on the disk. One user has half of them at most.
MOST_SENDING: Final = 16


class TooManyImportsError(UnavailableError):
    code = "TOO_MANY_IMPORTS"
    text = "Too many imports are waiting. Try again in a moment."


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
            await run_in_time(state.threads, asking, seconds=seconds, whose=whose)
            sending: Counter[str] = state.sending
            if sending.total() >= MOST_SENDING or sending[whose] >= MOST_SENDING // 2:
                raise TooManyImportsError
            sending[whose] += 1
            try:
                return await handle(request)
            finally:
                sending.subtract([whose])

        return admit

    async def read_body(self, request: Request, *, is_form: bool) -> bytes | FormData:
        if not is_form:
            return await super().read_body(request, is_form=is_form)
        return await request.form(max_files=MAX_PARTS, max_fields=MAX_PARTS)

    def _refuse_strangers(self, request: Request) -> None:
        user = identify(request)
        check_must_change_password(user)
        for dependency in self.dependant.dependencies:
            if isinstance(dependency.call, RequiredPermission):
                dependency.call(user)


async def get_upload(
    request: Request,
    file: Annotated[
        UploadFile,
        File(description="CSV or JSON Lines in UTF-8, XLSX or ODS."),
        WithJsonSchema({"type": "string", "format": "binary"}),
    ],
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
