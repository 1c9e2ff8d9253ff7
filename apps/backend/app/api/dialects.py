"""The list dialects of panels, translated into the native parameters.

`ra-data-simple-rest` sends `sort=["email","ASC"]&range=[0,24]&filter={"q":"x","id":[1,2]}`;
json-server's clients (`ra-data-json-server`, `@refinedev/simple-rest`) send
`_start=0&_end=25&_sort=email,id&_order=asc,desc` beside plain filters.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Final

from fastapi.exceptions import RequestValidationError

from app.core.config import get_settings

_JSON_SERVER: Final = ("_start", "_end", "_sort", "_order")
NAMES: Final = frozenset({"range", "filter", *_JSON_SERVER})
_NO_FIELDS: Final = NAMES | {"skip", "limit", "after", "sort"}
PAGING: Final = frozenset({"skip", "limit", "after", "range", "_start", "_end"})


class ParameterError(RequestValidationError):
    def __init__(self, parameter: str, text: str) -> None:
        super().__init__([{"type": "value", "loc": ("query", parameter), "msg": text}])
        self.parameter = parameter


@dataclass
class Parameters:
    """The values of each native parameter, and what the client called it where that differs."""

    values: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    sent_as: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: Any, *, sent_as: str) -> None:
        self.values[name].append(value)
        self.sent_as[name] = sent_as


def translate(parameters: Iterable[tuple[str, str]]) -> Parameters:
    """Raises ParameterError, naming the parameter as the client sent it."""
    native = Parameters()
    json_server: dict[str, str] = {}
    for name, value in parameters:
        if name in json_server:
            raise ParameterError(name, "Must be given only once.")
        if name in _JSON_SERVER:
            json_server[name] = value
        elif name == "filter":
            _add_filters(native, _read_json(value))
        elif name == "range":
            start, end = _read_json_list(name, value, int, "[0,24]")
            _set_page(native, start, end + 1, sent_as=(name, name))
        elif name == "sort" and value.startswith("["):
            column, order = _read_json_list(name, value, str, '["id","ASC"]')
            native.add("sort", _signed(column, order, sent_as=(name, name)), sent_as=name)
        else:
            native.values[name].append(value)
    _read_json_server(native, json_server)
    return native


def translate_filter(wanted: Any) -> Parameters:
    """Raises ParameterError."""
    native = Parameters()
    _add_filters(native, wanted)
    return native


def _add_filters(native: Parameters, wanted: Any) -> None:
    if not isinstance(wanted, dict):
        raise ParameterError("filter", 'Cannot be read. It looks like this: {"q": "lamp"}.')
    for name, one_or_more in wanted.items():
        if not name.isascii():
            raise ParameterError("filter", "It names a field that is not in this list.")
        if name in _NO_FIELDS:
            raise ParameterError(name, "This is not a filter. Send it as a parameter of its own.")
        more = one_or_more if isinstance(one_or_more, list) else [one_or_more]
        native.values[name].extend(more)


def _read_json(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _read_json_list(name: str, value: str, kind: type, example: str) -> Sequence[Any]:
    pair = _read_json(value)
    if not isinstance(pair, list) or [type(part) for part in pair] != [kind, kind]:
        raise ParameterError(name, f"Cannot be read. It looks like this: {example}.")
    return pair


def _read_json_server(native: Parameters, given: dict[str, str]) -> None:
    if "_start" in given or "_end" in given:
        start, end = (_whole_number(name, given) for name in ("_start", "_end"))
        _set_page(native, start or 0, end, sent_as=("_start", "_end"))
    columns = [column for column in given.get("_sort", "").split(",") if column]
    orders = [order for order in given.get("_order", "").split(",") if order]
    for column, order in zip_longest(columns, orders, fillvalue=""):
        signed = _signed(column, order or "asc", sent_as=("_sort", "_order"))
        if column:
            native.add("sort", signed, sent_as="_sort")


def _whole_number(name: str, given: dict[str, str]) -> int | None:
    if name not in given:
        return None
    if not given[name].isascii() or not given[name].isdigit() or len(given[name]) > 16:
        raise ParameterError(name, "Must be a whole number.")
    return int(given[name])


def _set_page(native: Parameters, start: int, end: int | None, *, sent_as: tuple[str, str]) -> None:
    native.add("skip", start, sent_as=sent_as[0])
    if end is not None:
        if end <= start:
            raise ParameterError(sent_as[1], "The page must end after it starts.")
        native.add("limit", min(end - start, get_settings().MAX_PAGE_SIZE), sent_as=sent_as[1])


def _signed(column: str, order: str, *, sent_as: tuple[str, str]) -> str:
    if column.startswith("-"):
        raise ParameterError(sent_as[0], "Leave out the minus. DESC reverses the order.")
    match order.lower():
        case "asc":
            return column
        case "desc":
            return f"-{column}"
    raise ParameterError(sent_as[1], "Must be ASC (ascending) or DESC (descending).")
