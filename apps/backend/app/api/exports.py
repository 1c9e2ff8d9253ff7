"""Exports over HTTP: their parameters, and an answer that a thread writes while it is sent."""

from collections.abc import Mapping, Sequence
from copy import copy
from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError

from app.api.deps import CurrentUser, limited_by_user, requires
from app.api.dialects import PAGING
from app.api.limits import EXPORT
from app.api.listing import ListParameters
from app.api.routing import Router
from app.api.streaming import StreamedResponse
from app.core.clock import utc_now
from app.core.permissions import Permission, Principal
from app.crud.export_file import get_export, write_export
from app.crud.listing import Listing
from app.schemas.listing import ExportFormat, ExportQuery

# Generated clients take the type of all from the first, and bytes hold each.
MEDIA_TYPES: Final[Mapping[ExportFormat, str]] = {
    ExportFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.JSONL: "application/x-ndjson; charset=utf-8",
}
_BINARY: Final = {"format": "binary"}
EXPORT_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The file.",
        "content": {
            media_type.partition(";")[0]: {"schema": {"type": "string"} | more}
            for media_type, more in zip(MEDIA_TYPES.values(), (_BINARY, {}, {}), strict=True)
        },
        "headers": {
            "Content-Disposition": {
                "schema": {"type": "string"},
                "description": 'The name of the file, such as `filename="users-2026-11-25.csv"`.',
            }
        },
    }
}


# By name: the exports that there are.
EXPORTS: Final[dict[str, tuple[Listing[Any], "ExportParameters"]]] = {}


class _Choice(BaseModel):
    format: Annotated[list[ExportFormat], Field(max_length=1)] = [ExportFormat.CSV]
    columns: Annotated[list[Literal["importable"]], Field(max_length=1)] = []
    bom: Annotated[list[bool], Field(max_length=1)] = [False]


class ExportParameters:
    """A dependency that reads a list's parameters, without a page, and what the file shall be."""

    reads_query: Final = True  # As the list's own.

    def __init__(self, listed: ListParameters, *, has_importable: bool) -> None:
        self._listed = copy(listed)
        self._own = {"format", "bom"} | ({"columns"} if has_importable else set())
        self._listed.names = (listed.names | self._own) - PAGING

    def __call__(self, request: Request, actor: CurrentUser) -> ExportQuery:
        """Raises RequestValidationError, naming the parameter; PermissionDeniedError."""
        return self.read(request.query_params.multi_items(), actor)

    def read(self, given: Sequence[tuple[str, str]], actor: Principal) -> ExportQuery:
        """Raises RequestValidationError, naming the parameter; PermissionDeniedError."""
        _refuse({name for name, _ in given} & PAGING, "An export has no pages: leave this out.")
        own = {
            name: [one for key, one in given if key == name] for name in self._own & {*dict(given)}
        }
        try:
            choice = _Choice.model_validate(own)
        except ValidationError as refusal:
            raise RequestValidationError(
                [{**one, "loc": ("query", one["loc"][0])} for one in refusal.errors()]
            ) from None
        if choice.bom[0] and choice.format[0] is not ExportFormat.CSV:
            _refuse({"bom"}, "Only a CSV may begin with a byte order mark.")
        return ExportQuery(
            rows=self._listed.read((one for one in given if one[0] not in self._own), actor),
            format=choice.format[0],
            is_importable=bool(choice.columns),
            has_bom=choice.bom[0],
        )

    def openapi(self) -> dict[str, Any]:
        csv_or = {"type": "string", "enum": list(ExportFormat), "default": "csv"}
        bom = "Whether a CSV begins with a byte order mark, as Excel needs."
        documented = {
            "format": (csv_or, "Of the file."),
            "bom": ({"type": "boolean", "default": False}, bom),
            "columns": (
                {"type": "string", "enum": ["importable"]},
                "Those that an import takes, instead of the public ones.",
            ),
        }
        listed = self._listed.openapi()["parameters"]
        return {
            "parameters": [
                {"name": name, "in": "query", "schema": schema, "description": text}
                for name, (schema, text) in documented.items()
                if name in self._own
            ]
            + [one for one in listed if one["name"] not in PAGING]
        }


def _refuse(names: set[str], text: str) -> None:
    """Raises RequestValidationError, unless there are none."""
    if names:
        raise RequestValidationError(
            [{"type": "value", "loc": ("query", name), "msg": text} for name in sorted(names)]
        )


def add_export_route(
    router: Router,
    listing: Listing[Any],
    listed: ListParameters,
    *,
    name: str,
    permission: Permission,
    path: str = "/export",
) -> None:
    parameters = ExportParameters(listed, has_importable=listing.importable is not None)
    EXPORTS[name] = listing, parameters

    @router.get(
        path,
        name=f"export_{name}",
        response_class=Response,
        responses=EXPORT_ANSWERS,
        dependencies=[requires(permission), limited_by_user(EXPORT)],
        openapi_extra=parameters.openapi(),
    )
    def export_records(
        request: Request, actor: CurrentUser, query: Annotated[ExportQuery, Depends(parameters)]
    ) -> Response:
        """Download all that the list would show you, as CSV, JSON Lines or XLSX."""
        export = get_export(listing, query=query, actor=actor)
        file = f"{name}-{utc_now():%Y-%m-%d}.{query.format}"
        return StreamedResponse(
            partial(write_export, export=export, origin=request.state.origin),
            media_type=MEDIA_TYPES[query.format],
            headers={
                "Content-Disposition": f'attachment; filename="{file}"',
                "Cache-Control": "no-store",
            },
        )
