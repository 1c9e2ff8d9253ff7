"""Which records a bulk request is about, read from its body."""

from typing import Any, Final

from fastapi.exceptions import RequestValidationError

from app.api.listing import ListParameters
from app.schemas.bulk import BulkChoice, Choice
from app.schemas.listing import Filter, ListQuery

_EMPTY: Final = "Must not be empty: it would choose every record."


def read_choice(body: BulkChoice, parameters: ListParameters) -> Choice:
    """Raises RequestValidationError, naming `ids.3` or `filter.status`."""
    if (body.ids is None) == (body.filter is None):
        raise _refusal("Give either `ids` or `filter`.", "ids")
    if body.ids is not None:
        _refuse_twice(body.ids)
        return Choice(ids=body.ids)
    return Choice(query=_read_filter(body.filter or {}, parameters))


def _refuse_twice(ids: list[int]) -> None:
    first = {one: index for index, one in reversed(list(enumerate(ids)))}
    again = [index for index, one in enumerate(ids) if first[one] != index]
    if again:
        raise RequestValidationError(
            [_error("This id stands here twice.", "ids", index) for index in again]
        )


def _read_filter(wanted: dict[str, Any], parameters: ListParameters) -> ListQuery:
    try:
        query = parameters.read_filter(wanted)
    except RequestValidationError as error:
        raise RequestValidationError([_below_filter(one) for one in error.errors()]) from None
    if not query.q and all(_lets_all_pass(one) for one in query.filters):
        raise _refusal(_EMPTY, "filter")
    return query


def _lets_all_pass(wanted: Filter) -> bool:
    """An input left blank in a panel must not choose everything."""
    is_blank = wanted.operator == "like" and "" in wanted.values
    return is_blank or (wanted.operator == "ne" and not wanted.values)


def _below_filter(error: dict[str, Any]) -> dict[str, Any]:
    place = () if error["loc"][1:] == ("filter",) else error["loc"][1:]
    return error | {"loc": ("body", "filter", *place)}


def _refusal(text: str, *place: str) -> RequestValidationError:
    return RequestValidationError([_error(text, *place)])


def _error(text: str, *place: str | int) -> dict[str, Any]:
    return {"type": "value", "loc": ("body", *place), "msg": text}
