"""The parameters of a list, read in one go; and the headers of its page."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import NoneType
from typing import Annotated, Any, Final, get_args
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
)

from app.api.dialects import PAGING, DialectError, translate
from app.core.config import get_settings
from app.crud.listing import Page, Record
from app.schemas.base import MAX_SAFE_INTEGER, Moment, Schema, refuse_unstorable_text
from app.schemas.listing import Filter, ListQuery, Operator, SortKey

DEFAULT_LIMIT: Final = 100

_Text = Annotated[str, Field(max_length=200), AfterValidator(refuse_unstorable_text)]
_Whole = Annotated[int, Field(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER)]


def _start_of_day(value: Any) -> Any:
    """Date pickers send a day alone; it begins at midnight UTC."""
    is_day = isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII)
    return f"{value}T00:00:00Z" if is_day else value


_DayOrMoment = Annotated[Moment, BeforeValidator(_start_of_day)]

_EQUALITY: Final[tuple[Operator, ...]] = ("eq", "ne")
_ORDER: Final[tuple[Operator, ...]] = ("gt", "gte", "lt", "lte")
# What a field of the public schema is compared with, and how.
_FILTERS: Final[Mapping[type, tuple[Any, tuple[Operator, ...]]]] = {
    bool: (bool, _EQUALITY),
    int: (_Whole, _EQUALITY + _ORDER),
    datetime: (_DayOrMoment, _EQUALITY + _ORDER),
    str: (_Text, (*_EQUALITY, *_ORDER, "like")),
}

PAGE_HEADERS: Final = {
    "X-Total-Count": "How many records there are in all pages; absent with `after`.",
    "Content-Range": "Which of them these are, such as `users 0-24/319`; absent with `after`.",
    "Link": "The first, previous, next and last page (RFC 8288).",
    "X-Next-Cursor": "What to send as `after` for the next page, where the sort has cursors.",
}


class _Paging(BaseModel):
    model_config = ConfigDict(extra="forbid")

    q: list[_Text] = Field([], description="Text search, without regard to case.")
    sort: list[_Text] = []
    skip: list[Annotated[int, Field(ge=0, le=MAX_SAFE_INTEGER)]] = [0]
    limit: list[Annotated[int, Field(ge=1)]] = [DEFAULT_LIMIT]
    after: list[Annotated[str, Field(max_length=2000)]] = []


class ListParameters:
    """A dependency that reads the query string of one resource's list into a ListQuery.

    Every scalar field of the public schema is a filter and a sort key.
    """

    reads_query: Final = True  # It refuses unknown names itself, after the translation.

    def __init__(self, schema: type[Schema]) -> None:
        self._filters = {
            name if operator == "eq" else f"{name}_{operator}": (name, operator, annotation)
            for name, operator, annotation in _filters_of(schema)
        }
        self._sortable = frozenset(schema.model_fields)
        fields: dict[str, Any] = {
            parameter: (_list_of(annotation), [])
            for parameter, (*_, annotation) in self._filters.items()
        }
        self._model: type[_Paging] = create_model(
            f"{schema.__name__}List", __base__=_Paging, **fields
        )

    def __call__(self, request: Request) -> ListQuery:
        """Raises RequestValidationError, naming the parameter."""
        try:
            given = self._model.model_validate(translate(request.query_params.multi_items()))
        except DialectError as error:
            raise _refusal(error.parameter, str(error)) from None
        except ValidationError as error:
            raise RequestValidationError(
                [{**one, "loc": ("query", one["loc"][0])} for one in error.errors()]
            ) from None
        maximum = get_settings().MAX_PAGE_SIZE
        if given.limit[-1] > maximum:
            raise _refusal("limit", f"Must be at most {maximum}.")
        return ListQuery(
            filters=tuple(
                Filter(field, operator, tuple(getattr(given, parameter)))
                for parameter, (field, operator, _) in self._filters.items()
                if parameter in given.model_fields_set
            ),
            q=given.q[-1] if given.q else None,
            sort=tuple(self._sort_keys(given.sort)),
            skip=given.skip[-1],
            limit=given.limit[-1],
            after=given.after[-1] if given.after else None,
        )

    def _sort_keys(self, given: Sequence[str]) -> Iterator[SortKey]:
        seen = set()
        for part in ",".join(given).split(",") if given else ():
            field = part.removeprefix("-")
            if field not in self._sortable:
                raise _refusal("sort", "Unknown field to sort by.")
            if field not in seen:
                seen.add(field)
                yield SortKey(field, descending=part.startswith("-"))

    def openapi(self) -> dict[str, Any]:
        """Document the native parameters; the dialects are for clients that know them already."""
        sorts = [sign + name for name in sorted(self._sortable) for sign in ("", "-")]
        whole = {"type": "integer", "maximum": MAX_SAFE_INTEGER}
        documented = [
            _parameter("q", {"type": "string", "maxLength": 200}, "Text search."),
            _parameter(
                "sort",
                {"type": "array", "items": {"type": "string", "enum": sorts}},
                "Fields, the first decides; `-` reverses. The id always comes last.",
            )
            | {"explode": False},
            _parameter("skip", {**whole, "minimum": 0, "default": 0}, "Offset of the page."),
            _parameter(
                "limit", {**whole, "minimum": 1, "default": DEFAULT_LIMIT}, "Size of the page."
            ),
            _parameter(
                "after",
                {"type": "string", "maxLength": 2000},
                "The `X-Next-Cursor` of the page before: costs the same at any depth.",
            ),
        ]
        for name, (field, operator, annotation) in self._filters.items():
            schema = TypeAdapter(_list_of(annotation)).json_schema(mode="validation")
            schema.pop("$defs", None)
            documented.append(_parameter(name, schema, _MEANINGS[operator].format(field)))
        return {"parameters": documented}


_MEANINGS: Final[Mapping[Operator, str]] = {
    "eq": "`{}` is one of these.",
    "ne": "`{}` is none of these.",
    "gt": "`{}` is greater.",
    "gte": "`{}` is greater or equal.",
    "lt": "`{}` is less.",
    "lte": "`{}` is less or equal.",
    "like": "`{}` contains this, without regard to case.",
}


def _list_of(annotation: Any) -> Any:
    return list[annotation]


def _filters_of(schema: type[Schema]) -> Iterator[tuple[str, Operator, Any]]:
    for name, field in schema.model_fields.items():
        kinds = set(get_args(field.annotation)) or {field.annotation}
        is_nullable = NoneType in kinds
        (kind,) = kinds - {NoneType}
        annotation, operators = _FILTERS.get(kind, (kind, _EQUALITY))  # Else a choice (StrEnum).
        for operator in operators:
            may_be_null = is_nullable and operator in _EQUALITY
            yield name, operator, annotation | None if may_be_null else annotation


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _refusal(parameter: str, text: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value", "loc": ("query", parameter), "msg": text}])


def answer_page(
    page: Page, *, query: ListQuery, unit: str, request: Request, response: Response
) -> Sequence[Record]:
    """Put the page's place into the headers, and return its records."""
    links = {}
    if page.next_cursor is not None:
        response.headers["X-Next-Cursor"] = page.next_cursor
        links["next"] = {"after": page.next_cursor, "limit": query.limit}
    if page.total is not None:
        count = len(page.records)
        place = f"{query.skip}-{query.skip + count - 1}" if count else "*"
        response.headers["X-Total-Count"] = str(page.total)
        response.headers["Content-Range"] = f"{unit} {place}/{page.total}"
        links = _offset_links(query, page.total)
    if links:
        response.headers["Link"] = ", ".join(
            f'<{_page_url(request, place)}>; rel="{name}"' for name, place in links.items()
        )
    return page.records


def _offset_links(query: ListQuery, total: int) -> dict[str, dict[str, Any]]:
    skips = {"first": 0, "last": max(total - 1, 0) // query.limit * query.limit}
    if query.skip > 0:
        skips["prev"] = max(query.skip - query.limit, 0)
    if query.skip + query.limit < total:
        skips["next"] = query.skip + query.limit
    return {name: {"skip": skip, "limit": query.limit} for name, skip in skips.items()}


def _page_url(request: Request, place: Mapping[str, Any]) -> str:
    kept = [
        (name, value) for name, value in request.query_params.multi_items() if name not in PAGING
    ]
    return f"{request.url.path}?{urlencode([*kept, *place.items()])}"
