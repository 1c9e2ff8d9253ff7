"""The parameters of a list, read in one go."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import chain
from types import GenericAlias, NoneType
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from starlette.datastructures import QueryParams

from app.api.deps import CurrentUser
from app.api.dialects import NAMES, PAGING, ParameterError, Parameters, translate, translate_filter
from app.api.suggestions import suggest
from app.api.wording import MOMENT, text_of
from app.core.clock import midnight
from app.core.config import get_settings
from app.core.errors import PermissionDeniedError
from app.core.permissions import Permission, Principal
from app.core.text import fold
from app.schemas.base import (
    DIGITS,
    EMPTY,
    MAX_BULK,
    MAX_SAFE_INTEGER,
    Moment,
    Schema,
    default_zone,
    refuse_unstorable_text,
)
from app.schemas.listing import Filter, ListQuery, Operator, SortKey
from app.schemas.user import email_as_stored

DEFAULT_LIMIT: Final = 100
KEPT_QUERIES: Final = 500
MOST_COMPARED: Final = 100  # Values of one parameter that no index looks up.
MOST_WORDS: Final = 32  # Of a search.
LONGEST_KEPT_QUERY: Final = 300  # Bytes; read, it takes twenty times as many.

_Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=1000),
    AfterValidator(refuse_unstorable_text),
]
_Whole = Annotated[int, Field(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER), DIGITS]


def _read_search(text: str) -> str | None:
    """None is what holds no words."""
    words = set(fold(text).split())
    if len(words) > MOST_WORDS:
        raise PydanticCustomError("words", f"Must have at most {MOST_WORDS} different words.")
    return text.strip() if words else None


def _with_stored_emails(text: str) -> str:
    """Write the addresses among the words as the stored ones are."""
    return " ".join(email_as_stored(word) if "@" in word else word for word in text.split())


_Search = Annotated[_Text, Field(max_length=200), AfterValidator(_read_search)]

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# In a query string a `+` is a blank, so that zones arrive without theirs.
_LOST_PLUS: Final = re.compile(rf"({_DAY.pattern}[Tt ][\d:.]+) (\d\d:?\d\d)", re.ASCII)


def _read_span(value: Any, read: ValidatorFunctionWrapHandler) -> tuple[datetime, datetime]:
    """Return the first and the last moment that are meant; of a day, which date pickers send, they
    are a day apart. A bare number is no date.
    """
    text = str(value).strip()
    if _DAY.fullmatch(text):
        first = read(f"{text}T00:00:00")
        following = date.fromisoformat(text) + timedelta(days=1)
        return first, midnight(following, default_zone()) - datetime.resolution
    if "T" not in text.upper() and " " not in text:
        raise PydanticCustomError("date", MOMENT)
    moment = read(_LOST_PLUS.sub(r"\1+\2", text))
    return moment, moment


_Span = Annotated[Moment, WrapValidator(_read_span)]

_EQUALITY: Final[tuple[Operator, ...]] = ("eq", "ne")
_ORDER: Final[tuple[Operator, ...]] = ("gt", "gte", "lt", "lte")
# What a field of the public schema is compared with, and how.
_FILTERS: Final[Mapping[type, tuple[Any, tuple[Operator, ...]]]] = {
    bool: (bool, _EQUALITY),
    int: (_Whole, _EQUALITY + _ORDER),
    datetime: (_Span, _EQUALITY + _ORDER),
    str: (_Text, (*_EQUALITY, *_ORDER, "like")),
}
_ONCE: Final = Field(max_length=1)  # Two pages in one request: which one was meant?


def _within_page(limit: int) -> int:
    maximum = get_settings().MAX_PAGE_SIZE
    if limit > maximum:
        raise PydanticCustomError("limit", f"Must be at most {maximum}.")
    return limit


_Skip = Annotated[int, Field(ge=0, le=MAX_SAFE_INTEGER), DIGITS]
_Limit = Annotated[int, Field(ge=1, le=MAX_SAFE_INTEGER), AfterValidator(_within_page), DIGITS]


class _Parameters(BaseModel):
    """Those of every list. Each holds all that was given under its name."""

    model_config = ConfigDict(extra="forbid")

    q: Annotated[list[_Search], _ONCE] = Field(
        [], description="Text search: all of these words, in any order."
    )
    sort: list[_Text] = Field(
        [], description="Fields, the first decides; `-` reverses. The id always comes last."
    )
    skip: Annotated[list[_Skip], _ONCE] = Field([0], description="Offset of the page.")
    limit: Annotated[list[_Limit], _ONCE] = Field([DEFAULT_LIMIT], description="Size of the page.")
    after: Annotated[list[Annotated[str, Field(max_length=2000)]], _ONCE] = Field(
        [], description="The `X-Next-Cursor` of the page before: costs the same at any depth."
    )


class ListParameters:
    """A dependency that reads the query string of one resource's list into a ListQuery.

    Every scalar field of the public schema is a sort key, and a filter; `choices` are all that it
    can be. With `trash_for` there is a trash beside the list, for who has that permission.
    """

    reads_query: Final = True  # It refuses unknown names itself, after the translation.

    def __init__(
        self, schema: type[Schema], *, trash_for: Permission | None = None, **choices: Sequence[str]
    ) -> None:
        self._schema = schema
        self._trash_for = trash_for
        self._filters = {
            name if operator == "eq" else f"{name}_{operator}": (name, operator, annotation)
            for name, operator, annotation in _filters_of(schema, choices)
        }
        self._sortable = sorted(_scalar_fields(schema))
        self._has_emails = email_as_stored in schema.stored_as.values()
        fields: dict[str, Any] = {}
        if trash_for is not None:
            text = f"The trash instead, for who has `{trash_for}`."
            fields["deleted"] = (Annotated[list[bool], _ONCE], Field([False], description=text))
        for parameter, (field, operator, annotation) in self._filters.items():
            one: dict[str, Any] = {"min_length": 1, "max_length": 1} if operator == "null" else {}
            text = _MEANINGS[operator].format(field)
            info = Field(default_factory=list, description=text, **one)
            fields[parameter] = (GenericAlias(list, annotation), info)
        self._read_text = lru_cache(maxsize=KEPT_QUERIES)(self._parsed)  # Panels repeat themselves.
        self._model: type[_Parameters] = create_model(
            f"{schema.__name__}List", __base__=_Parameters, **fields
        )
        self.names = NAMES.union(self._model.model_fields)

    def __call__(self, request: Request, actor: CurrentUser) -> ListQuery:
        """Raises RequestValidationError, naming the parameter; PermissionDeniedError."""
        text, settings = request.scope["query_string"], get_settings()
        read = self._read_text if len(text) <= LONGEST_KEPT_QUERY else self._parsed
        return self._for(actor, read(text, settings.MAX_PAGE_SIZE, settings.DEFAULT_TIME_ZONE))

    def read(self, parameters: Iterable[tuple[str, str]], actor: Principal) -> ListQuery:
        """Raises RequestValidationError, naming the parameter; PermissionDeniedError."""
        return self._for(actor, self._read(translate(parameters)))

    def _parsed(self, text: bytes, *_settings: object) -> ListQuery:
        return self._read(translate(QueryParams(text).multi_items()))

    def _for(self, actor: Principal, query: ListQuery) -> ListQuery:
        if query.deleted and not (self._trash_for and actor.may(self._trash_for)):
            raise PermissionDeniedError
        return query

    def read_filter(self, wanted: Mapping[str, Any]) -> ListQuery:
        """Read the `filter` of a request's body, in the words of `ra-data-simple-rest`.

        Raises RequestValidationError, naming the field.
        """
        return self._read(translate_filter(wanted))

    def _read(self, native: Parameters) -> ListQuery:
        self._refuse_too_many_values(native)
        try:
            given = self._model.model_validate(native.values)
        except ValidationError as error:
            raise RequestValidationError(self._as_sent(error, native)) from None
        q = given.q[0] if given.q else None
        sent_as, deleted = native.sent_as.get("sort", "sort"), getattr(given, "deleted", [False])[0]
        sort = tuple(self._sort_keys(given.sort, sent_as=sent_as))
        indexed = {"id"} if deleted else self._schema.indexed  # The others leave out the trash.
        is_indexed = all(key.field in indexed for key in sort)
        return ListQuery(
            filters=tuple(
                _filter_of(field, operator, getattr(given, parameter))
                for parameter, (field, operator, _) in self._filters.items()
                if parameter in given.model_fields_set
            ),
            q=_with_stored_emails(q) if q and self._has_emails else q,
            sort=sort,
            skip=given.skip[0],
            limit=_limit_of(given),
            after=given.after[0] if given.after else None,
            deleted=deleted,
            unindexed=None if is_indexed else (sent_as, ", ".join(sorted(indexed))),
        )

    def is_nullable(self, field: str) -> bool:
        return f"{field}_null" in self._filters

    def _refuse_too_many_values(self, native: Parameters) -> None:
        """Ahead of all that is done for each of them. Raises ParameterError."""
        # All of a page can be asked for by its ids.
        most = max(MAX_BULK, get_settings().MAX_PAGE_SIZE)
        counts = {
            name: max(len(values), 1)
            for name, values in native.values.items()
            if name not in PAGING and name != "sort"
        }
        for name in sorted(counts, key=lambda name: counts[name], reverse=True):
            _, operator, annotation = self._filters.get(name, (name, "eq", Any))
            is_moment = _Span in (annotation, *get_args(annotation))
            bound = most if operator in _EQUALITY and not is_moment else MOST_COMPARED
            if counts[name] > bound or sum(counts.values()) > most:
                text = f"At most {bound} values are allowed in one request."
                raise ParameterError(native.sent_as.get(name, name), text)

    def _sort_keys(self, given: Sequence[str], *, sent_as: str) -> Iterator[SortKey]:
        """Raises ParameterError."""
        seen = set()
        for part in ",".join(given).split(",") if given else ():
            field = part.removeprefix("-")
            if field not in self._sortable:
                texts = suggest("The list cannot be sorted by this.", [field], self._sortable)
                choice = f"Choose one of: {', '.join(self._sortable)}."
                raise ParameterError(sent_as, f"{texts[field]} {choice}")
            if field not in seen:
                seen.add(field)
                yield SortKey(field, descending=part.startswith("-"))

    def _as_sent(self, error: ValidationError, native: Parameters) -> list[dict[str, Any]]:
        """Blame each parameter by the name that the client gave it."""
        named = [(str(one["loc"][0]), one) for one in error.errors()]
        unknown = [name for name, one in named if one["type"] == "extra_forbidden"]
        texts = {
            name: EMPTY if one["input"] is None else text_of(one) for name, one in reversed(named)
        }
        texts |= suggest("Unknown parameter.", unknown, self.names)
        return [
            {"type": "value", "loc": ("query", native.sent_as.get(name, name)), "msg": text}
            for name, text in texts.items()
        ]

    def openapi(self) -> dict[str, Any]:
        """Document the native parameters; the dialects are for clients that know them already."""
        model = self._model.model_json_schema(ref_template="#/components/schemas/{model}")
        documented = {name: _parameter(name, one) for name, one in model["properties"].items()}
        sorts = [sign + name for name in self._sortable for sign in ("", "-")]
        documented["sort"]["schema"]["items"] = {"type": "string", "enum": sorts}
        documented["sort"]["description"] += _BOUND.format(", ".join(sorted(self._schema.indexed)))
        documented["sort"]["explode"] = False
        return {"parameters": list(documented.values())}


_BOUND: Final = (
    " More than `MAX_UNINDEXED_SORT` records are sorted only by {}: else 422 `SORT_NEEDS_FILTER`."
)
_MEANINGS: Final[Mapping[Operator, str]] = {
    "eq": "`{}` is one of these.",
    "ne": "`{}` is none of these.",
    "gt": "`{}` is greater.",
    "gte": "`{}` is greater or equal.",
    "lt": "`{}` is less.",
    "lte": "`{}` is less or equal.",
    "like": "`{}` contains this, without regard to case.",
    "null": "`{}` is empty.",
}


def _scalar_fields(schema: type[Schema]) -> dict[str, FieldInfo]:
    return {
        name: field
        for name, field in schema.model_fields.items()
        if get_origin(field.annotation) not in {dict, list}
    }


def _filters_of(
    schema: type[Schema], choices: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, Operator, Any]]:
    for name, field in _scalar_fields(schema).items():
        kinds = set(get_args(field.annotation)) or {field.annotation}
        is_nullable = NoneType in kinds
        (kind,) = kinds - {NoneType}
        annotation, operators = _FILTERS.get(kind, (kind, _EQUALITY))  # Else a choice (StrEnum).
        if name in schema.stored_as:
            annotation = Annotated[annotation, AfterValidator(schema.stored_as[name])]
        if is_nullable:
            yield name, "null", bool
        for operator in operators:
            is_equality = operator in _EQUALITY
            one = Literal[*choices[name]] if is_equality and name in choices else annotation
            yield name, operator, one | None if is_nullable and is_equality else one


def _filter_of(field: str, operator: Operator, values: Sequence[Any]) -> Filter:
    """Compare with the end of a day, or with its beginning, or with all of it."""
    if operator == "null":
        return Filter(field, "eq" if values[0] else "ne", (None,))
    if operator in _EQUALITY and any(isinstance(one, tuple) for one in values):
        spans = (one or (None, None) for one in values)
        return Filter(
            field, "within" if operator == "eq" else "outside", tuple(chain.from_iterable(spans))
        )
    end = operator in {"gt", "lte"}
    return Filter(
        field, operator, tuple(one[end] if isinstance(one, tuple) else one for one in values)
    )


def _limit_of(given: _Parameters) -> int:
    """Give whoever asks for certain ids all of them, as far as a page goes."""
    if "limit" in given.model_fields_set:
        return given.limit[0]
    maximum = get_settings().MAX_PAGE_SIZE
    return maximum if getattr(given, "id", None) else min(DEFAULT_LIMIT, maximum)


def _parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    # Null is for the dialects: no text in a URL means it.
    choices = schema["items"].get("anyOf", [schema["items"]])
    items = next(one for one in choices if one != {"type": "null"})
    read = {"type": "array", "items": items}
    if schema.get("maxItems") == 1:
        default = schema.get("default")
        read = items | ({"default": default[0]} if default else {})
    return {"name": name, "in": "query", "schema": read, "description": schema["description"]}
