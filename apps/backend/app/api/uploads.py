"""Files that are sent as a form. They wait on the disk, not in memory, for threads of their own."""

from functools import partial
from typing import Annotated, Final

from fastapi import Depends, File, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import FormData

from app.api.deps import RequiredPermission, identify
from app.api.media_type import refuse_no_upload
from app.api.one_visit import OneVisitRoute
from app.api.threads import run_in_time
from app.core.config import get_settings

MAX_PARTS: Final = 10  # More are no form of ours.


class UploadRoute(OneVisitRoute):
    """No file is taken in before it is known who sends it, and that they may."""

    executor = "import_threads"
    time_limit = "IMPORT_TIMEOUT_SECONDS"

    async def read_body(self, request: Request, *, is_form: bool) -> bytes | FormData:
        if not is_form:
            return await super().read_body(request, is_form=is_form)
        refuse_no_upload(request)
        threads, seconds = request.app.state.threads, get_settings().REQUEST_TIMEOUT_SECONDS
        await run_in_time(threads, partial(self._refuse_strangers, request), seconds=seconds)
        return await request.form(max_files=MAX_PARTS, max_fields=MAX_PARTS)

    def _refuse_strangers(self, request: Request) -> None:
        user = identify(request)
        for dependency in self.dependant.dependencies:
            if isinstance(dependency.call, RequiredPermission):
                dependency.call(user)


async def get_upload(
    request: Request,
    file: Annotated[UploadFile, File(description="CSV or JSON Lines in UTF-8, XLSX or ODS.")],
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
